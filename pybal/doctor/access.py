"""Facts about access to files with secrets and to the control socket.

The calls may wait for file systems and for the name service.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pybal.config.sensitive import Sensitive
from pybal.config.settings import Settings
from pybal.doctor.host import Access, FileAccess
from pybal.doctor.routes import read_local

USER = "pybal"
"""The user of the daemon if it does not run as root; see ``user.conf`` of the package."""


def gather_access(
    sensitive: Sensitive,
    settings: Settings,
    *,
    process: int | None = None,
    proc: Path = Path("/proc"),
    passwd: Path = Path("/etc/passwd"),
) -> Access:
    """Return who can read the files of a configuration, and who may use the control socket.

    ``process`` is the daemon, by default this process. Users whose primary group is ``control-group`` are found in
    ``passwd`` only, because other sources of users may be very large.
    """
    files = dict.fromkeys((sensitive.file, *(secret.file for secret in sensitive.secrets if secret.file)))
    addresses = None
    with suppress(OSError, ValueError):
        addresses = frozenset(each.prefix.network_address for each in read_local() if each.prefix.num_addresses == 1)
    return Access(
        files={name: found for name in files if (found := _file(name)) is not None},
        groups=frozenset(_groups(proc / ("self" if process is None else str(process)))),
        members=frozenset(_members(settings.control_group, passwd)) if settings.control_group else frozenset(),
        addresses=addresses,
    )


def _file(name: str) -> FileAccess | None:
    """Return the access to a file, ``None`` if it cannot be examined."""
    try:
        path = Path(name).resolve(strict=True)
        status = path.stat()
        folders = [folder.stat() for folder in path.parents]
    except (OSError, ValueError, RuntimeError):  # a loop of links is a RuntimeError
        return None
    return FileAccess(
        status.st_mode,
        status.st_gid,
        reached=all(folder.st_mode & 0o001 for folder in folders),
        reached_by_group=all(
            folder.st_mode & (0o010 if folder.st_gid == status.st_gid else 0o001) for folder in folders
        ),
    )


def _groups(process: Path) -> Iterator[int]:
    """Yield the groups of a process, the primary group of the user of the package, and that of root."""
    yield 0
    with suppress(KeyError, OSError):
        yield pwd.getpwnam(USER).pw_gid
    with suppress(OSError, ValueError):
        for line in (process / "status").read_text(errors="replace").splitlines():
            if line.startswith(("Gid:", "Groups:")):
                yield from map(int, line.split()[1:])


def _members(group: str, passwd: Path) -> Iterable[str]:
    try:
        found = grp.getgrgid(int(group)) if group.isdecimal() and group.isascii() else grp.getgrnam(group)
    except (KeyError, OSError, OverflowError):
        return ()
    rows = (line.split(":") for line in _text(passwd).splitlines())
    primary = {row[0] for row in rows if len(row) > 3 and row[3] == str(found.gr_gid)}  # noqa: PLR2004  # passwd(5)
    return primary | set(found.gr_mem)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
