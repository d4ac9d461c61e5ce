"""A name service that hangs like LDAP without its server. Needs root and a C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_MODULE = """\
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <unistd.h>
static enum nss_status hang(int *error) {{
    while (access("{hangs}", F_OK) == 0) usleep(10000);
    *error = ENOENT;
    return NSS_STATUS_NOTFOUND;
}}
enum nss_status _nss_hung_getpwuid_r(uid_t n, struct passwd *p, char *b, size_t s, int *e) {{ return hang(e); }}
enum nss_status _nss_hung_getpwnam_r(const char *n, struct passwd *p, char *b, size_t s, int *e) {{ return hang(e); }}
enum nss_status _nss_hung_getgrnam_r(const char *n, struct group *g, char *b, size_t s, int *e) {{ return hang(e); }}
enum nss_status _nss_hung_getgrgid_r(gid_t n, struct group *g, char *b, size_t s, int *e) {{ return hang(e); }}
"""
SWITCH = "passwd: files hung\ngroup: files hung\nhosts: files dns\n"
"""The order of the name services, with the one that hangs at the end."""


class HungNames:
    """The name service of the process that starts with ``prefix``, an NSS module.

    Names that no file has hang during :meth:`hanging`.
    """

    def __init__(self, directory: Path) -> None:
        self._hangs = directory / "hangs"
        (directory / "nss.c").write_text(_MODULE.format(hangs=self._hangs))
        library = directory / "libnss_hung.so.2"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(directory / "nss.c")], check=True)
        switch = directory / "nsswitch.conf"
        switch.write_text(SWITCH)
        mount = f'mount --bind {switch} /etc/nsswitch.conf && exec "$@"'
        self.variable = f"LD_LIBRARY_PATH={directory}"
        """The variable of a process whose /etc/nsswitch.conf has :data:`SWITCH`."""
        self.prefix: Sequence[str] = ("unshare", "--mount", "sh", "-c", mount, "sh", "env", self.variable)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Hang every look-up that no file answers."""
        self._hangs.touch()
        try:
            yield
        finally:
            self._hangs.unlink()


def missing() -> str:
    """Return why this machine cannot have a hung name service, empty if it can."""
    if os.geteuid() != 0:
        return "needs root for a mount namespace"
    return "" if shutil.which("cc") else "needs a C compiler (Debian: gcc, libc6-dev)"
