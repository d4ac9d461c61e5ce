"""The configuration file: read and checked as a whole, with what tells whether it is still the one that is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from grp import getgrnam
from pathlib import Path

from pybal.config.errors import Problem, shown
from pybal.config.option import Kinds
from pybal.config.parse import parse
from pybal.config.settings import Settings
from pybal.monitors import kinds as monitors
from pybal.sources import kinds as sources


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a configuration file says, what is doubtful in it, and the SHA-256 of its text in hexadecimal digits."""

    settings: Settings
    warnings: tuple[Problem, ...]
    digest: str


class ConfigurationFile:
    """The file at ``path``. ``adjust`` makes of its settings those to use: the command line has the last word."""

    def __init__(
        self, path: str, kinds: Kinds, adjust: Callable[[Settings], Settings] = lambda settings: settings
    ) -> None:
        self.path = path
        self._kinds = kinds
        self._adjust = adjust
        self._seen: tuple[int, ...] | None = None
        self._digest = ""

    def read(self) -> Loaded:
        """Return what the file says. Raises ConfigError or OSError."""
        return self.understand(Path(self.path).read_bytes(), self.path)

    def understand(self, text: bytes, path: str) -> Loaded:
        """Return what this text of a file would say in place of ours. Raises ConfigError."""
        parsed = parse(text, path, self._kinds)
        return Loaded(self._adjust(parsed.settings), parsed.warnings, _digest(text))

    def digest(self) -> str:
        """Return the SHA-256 of what the file says now, empty if it cannot be read; it is read where its status is another."""
        try:
            status = Path(self.path).stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
            if seen != self._seen:
                self._digest = _digest(Path(self.path).read_bytes())
                self._seen = seen
        except OSError:
            self._seen, self._digest = None, ""
        return self._digest


def unsupported(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield what is valid, but not to be had in this version or on this machine: to go on without it would be wrong."""
    for peer in settings.bgp.peers if settings.bgp else ():
        if peer.md5_password_file and not os.access(peer.md5_password_file, os.R_OK):
            found = f"{shown(peer.md5_password_file)} for peer {peer.address}"
            yield Problem(file, 0, "global", "bgp-md5-password-file", found, "a file that can be read")
    if settings.control_group and not _is_group(settings.control_group):
        yield Problem(file, 0, "global", "control-group", shown(settings.control_group), "a group of this machine")
    for refusal in sources.refusals(service.source for service in settings.services):
        yield Problem(file, 0, *refusal)
    for service in settings.services:
        section = service.service.name
        if sources.kind_of(service.source) not in sources.SUPPORTED:
            known = ", ".join(sorted(sources.SUPPORTED))
            yield Problem(
                file, service.line, section, "config", shown(service.source.url), f"a scheme of this version: {known}"
            )
        for monitor in service.monitors:
            if unable := monitors.refusal(monitor):
                yield Problem(file, service.line, section, *unable)


def _is_group(name: str) -> bool:
    try:
        getgrnam(name)
    except KeyError:
        return False
    return True


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
