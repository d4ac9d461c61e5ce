"""Run a command as root in a disposable guest: Debian's user-mode Linux on the files of the host.

The guest mounts the host's root read-only under a tmpfs: every path is writable, and no write reaches the host. It boots in three
seconds, needs no privileges on the host and has only its own network. Kernel modules load on demand. The command starts with an
empty ``TMPDIR`` and no standard input; its output is streamed.

From the shell, in the root of the repository: ``python tests/harness/guest/guest.py -- ipvsadm -Ln``
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from tests.harness.guest.kernel import MODULES, PATH, GuestError, boot, missing, status

__all__ = ["GuestError", "missing", "run"]

_INIT = Path(__file__).resolve().parent / "guest-init"
# Preload both schedulers: they register with each network namespace, and loading one on demand while another namespace is torn
# down deadlocks in Linux 6.1 (lock of IPVS and lock of the namespaces).
_PRELOADED = ("ip_vs", "ip_vs_lblc", "ip_vs_lblcr", "ipv6")


def run(
    command: Sequence[str],
    *,
    stdout: IO[bytes],
    stderr: IO[bytes],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    modules: Sequence[str] = _PRELOADED,
    memory: int = 1024,
    timeout: float = 120.0,
) -> int:
    """Return the exit status of ``command``.

    ``memory`` is in MiB; ``timeout`` in seconds includes the boot.

    Raises GuestError, and TimeoutError.
    """
    with tempfile.TemporaryDirectory(prefix="guest-") as name, ExitStack() as stack:
        run_dir = Path(name)
        share = run_dir / "share"
        share.mkdir()
        (run_dir / "lib").mkdir()
        (run_dir / "lib/modules").symlink_to(MODULES)
        (share / "command").write_text(_script(command, cwd, env or {}, modules))
        console = stack.enter_context((run_dir / "console").open("w+b"))
        inherited = [stack.enter_context(_duplicate(file)) for file in (stdout, stderr)]
        # Each line has its own input: the kernel watches a descriptor only once.
        inherited += [stack.enter_context(Path(os.devnull).open("r+b")) for _ in range(2)]
        out, err, in0, in1 = (file.fileno() for file in inherited)
        arguments = [
            *("rootflags=/", "quiet", f"init={_INIT}", f"RUN={run_dir}", f"uml_dir={run_dir}/"),
            *(f"ssl0=fd:{in0},fd:{out}", f"ssl1=fd:{in1},fd:{err}"),
        ]
        boot(arguments, console, (out, err, in0, in1), memory=memory, timeout=timeout)
        return status(share, console)


def _duplicate(file: IO[bytes]) -> IO[bytes]:
    """Duplicate a file to a descriptor above the standard ones, which belong to the console."""
    return os.fdopen(fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 3), "wb")


def _script(command: Sequence[str], cwd: Path, env: Mapping[str, str], modules: Sequence[str]) -> str:
    variables = {"HOME": "/root", "PATH": PATH, "LANG": "C.UTF-8", "TMPDIR": "/run/tmp", **env}
    return "\n".join(
        [
            *(f"modprobe {shlex.quote(module)} || exit 1" for module in modules),
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
            f"cd {shlex.quote(str(cwd))} || exit 1",
            f"exec {shlex.join(command)}",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=run.__doc__)
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return run(
        options.command,
        stdout=sys.stdout.buffer,
        stderr=sys.stderr.buffer,
        cwd=Path.cwd(),
        memory=options.memory,
        timeout=options.timeout,
    )


if __name__ == "__main__":
    sys.exit(main())
