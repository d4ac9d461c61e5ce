"""Run a command in a disposable guest with systemd as PID 1, on a root of Debian.

The root is read-only under a tmpfs. The command is a unit, ``guest.service``, which starts after ``multi-user.target``; the guest is off
when it has ended. Inside, the directory of the guest is ``/host`` and the repository is at its own path, read-only.

From the shell: ``python -m tests.harness.guest.systemd_guest --root / -- systemctl --version``
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.harness.guest.kernel import MODULES, PATH, boot, status

REPOSITORY = Path(__file__).resolve().parents[3]
_INIT = Path(__file__).resolve().parent / "guest-init-systemd"
_TARGET = """\
[Unit]
Requires=multi-user.target guest.service
After=multi-user.target
AllowIsolate=yes
"""
_SERVICE = """\
[Unit]
After=multi-user.target
SuccessAction={end}
FailureAction={end}
[Service]
Type=exec
ExecStart=/bin/sh -c 'exec sh /host/command >/host/output 2>&1 </dev/null'
ExecStopPost=/bin/sh -c 'echo $EXIT_STATUS >/host/status.new && mv /host/status.new /host/status; sync'
"""


def run(
    command: Sequence[str],
    *,
    root: Sequence[Path],
    share: Path,
    prepare: str = "",
    orderly: bool = False,
    memory: int = 1024,
    timeout: float = 600.0,
) -> int:
    """Return the exit status of ``command``; its output is in ``share/output``.

    ``root`` has the layers of the root of the guest, the uppermost first. ``share`` is an absolute directory of this guest only.
    ``prepare`` is a shell script that changes the root before systemd starts. With ``orderly`` systemd stops all units at the end;
    otherwise it kills them. ``memory`` is in MiB; ``timeout`` in seconds includes the boot.

    Raises GuestError and TimeoutError.
    """
    (share / "lib").mkdir()
    (share / "lib/modules").symlink_to(MODULES)
    (share / "units").mkdir()
    (share / "units/guest.target").write_text(_TARGET)
    (share / "units/guest.service").write_text(_SERVICE.format(end="poweroff" if orderly else "poweroff-force"))
    (share / "command").write_text(
        f"cd {REPOSITORY}\nexport HOME=/root PATH={PATH} LANG=C.UTF-8\nexec {shlex.join(command)}\n"
    )
    if prepare:
        (share / "prepare").write_text(prepare)
    arguments = [
        *("rootflags=/", f"init={_INIT}", f"SHARE={share}", f"REPOSITORY={REPOSITORY}", f"uml_dir={share}/"),
        *("ssl=null", "lsm=capability,yama,apparmor", f"LOWER={':'.join(map(str, root))}"),
    ]
    with (share / "console").open("w+b") as console:
        boot(arguments, console, memory=memory, timeout=timeout)
        return status(share, console)


def main() -> int:
    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("--root", type=Path, action="append", required=True)
    parser.add_argument("--prepare", default="")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="guest-") as name:
        share = Path(name)
        try:
            return run(
                options.command, root=options.root, share=share, prepare=options.prepare, timeout=options.timeout
            )
        finally:
            sys.stdout.write((share / "output").read_text() if (share / "output").exists() else "no output\n")


if __name__ == "__main__":
    sys.exit(main())
