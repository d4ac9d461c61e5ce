"""A stand-in for the package of PyBal 1.15.14: its conffiles, init script and maintainer scripts.

Its program only sleeps. As with debhelper of that time, the package starts the daemon when it is installed, and stops it before
an upgrade.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.harness.package.altered import packed

VERSION = "1.15.14"
CONFIG = "[global]\nbgp = no\n"

_CONTROL = f"""Package: pybal
Version: {VERSION}
Architecture: all
Maintainer: PyBal maintainers <pybal@localhost>
Description: stand-in for PyBal 1.15
"""
_CONFFILES = "/etc/pybal/pybal.conf\n/etc/init.d/pybal\n/etc/default/pybal\n"
_INIT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: pybal
# Required-Start: $network
# Required-Stop: $network
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: PyBal
### END INIT INFO
PYBAL_OPTIONS=
. /etc/default/pybal
case $1 in
    start) start-stop-daemon --start --background --make-pidfile --pidfile /run/pybal.pid --exec /usr/sbin/pybal ;;
    stop) start-stop-daemon --stop --oknodo --retry 30 --remove-pidfile --pidfile /run/pybal.pid ;;
    restart) $0 stop && $0 start ;;
esac
"""
_POSTINST = """#!/bin/sh
set -e
update-rc.d pybal defaults >/dev/null
invoke-rc.d pybal start
"""
_PRERM = """#!/bin/sh
set -e
invoke-rc.d pybal stop
"""
_POSTRM = """#!/bin/sh
set -e
if [ "$1" = purge ]; then update-rc.d pybal remove >/dev/null; fi
"""
_FILES = {
    "DEBIAN/control": (0o644, _CONTROL),
    "DEBIAN/conffiles": (0o644, _CONFFILES),
    "DEBIAN/postinst": (0o755, _POSTINST),
    "DEBIAN/prerm": (0o755, _PRERM),
    "DEBIAN/postrm": (0o755, _POSTRM),
    "etc/pybal/pybal.conf": (0o644, CONFIG),
    "etc/init.d/pybal": (0o755, _INIT),
    "etc/default/pybal": (0o644, "PYBAL_OPTIONS=\n"),
    "usr/sbin/pybal": (0o755, "#!/bin/sh\nexec sleep 86400\n"),
}


def package(target: Path) -> Path:
    """Write the package to ``target``."""
    with tempfile.TemporaryDirectory(prefix="version-1-") as name:
        for file, (mode, content) in _FILES.items():
            path = Path(name) / "tree" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(mode)
        return packed(Path(name) / "tree", target)
