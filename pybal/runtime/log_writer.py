"""A thread that writes log lines, so that a reader of standard error that stalls never holds the loop.

The queue is bounded: what does not fit is dropped and counted. When lines are written again, one line reports the number. An
unexpected exception loses the lines of one write, and is an alert until the next write succeeds.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twisted.python.failure import Failure

from pybal.runtime.faults import Health

QUEUE_LIMIT = 4 << 20
"""Bytes of lines that wait: about 30,000 lines."""
STALLED_SECONDS = 2.0
"""Duration of one write from which on the reader counts as stalled."""

_BATCH = 1 << 16
"""Bytes of one write: the size of a pipe."""

NOT_READ = "standard error not read"
NO_THREAD = "cannot start the thread that writes"


@dataclass(slots=True)
class Trouble:
    """A time in which lines are not written: its begin, its reason, and the lines dropped since."""

    since: float
    reason: str
    dropped: int = 0


class LogWriter:
    """Writes lines in its own thread, in order.

    ``write`` may block, and raise OSError. ``report`` returns the line about dropped lines, or an empty one. ``woken`` is called in the
    thread at the time of :meth:`wake_at`. ``clock`` is monotonic. ``name`` is that of the thread, ``stalled`` the reason why a write takes
    long.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        report: Callable[[Trouble, float], bytes],
        *,
        woken: Callable[[], None] = lambda: None,
        limit: int = QUEUE_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        name: str = "log",
        stalled: str = NOT_READ,
    ) -> None:
        self.dropped = 0
        """Lines dropped since the start."""
        self.drop_reason = ""
        """The reason of the last drop, also after the trouble."""
        self._write = write
        self._report = report
        self._woken = woken
        self._limit = limit
        self._clock = clock
        self._name = name
        self._stalled = stalled
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._full = self._closing = False
        self._trouble: Trouble | None = None
        self._failing = False
        self._writing_since: float | None = None
        self._wake_at: float | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._health = Health(f"{name} writer")

    def put(self, line: bytes) -> None:
        """Queue a line; drop it if the queue is full. Never blocks; may be called in any thread."""
        with self._changed:
            if self._thread is None:
                self._start_thread()
            # Once full, until half is free: otherwise every other line would report the one before.
            if self._full or self._bytes + len(line) > self._limit:
                self._full = True
                self._drop(1, self._stalled)
                return
            self._append(line)
            self._changed.notify()

    def wake_at(self, at: float) -> None:
        """Call ``woken`` once at a time of the clock, or at an earlier one that was requested before."""
        with self._changed:
            if self._wake_at is None or at < self._wake_at:
                self._wake_at = at
                self._changed.notify()

    @property
    def waiting(self) -> int:
        """The number of lines in the queue."""
        return len(self._lines)

    @property
    def is_idle(self) -> bool:
        """True if no line is in the queue or being written."""
        with self._changed:
            return not self._lines and self._writing_since is None

    @property
    def trouble(self) -> Trouble | None:
        """The present trouble: dropped lines, or a write that takes :data:`STALLED_SECONDS` or more."""
        with self._changed:
            if self._trouble is not None:
                return self._trouble
            since = self._writing_since
            stalled = since is not None and self._clock() - since >= STALLED_SECONDS
            return Trouble(since, self._stalled) if stalled and since is not None else None

    def close(self, timeout: float) -> bool:
        """Write the queued lines, for at most ``timeout`` seconds; return whether all were written."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the next line tries again
            self._trouble = self._trouble or Trouble(self._clock(), NO_THREAD)
        else:
            self._thread = thread

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)

    def _drop(self, lines: int, reason: str) -> None:
        if self._trouble is None:
            now = self._clock()
            self._trouble = Trouble(now if self._writing_since is None else self._writing_since, reason)
        self._trouble.dropped += lines
        self.drop_reason = reason
        self.dropped += lines

    def _work(self) -> None:
        more = True
        while more:
            try:
                more = self._write_next()
            except Exception:  # noqa: BLE001  # the log must never end
                self._health.failed(Failure())
            else:
                self._health.succeeded()

    def _write_next(self) -> bool:
        """Wait for lines and write them; return false after the end."""
        if not (batch := self._next()):
            return False
        reason = ""
        try:
            self._write(b"".join(batch))
        except OSError as error:
            reason = error.strerror or str(error)
        except Exception as bug:
            reason = repr(bug)
            raise
        finally:
            with self._changed:
                self._writing_since = None
                self._failing = bool(reason)
                if reason:
                    self._drop(len(batch), reason)
        return True

    def _next(self) -> list[bytes]:
        """Wait for lines, and return the next batch; an empty one after the end."""
        while True:
            with self._changed:
                if not self._due():
                    self._recover()
                    if batch := self._take():
                        self._writing_since = self._clock()
                        return batch
                    if self._closing:
                        return []
                    self._changed.wait(self._pause())
                    continue
                self._wake_at = None
            self._woken()

    def _due(self) -> bool:
        return self._wake_at is not None and self._wake_at <= self._clock()

    def _pause(self) -> float | None:
        return None if self._wake_at is None else max(0.0, self._wake_at - self._clock())

    def _recover(self) -> None:
        """Accept lines again when half of the queue is free; report the drops unless the last write failed."""
        if self._bytes > self._limit // 2:
            return
        self._full = False
        if self._trouble is not None and not self._failing:
            trouble, self._trouble = self._trouble, None
            if trouble.dropped and (line := self._report(trouble, self._clock())):
                self._append(line)

    def _take(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._lines and (not batch or size + len(self._lines[0]) <= _BATCH):
            line = self._lines.popleft()
            batch.append(line)
            size += len(line)
        self._bytes -= size
        return batch


def write_all(descriptor: int, text: bytes) -> None:
    """Write to a descriptor. Raises OSError.

    Blocks also if another process set the descriptor to non-blocking.
    """
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            writable = select.poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()
