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
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

_KERNEL = "linux.uml"
_MODULES = Path("/usr/lib/uml/modules")
_INIT = Path(__file__).resolve().parent / "guest-init"
# Preload both schedulers: they register with each network namespace, and loading one on demand while another namespace is torn
# down deadlocks in Linux 6.1 (lock of IPVS and lock of the namespaces).
_PRELOADED = ("ip_vs", "ip_vs_lblc", "ip_vs_lblcr", "ipv6")
_TOOLS = ("modprobe", "ip", "setsid", "stty", "pivot_root")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class GuestError(Exception):
    """The guest did not boot or ended without an exit status; the text is its console output."""


def missing() -> str | None:
    """Return why this machine cannot run a guest, or ``None``."""
    absent = [tool for tool in (_KERNEL, *_TOOLS) if shutil.which(tool, path=_PATH) is None]
    if not _MODULES.is_dir():
        absent.append(str(_MODULES))
    return f"not installed: {', '.join(absent)} (Debian: user-mode-linux, kmod, iproute2)" if absent else None


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
        (run_dir / "lib/modules").symlink_to(_MODULES)
        (share / "command").write_text(_script(command, cwd, env or {}, modules))
        console = stack.enter_context((run_dir / "console").open("w+b"))
        inherited = [stack.enter_context(_duplicate(file)) for file in (stdout, stderr)]
        # Each line has its own input: the kernel watches a descriptor only once.
        inherited += [stack.enter_context(Path(os.devnull).open("r+b")) for _ in range(2)]
        out, err, in0, in1 = (file.fileno() for file in inherited)
        arguments = [
            *(f"mem={memory}M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "panic=-1"),
            *(f"init={_INIT}", f"RUN={run_dir}", f"uml_dir={run_dir}/", "umid=guest"),
            *("con=null", "con0=fd:0,fd:1", f"ssl0=fd:{in0},fd:{out}", f"ssl1=fd:{in1},fd:{err}"),
        ]
        with _process(arguments, console, (out, err, in0, in1), memory) as process:
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"the guest did not end within {timeout:g} s") from None
        with suppress(OSError, ValueError):
            return int((share / "status").read_text())
        console.seek(0)
        raise GuestError(console.read().decode(errors="replace"))


def _duplicate(file: IO[bytes]) -> IO[bytes]:
    """Duplicate a file to a descriptor above the standard ones, which belong to the console."""
    return os.fdopen(fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 3), "wb")


def _script(command: Sequence[str], cwd: Path, env: Mapping[str, str], modules: Sequence[str]) -> str:
    variables = {"HOME": "/root", "PATH": _PATH, "LANG": "C.UTF-8", "TMPDIR": "/run/tmp", **env}
    return "\n".join(
        [
            *(f"modprobe {shlex.quote(module)} || exit 1" for module in modules),
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
            f"cd {shlex.quote(str(cwd))} || exit 1",
            f"exec {shlex.join(command)}",
        ]
    )


@contextmanager
def _process(
    arguments: Sequence[str], console: IO[bytes], descriptors: Sequence[int], memory: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the kernel; all its processes end with the context, and if this process is killed."""
    kernel = shutil.which(_KERNEL, path=_PATH) or _KERNEL
    process = subprocess.Popen(
        [*_with_priority(), "setpriv", "--pdeathsig", "KILL", *_in_its_own_pid_namespace(), kernel, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        pass_fds=descriptors,
        start_new_session=True,
        cwd="/",
        env={"PATH": _PATH, "HOME": "/", "TMPDIR": _memory_dir(memory)},
    )
    try:
        yield process
    finally:
        with suppress(OSError, subprocess.TimeoutExpired):
            # Killing the first process of a namespace kills all others; its parent reaps it.
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _with_priority() -> list[str]:
    """Return a command prefix that raises the priority of the guest, for its hold times. Root only."""
    return ["nice", "-n", "-10"] if os.geteuid() == 0 else []


def _in_its_own_pid_namespace() -> list[str]:
    """Return a command prefix that kills all helper processes of the kernel at its end. Root only.

    The shell is needed because a panicking kernel calls abort(), which the first process of a namespace ignores.
    """
    prefix = ["unshare", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", '"$0" "$@"; exit']
    usable = os.geteuid() == 0 and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if usable else []


def _memory_dir(mebibytes: int) -> str:
    """Return the directory for the guest's memory: a tmpfs with enough space, else a disk."""
    free = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0
    return "/dev/shm" if free > mebibytes << 20 else tempfile.gettempdir()


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
