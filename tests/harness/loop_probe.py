"""A probe in the daemon: fails a test in which the event loop was held, or waited for a file or name.

`daemon(directory, program=probe.program)` runs the daemon in this module, which records into a file: each callback of 10 ms or
more with its CPU time and the stack of its thread, and each blocking call of the loop's thread with its caller. A test takes the
time before a phase, and calls :meth:`LoopProbe.check` after it.

CPU time is noise too where cores and caches are shared with others: the same work takes up to three times as long. After a long hold, the
probe repeats a fixed piece of work, and divides by how much longer it takes than at its best.
"""

from __future__ import annotations

import gc
import grp
import inspect
import json
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pybal.runtime.held import Hold
from pybal.runtime.loop import Loop, install

BOUND = 0.05
"""CPU seconds for which a callback may hold the loop."""

MOST_SLOWNESS = 3.0
"""The limit of the factor, so that a callback of three times the bound always fails."""

_RECORDED = 0.01
_SAMPLED = 0.03
_DEPTH = 14

ALLOWED = (
    ("/proc/", "proc(5) is memory; the daemon reads its own state and that of its children"),
    ("/sys/", "likewise"),
    ("/dev/null", "a device without a disk"),
)
"""Prefixes of paths that the loop's thread may open, with the reason."""

_EVENTS = {
    "open": "open",
    "os.listdir": "open",
    "os.scandir": "open",
    "os.rename": "open",
    "os.remove": "open",
    "socket.getaddrinfo": "getaddrinfo",
    "socket.gethostbyname": "getaddrinfo",
    "socket.gethostbyaddr": "getaddrinfo",
    "socket.getnameinfo": "getaddrinfo",
    "subprocess.Popen": "child",
    "os.system": "child",
}
"""Audit events of calls that can wait, with their kind."""


KINDS = {"held", "open", "getaddrinfo", "getpwnam", "getgrnam", "fsync", "child", "sleep"}
"""All kinds of record."""


@dataclass(frozen=True, slots=True)
class Record:
    """One callback (``kind`` is ``held``) or one blocking call. Times in seconds; ``at`` is monotonic."""

    at: float
    kind: str
    call: str
    stack: list[str]
    wall: float = 0.0
    cpu: float = 0.0
    collected: float = 0.0
    slowness: float = 1.0
    """The factor by which the machine was slower than at its best."""

    @property
    def own(self) -> float:
        """The CPU time of the callback on this machine at its best."""
        return self.cpu / self.slowness

    def __str__(self) -> str:
        if self.kind != "held":
            head = f"{self.kind}: {self.call}"
        else:
            collected = f", {self.collected * 1e3:.0f} ms of it garbage collection" if self.collected else ""
            slower = f", on a machine {self.slowness:.1f} times as slow as at its best" if self.slowness > 1 else ""
            cpu = f"{self.cpu * 1e3:.0f} ms of CPU{collected}{slower}"
            head = f"held for {self.wall * 1e3:.0f} ms ({cpu}) by {self.call}"
        return "\n    ".join([head, *self.stack])


class LoopProbe:
    """The records of the probe in one daemon; ``program`` are the interpreter's arguments that run it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.program = ("-m", "tests.harness.loop_probe", str(file))

    @staticmethod
    def now() -> float:
        """Return the time that marks the begin of a phase."""
        return time.monotonic()

    def records(self, since: float = 0.0) -> list[Record]:
        """Return what was recorded since a time."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [record for record in (Record(**json.loads(line)) for line in lines) if record.at >= since]

    def longest(self, since: float = 0.0) -> Record | None:
        """Return the callback with the most CPU time since a time."""
        return max(
            (each for each in self.records(since) if each.kind == "held"), key=lambda each: each.cpu, default=None
        )

    def problems(self, since: float = 0.0, bound: float = BOUND) -> list[Record]:
        """Return each callback that exceeded the bound and each blocking call since a time."""
        return [record for record in self.records(since) if record.kind != "held" or record.own > bound]

    def check(self, phase: str, since: float = 0.0, *, bound: float = BOUND, kinds: Collection[str] = KINDS) -> None:
        """Fail if the loop was held above the bound, or waited, since a time; ``kinds`` are examined."""
        problems = [record for record in self.problems(since, bound) if record.kind in kinds]
        shown = "\n".join(str(record) for record in problems[:20])
        assert not problems, f"{phase}: {len(problems)} times above {bound * 1e3:.0f} ms, or waiting:\n{shown}"


class Recorder:
    """The probe in the daemon: writes records of the loop and of blocking calls in its thread."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._thread = threading.get_ident()
        self._sample: tuple[float, list[str]] = (0.0, [])
        self._collecting = self._collected = 0.0
        self._recording = False
        self._best = min(_fixed_work() for _ in range(20))

    def start(self) -> None:
        self._loop.held.observe = self._held
        gc.callbacks.append(self._garbage)
        sys.addaudithook(self._audit)
        for module, name, kind in (
            (os, "stat", "open"),
            (os, "fsync", "fsync"),
            (os, "fdatasync", "fsync"),
            (os, "wait", "child"),
            (os, "wait4", "child"),
            (pwd, "getpwnam", "getpwnam"),
            (pwd, "getpwuid", "getpwnam"),
            (grp, "getgrnam", "getgrnam"),
            (grp, "getgrgid", "getgrnam"),
            (os, "getgrouplist", "getgrnam"),
            (socket, "getfqdn", "getaddrinfo"),
            (subprocess.Popen, "wait", "child"),
            (time, "sleep", "sleep"),
        ):
            setattr(module, name, self._watched(getattr(module, name), kind))
        threading.Thread(target=self._sampler, daemon=True, name="loop-probe").start()

    def _held(self, hold: Hold) -> None:
        collected, self._collected = self._collected, 0.0
        if hold.wall >= _RECORDED:
            began = hold.at - hold.wall
            stack = self._sample[1] if self._sample[0] >= began else []
            times = {"wall": hold.wall, "cpu": hold.cpu, "collected": collected}
            if hold.cpu > BOUND:
                times["slowness"] = self._slowness()
            self._write(at=hold.at, kind="held", call=hold.call, stack=stack, **times)

    def _slowness(self) -> float:
        took = sorted(_fixed_work() for _ in range(5))
        self._best = min(self._best, took[0])
        return min(MOST_SLOWNESS, took[2] / self._best)

    def _garbage(self, phase: str, _details: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
        elif (seconds := time.monotonic() - self._collecting) > _NOTED_COLLECTION:
            self._collected += seconds

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if kind := _EVENTS.get(event):
            self._blocking(kind, f"{event} {arguments[0] if arguments else ''}", arguments)

    def _watched(self, call: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self._blocking(kind, f"{call.__name__} {arguments[0] if arguments else ''}", arguments)
            return call(*arguments, **options)

        return watched

    def _blocking(self, kind: str, call: str, arguments: tuple[object, ...]) -> None:
        if threading.get_ident() != self._thread or self._recording or not self._loop.running:
            return
        path = arguments[0] if arguments else ""
        if kind == "open" and (isinstance(path, int) or str(path).startswith(_ALLOWED)):
            return
        self._recording = True
        try:
            self._write(at=time.monotonic(), kind=kind, call=call, stack=_lines(_caller()))
        finally:
            self._recording = False

    def _sampler(self) -> None:
        """Keep the stack of the callback that holds the loop."""
        while True:
            time.sleep(_SAMPLED / 2)
            if time.monotonic() - self._loop.began > _SAMPLED:
                frames = sys._current_frames()  # noqa: SLF001  # the only access to the stack of another thread
                self._sample = (time.monotonic(), _lines(frames.get(self._thread)))

    def _write(self, **record: Any) -> None:
        os.write(self._descriptor, json.dumps(record).encode() + b"\n")


def _fixed_work() -> float:
    """Return the CPU seconds of work of about a millisecond: text, dictionaries and sorting.

    It makes nothing for the garbage collection.
    """
    began = time.thread_time()
    sorted({f"{number:05}": bytes(500) for number in range(2000)}, reverse=True)
    return time.thread_time() - began


_NOTED_COLLECTION = 0.002
_ALLOWED = tuple(path for path, _ in ALLOWED)


def _caller() -> FrameType | None:
    """Return the frame of the call that is recorded."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _lines(frame: FrameType | None) -> list[str]:
    """Return the innermost calls of a stack, the innermost first."""
    found = []
    for each, line in list(traceback.walk_stack(frame))[:_DEPTH]:
        code = each.f_code
        found.append(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{line} {code.co_qualname}")
    return found


def main() -> int:
    """Run the daemon with a probe: ``python -m tests.harness.loop_probe FILE ARGUMENT …``."""
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    from pybal.cli import main as daemon  # noqa: PLC0415  # imported by the commands of the daemon too

    Recorder(install(), descriptor).start()
    return daemon(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
