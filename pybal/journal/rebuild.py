"""Rebuilds the history of the pools from the journal after a restart.

The newest segments come first. Files are read in a thread; the records are replayed in the loop, a little in each turn and with pauses
between, because a thread that computes would hold the loop longer through the GIL. The daemon never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.history import PoolHistory
from pybal.core.steps import Steps
from pybal.core.text import numbered
from pybal.ipvs.model import Key
from pybal.journal.past import SegmentPast
from pybal.journal.reader import JournalError, check_version, is_record, record_of, segments_of
from pybal.journal.replay import Replay
from pybal.runtime.clocks import STEP, Clocks
from pybal.runtime.workers import Threads

MOST_BYTES = 32 << 20
"""Bytes of segments that are replayed. A segment is replayed as a whole or not at all."""
CHUNK = 1 << 18
"""Bytes of one read."""
LONGEST_LINE = 8 << 20
"""Bytes of a record, at most."""
WORK, PAUSE = 0.004, 0.016
"""Seconds of work in a turn of the loop, and from it to the next one: a fifth of a core."""


class _Segment(NamedTuple):
    path: Path
    size: int


class Rebuild:
    """Puts the past of earlier runs before the history of each pool.

    ``run`` is the present run. ``histories`` returns those of the running services. ``read`` returns the present time of both clocks.
    """

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        *,
        run: str,
        histories: Callable[[], Mapping[Key, PoolHistory]],
        clock: IReactorTime,
        threads: Threads,
        read: Callable[[], Clocks],
    ) -> None:
        self._directory = directory
        self._run = run
        self._histories = histories
        self._clock = clock
        self._threads = threads
        self._read = read
        self._problems: list[str] = []
        self._since = ""
        self._bytes = 0
        self._until = 0.0
        """The end of the work in this turn of the loop."""
        self._working: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; without a journal of an earlier run, nothing changes."""
        for history in self._histories().values():
            history.await_past()
        self._working = Deferred.fromCoroutine(self._rebuild()).addErrback(self._failed)

    def stop(self) -> None:
        """Stop; a call that waits for the disk is left behind."""
        if self._working is not None:
            self._working.cancel()

    async def _rebuild(self) -> None:
        try:
            for segment in await self._threads.run(partial(_segments, self._directory)):
                if not await self._segment(segment):
                    break
        finally:
            for history in self._histories().values():
                history.end_wait()
            self._report()

    async def _segment(self, segment: _Segment) -> bool:
        """Replay a segment and join its history; return whether older ones are wanted."""
        past, name = SegmentPast(), segment.path.name
        place, rest = 0, b""
        while chunk := await self._threads.run(partial(_read, segment.path, place)):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise JournalError(f"{segment.path}: a record of more than {LONGEST_LINE} bytes")
            if not place:
                header = record_of(lines[0] if lines else rest)
                check_version(header, segment.path)
                if isinstance(header, dict) and header.get("run") == self._run:
                    return True
                if self._bytes + segment.size > MOST_BYTES:
                    return False
            await self._pace(self._take(past, lines, name))
            place += len(chunk)
        if rest:
            self._problems.append(f"{name}: torn record of {len(rest)} bytes")
        self._bytes += place
        await self._join(past)
        return True

    def _take(self, past: SegmentPast, lines: Iterable[bytes], name: str) -> Steps[None]:
        for line in lines:
            record = record_of(line)
            if is_record(record):
                yield from past.take(record)
            else:
                self._problems.append(f"{name}: damaged record of {len(line)} bytes")
            yield

    async def _join(self, past: SegmentPast) -> None:
        """Put the history of a segment before those of the running services."""
        self._problems += past.replay.problems
        if not past.replay.first:
            return
        self._since = past.replay.began
        shift, histories = self._shift(past.replay), self._histories()
        for key, history in past.histories.items():
            if key in histories:
                await self._pace(histories[key].precede(history, shift))

    def _shift(self, replay: Replay) -> float:
        """Return the seconds to add to a monotonic time of a segment.

        The monotonic clock begins again at a reboot. No time is later than now.
        """
        clocks = self._read()
        ago = (clocks.wall - datetime.fromisoformat(replay.time)).total_seconds()
        shift = clocks.monotonic - max(0.0, ago) - replay.at
        return 0.0 if abs(shift) < STEP.total_seconds() else shift

    async def _pace(self, work: Generator[None, None, None]) -> None:
        """Work with pauses."""
        for _ in work:
            if self._clock.seconds() >= self._until:
                await deferLater(self._clock, PAUSE)
                self._until = self._clock.seconds() + WORK

    def _report(self) -> None:
        if self._since:
            text = "history of pools rebuilt from the journal since {since} ({megabytes:.1f} MB)"
            self._log.info(text, since=self._since, megabytes=self._bytes / 1e6, system="journal")
        if self._problems:
            text = "{directory}: {number} while rebuilding the history of pools; the first: {first}"
            number = numbered(len(self._problems), "problem")
            self._log.warn(text, directory=self._directory, number=number, first=self._problems[0], system="journal")

    def _failed(self, failure: Failure) -> None:
        if failure.check(OSError, JournalError):
            text = "{reason}; not rebuilding the history of pools before"
            self._log.warn(text, reason=failure.getErrorMessage(), system="journal")
        elif not failure.check(CancelledError):
            text = "journal: unexpected exception; not rebuilding the history of pools before"
            self._log.failure(text, failure, system="journal")


def _segments(directory: Path) -> list[_Segment]:
    """Return the segments, the newest first; none without a directory. Raises OSError."""
    if not directory.exists():
        return []
    return [_Segment(path, path.stat().st_size) for path in reversed(segments_of(directory))]


def _read(path: Path, place: int) -> bytes:
    """Return a part of a file. Raises OSError.

    The file is not kept open: to close it in the loop would wait for a read that hangs.
    """
    with path.open("rb") as file:
        file.seek(place)
        return file.read(CHUNK)
