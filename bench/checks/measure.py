"""CPU time and memory of a process that runs checks."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.checks.servers import Count


@dataclass(frozen=True, slots=True)
class Use:
    """The number of checks, the CPU seconds they took, and the bytes of memory held at the end.

    ``kernel`` is the share of the CPU time that the kernel took. ``lag`` is the p99 lateness of the checks in seconds, if the checker prints it.
    """

    checks: int
    seconds: float
    cpu: float
    kernel: float
    memory: int
    lag: float | None

    @property
    def micros(self) -> float:
        """CPU per check, in microseconds."""
        return self.cpu / max(1, self.checks) * 1e6

    @property
    def rate(self) -> float:
        """Checks a second."""
        return self.checks / self.seconds


def use(command: Sequence[str], count: Count, *, warm_up: float, measured: float) -> Use:
    """Run a checker and return its use in ``measured`` seconds after ``warm_up`` seconds."""
    with tempfile.TemporaryFile() as output:
        with started(command, output) as pid:
            time.sleep(warm_up)
            before, cpu_before, ticks_before, began = count(), cpu(pid), ticks(pid), time.monotonic()
            time.sleep(measured)
            checks, used, seconds = count() - before, cpu(pid) - cpu_before, time.monotonic() - began
            user, system = (now - then for now, then in zip(ticks(pid), ticks_before, strict=True))
            held = memory(pid)
        output.seek(0)
        words = output.read().split()
    # Our own checkers print their lag in the last line.
    return Use(
        checks,
        seconds,
        used,
        system / max(1, user + system),
        held,
        float(words[-1]) if words[-2:-1] == [b"lag"] else None,
    )


def median(uses: Sequence[Use]) -> Use:
    """Return the use with the median cost."""
    return sorted(uses, key=lambda one: one.micros)[len(uses) // 2]


def syscalls(command: Sequence[str], count: Count, directory: Path, *, warm_up: float, measured: float) -> float:
    """Return the system calls of a checker per check, waking up included."""
    summary = directory / "strace"
    with started(command) as pid:
        time.sleep(warm_up)
        tracing = ["strace", "-f", "-c", "-o", str(summary), "-p", str(pid)]
        with subprocess.Popen(tracing, stderr=subprocess.PIPE) as tracer:
            assert tracer.stderr is not None
            tracer.stderr.readline()  # strace prints that it is attached
            before = count()
            time.sleep(measured)
            checks = count() - before
            tracer.send_signal(signal.SIGINT)
    total = next(line for line in summary.read_text().splitlines() if line.endswith("total"))
    return int(total.split()[3]) / max(1, checks)


@contextmanager
def started(command: Sequence[str], output: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[int]:
    """Run a process and yield its id; end it afterwards."""
    process = subprocess.Popen(command, stdout=output)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process and its children have used, user and system."""
    return sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in _family(pid)) / 1e9


def ticks(pid: int) -> tuple[int, int]:
    """Return the clock ticks of user and of system time of a process and its children."""
    times = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13] for one in _family(pid)]
    return sum(int(user) for user, _ in times), sum(int(system) for _, system in times)


def memory(pid: int) -> int:
    """Return the bytes of resident memory, without files, of a process and its children."""
    return sum(_anonymous(one) for one in _family(pid))


def _anonymous(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [pid]
    for one in family:
        family += parents.get(one, [])
    return family
