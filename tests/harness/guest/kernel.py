"""The kernel of a guest: user-mode Linux as a process of the host, which ends with its caller."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

MODULES = Path("/usr/lib/uml/modules")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KERNEL = "linux.uml"
_PTRACE = Path(__file__).resolve().parent / "ptrace.c"
_TOOLS = ("modprobe", "ip", "setsid", "stty", "pivot_root")


class GuestError(Exception):
    """The guest did not boot or ended without an exit status; the text is its console output."""


def missing() -> str | None:
    """Return why this machine cannot run a guest, or ``None``."""
    absent = [tool for tool in (_KERNEL, *_TOOLS) if shutil.which(tool, path=PATH) is None]
    if _needs_ptrace() and shutil.which("cc", path=PATH) is None:
        absent.append("cc")
    if not MODULES.is_dir():
        absent.append(str(MODULES))
    return f"not installed: {', '.join(absent)} (Debian: user-mode-linux, kmod, iproute2, gcc)" if absent else None


def boot(
    arguments: Sequence[str], console: IO[bytes], descriptors: Sequence[int] = (), *, memory: int, timeout: float
) -> None:
    """Boot the kernel with ``arguments`` beside those of every guest, and wait until it is off.

    ``console`` receives the messages of kernel and init, ``memory`` is in MiB, ``timeout`` in seconds. Raises TimeoutError.
    """
    common = (f"mem={memory}M", "rootfstype=hostfs", "ro", "panic=-1", "umid=guest", "con=null", "con0=fd:0,fd:1")
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as directory,
        _process([*common, *arguments], console, descriptors, memory, _preloaded(Path(directory))) as process,
    ):
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the guest did not end within {timeout:g} s") from None


def status(share: Path, console: IO[bytes]) -> int:
    """Return the exit status that the guest left in ``share``. Raises GuestError with the console."""
    with suppress(OSError, ValueError):
        return int((share / "status").read_text())
    console.seek(0)
    raise GuestError(console.read().decode(errors="replace"))


@contextmanager
def _process(
    arguments: Sequence[str],
    console: IO[bytes],
    descriptors: Sequence[int],
    memory: int,
    environment: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the kernel; all its processes end with the context, and if this process is killed."""
    kernel = shutil.which(_KERNEL, path=PATH) or _KERNEL
    process = subprocess.Popen(
        [*_with_priority(), "setpriv", "--pdeathsig", "KILL", *_in_its_own_pid_namespace(), kernel, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        pass_fds=descriptors,
        start_new_session=True,
        cwd="/",
        env={"PATH": PATH, "HOME": "/", "TMPDIR": _memory_dir(memory), **environment},
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


def _needs_ptrace() -> bool:
    """Return whether the kernel needs the function in ptrace.c."""
    return "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="ascii").split()


def _preloaded(directory: Path) -> dict[str, str]:
    """Compile ptrace.c into ``directory`` if the kernel needs it; return the variable that loads it."""
    if not _needs_ptrace():
        return {}
    library = directory / "ptrace.so"
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, _PTRACE], check=True)
    return {"LD_PRELOAD": str(library)}


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
