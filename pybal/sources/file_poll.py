"""Finds changes of all pool files with one call of a thread in each interval.

Idle, 116 files cost a third less CPU than with a timer and a coroutine for each. A file system that hangs keeps its thread. The files of other file systems go on in another thread::

    every INTERVAL ──▶ a batch of all files ──▶ a thread looks at one after the other ──▶ deliver the changes
                         └ no progress in PATIENCE intervals ──▶ report the file; look at the files behind it in a new batch

Until it responds, the files in the directory of a hung file wait for it. Other files of its device, and files never seen, are
suspects: their batches are separate, and one thread is never theirs. The device alone proves nothing: it may be that of the
directory over which the hung file system was mounted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.runtime.activity import Activity
from pybal.runtime.watched_file import FileIdentity, identity_of
from pybal.runtime.workers import Threads
from pybal.sources.base import SourceError, Trouble

#: Seconds between two looks at a file.
INTERVAL = 1.0

#: Seconds for which a file must stay unchanged before it is read.
SETTLED = 0.2

#: A file that keeps changing for more seconds is a problem.
RESTLESS = 10.0

#: Intervals without progress after which a file system hangs. A pause of the whole machine is one interval.
PATIENCE = 3

#: Number of threads: all but one may hang.
THREADS = 8

#: Largest pool file, in bytes.
LARGEST = 4 * 2**20


class Content(NamedTuple):
    """The content of a settled file."""

    identity: FileIdentity
    data: bytes


class Look(NamedTuple):
    """A file that is not the applied one: its data if it has settled, or the reason why it cannot be read."""

    identity: FileIdentity | None
    data: bytes | None = None
    error: str = ""


class PolledFile:
    """A file that :class:`FilePoll` looks at.

    ``applied`` is the identity of the content in use: :meth:`changed` waits for another one. With ``None`` the file is read
    again.
    """

    def __init__(self, path: str, poll: FilePoll) -> None:
        self.path = path
        self.applied: FileIdentity | None = None
        self.seen: FileIdentity | None = None
        self._poll = poll
        self._waiting: Deferred[Content] | None = None
        self._good: Callable[[], None] = _nothing
        self._restless_since: float | None = None
        self._is_hung = False

    def changed(self, good: Callable[[], None]) -> Deferred[Content]:
        """Return the next settled content, or fail with the next :class:`SourceError`.

        ``good`` is called at each look that finds the applied content unchanged.
        """
        self._good = good
        self._waiting = waiting = Deferred[Content](self._cancel)
        self._poll.add(self)
        return waiting

    def close(self) -> None:
        """Look at the file no more."""
        self._poll.remove(self)
        self._good = _nothing

    @property
    def is_awaited(self) -> bool:
        return self._waiting is not None

    @property
    def device(self) -> int | None:
        """The device of the file when it was last seen."""
        return self.seen[0] if self.seen else None

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path)  # noqa: PTH120  # strings are compared

    def take(self, found: Look | None, now: float) -> bool:
        """Deliver the result of a look; return whether to look again once the file has settled."""
        self._is_hung = False
        restless_since, self._restless_since = self._restless_since, None
        if found is None:
            self._good()
            return False
        self.seen = found.identity or self.seen
        if found.identity is None:
            self._fail(SourceError(found.error, Trouble.UNREACHABLE))
        elif found.data is not None:
            self._deliver(Content(found.identity, found.data))
        else:
            self._restless_since = now if restless_since is None else restless_since
            if now - self._restless_since <= RESTLESS:
                return True
            self._fail(SourceError(f"still changing after {RESTLESS:g} s"))
        return False

    def hang(self, path: str) -> None:
        """Report once that the look waits for the file system of ``path``."""
        if not self._is_hung:
            self._is_hung = True
            where = "its file system" if path == self.path else f"the file system of {path}"
            self._fail(SourceError(f"no response from {where} for {PATIENCE * INTERVAL:g} s", Trouble.SILENT))

    def _deliver(self, content: Content) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(content)

    def _fail(self, error: SourceError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _cancel(self, _: Deferred[Content]) -> None:
        self._waiting = None


@dataclass(eq=False, slots=True)
class _Batch:
    """Files that one call looks at.

    Its thread writes ``index`` and ``results``, and ends early if the batch is ``abandoned``.
    """

    files: list[PolledFile]
    wanted: list[tuple[str, FileIdentity | None, FileIdentity | None]]
    index: int = -1
    results: list[Look | None] = field(default_factory=list)
    abandoned: bool = False
    progress: int = -1
    idle: int = 0
    """Number of intervals in which the index stayed at ``progress``."""

    def run(self) -> None:
        """Look at one file after the other, in a thread."""
        for path, applied, seen in self.wanted:
            if self.abandoned:
                return
            self.index += 1
            self.results.append(look(path, applied, seen))

    def is_hung(self) -> bool:
        """Return whether the thread makes no progress; called at each interval."""
        if self.index != self.progress:
            self.progress, self.idle = self.index, 0
        self.idle += 1
        return self.idle > PATIENCE

    @property
    def current(self) -> PolledFile:
        return self.files[max(self.index, 0)]


class FilePoll:
    """Looks at all pool files in ``threads``, of which there are ``most``."""

    log = Logger()

    def __init__(self, threads: Threads, clock: IReactorTime, most: int = THREADS) -> None:
        self._threads = threads
        self._clock = clock
        self._most = most
        self._files: dict[PolledFile, _Batch | None] = {}
        self._soon: dict[PolledFile, float] = {}
        self._batches: list[_Batch] = []
        self._activity = Activity("poll of pool files", self._turn, clock)
        self._regular_at = 0.0

    def add(self, file: PolledFile) -> None:
        """Look at a file at each interval until it is removed; immediately if it is new."""
        if file not in self._files:
            self._files[file] = None
            self._look_again(file, 0.0)

    def remove(self, file: PolledFile) -> None:
        """Look at a file no more."""
        self._files.pop(file, None)
        self._soon.pop(file, None)
        if not self._files:
            self._activity.stop()

    def _look_again(self, file: PolledFile, delay: float) -> None:
        self._soon[file] = self._clock.seconds() + delay
        self._activity.wake(delay)

    def _turn(self) -> float:
        now = self._clock.seconds()
        wanted = [file for file, at in self._soon.items() if at <= now]
        for file in wanted:
            del self._soon[file]
        if now >= self._regular_at:
            self._regular_at = now + INTERVAL
            self._notice_hung()
            wanted = [file for file in self._files if file not in self._soon]
        files = [file for file in wanted if file.is_awaited and self._files[file] is None]
        if hung := self._hung():
            devices = {None, *(file.device for file in hung)}
            suspects = [file for file in files if file.device in devices]
            self._begin([file for file in files if file.device not in devices])
            self._begin([file for file in suspects if not self._is_blocked(file, hung)])
        else:
            self._begin(files)
        return max(0.0, min((self._regular_at, *self._soon.values())) - now)

    def _begin(self, files: list[PolledFile]) -> None:
        if not files:
            return
        batch = _Batch(files, [(file.path, file.applied, file.seen) for file in files])
        looking = self._threads.run(batch.run)
        self._batches.append(batch)
        self._files.update(dict.fromkeys(files, batch))
        looking.addBoth(self._end, batch)

    def _hung(self) -> list[PolledFile]:
        return [batch.current for batch in self._batches if batch.abandoned]

    def _is_blocked(self, suspect: PolledFile, hung: list[PolledFile]) -> bool:
        """Return whether a suspect has to wait for a file that hangs, and report it."""
        same = [file for file in hung if file.directory == suspect.directory]
        if not same and len(hung) < self._most - 1:
            return False
        suspect.hang((same or hung)[0].path)
        return True

    def _notice_hung(self) -> None:
        for batch in self._batches:
            if not batch.is_hung():
                continue
            # If the thread goes on at this moment, two threads look at a file once, and one result is ignored.
            batch.abandoned = batch.index >= 0
            # A batch that has not begun waits for a thread.
            culprit = batch.current if batch.abandoned else next(iter(self._hung()), batch.current)
            for file in batch.files:
                if self._files.get(file) is not batch:
                    continue
                if file is batch.current or not batch.abandoned:
                    file.hang(culprit.path)
                else:
                    self._files[file] = None

    def _end(self, result: Failure | None, batch: _Batch) -> None:
        self._batches.remove(batch)
        if isinstance(result, Failure):
            self.log.failure("internal error while looking at pool files; looking again", result)
        mine = {file for file in batch.files if self._files.get(file) is batch}
        self._files.update(dict.fromkeys(mine))
        for file, found in zip(batch.files, batch.results, strict=False):
            if file in mine and file in self._files:
                self._take(file, found)

    def _take(self, file: PolledFile, found: Look | None) -> None:
        try:
            if file.take(found, self._clock.seconds()):
                self._look_again(file, SETTLED)
        except Exception:  # noqa: BLE001  # a bug in the reader of one file must not affect the others
            self.log.failure("{path}: internal error after a look; looking again", path=file.path)


def look(path: str, applied: FileIdentity | None, seen: FileIdentity | None) -> Look | None:
    """Return what is new about a file, ``None`` if it is ``applied``; with data if it is ``seen`` again."""
    try:
        identity = checked_identity(os.stat(path))  # noqa: PTH116  # called often; a Path costs more
        if identity == applied:
            return None
        return Look(identity, content(Path(path), identity) if identity == seen else None)
    except (OSError, ValueError) as error:
        return Look(None, error=getattr(error, "strerror", None) or str(error))


def checked_identity(found: os.stat_result) -> FileIdentity:
    """Return the identity of a regular file of acceptable size. Raises ValueError."""
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    if found.st_size > LARGEST:
        raise ValueError(f"{found.st_size} bytes, wanted at most {LARGEST}")
    return identity_of(found)


def content(path: Path, wanted: FileIdentity) -> bytes | None:
    """Return the content of a file, ``None`` unless its identity stays ``wanted`` during the read."""
    # Non-blocking: opening a FIFO that has taken its place would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        before = checked_identity(os.fstat(file.fileno()))
        data = file.read(LARGEST)
        after = checked_identity(os.fstat(file.fileno()))
    return data if before == after == wanted else None


def _nothing() -> None: ...
