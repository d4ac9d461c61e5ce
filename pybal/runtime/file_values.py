"""Values computed from files in threads, such as secrets and TLS contexts: the loop waits for no file.

All users of the same files share a value. It is computed again when the identity of a file has changed::

    fresh() ──▶ a thread: stat ── unchanged ─▶ the known value
                           └───── changed ───▶ read and compute the value ── failed ─▶ keep the known value, and fail
                └ no result within PATIENCE ──▶ fail; the call goes on

Calls for the files of one directory run one after the other, so a file system that hangs keeps one thread per directory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.model import Alert
from pybal.runtime.reactor import Reactor
from pybal.runtime.watched_file import FileIdentity, identity
from pybal.runtime.workers import Threads, Workers

T = TypeVar("T")
V = TypeVar("V")

#: Number of threads: the directories whose file systems may hang, and one more.
THREADS = 8

#: Seconds to wait for a file; less than the deadline of every request that needs one.
PATIENCE = 2.0


class _Found(Generic[T]):
    """A value, and the identities of its files before they were read."""

    def __init__(self, value: T, seen: Sequence[FileIdentity | None]) -> None:
        self.value = value
        self.seen = seen


class FileValue(Generic[T]):
    """The result of ``build`` for ``files``.

    ``build`` is called in a thread, and raises an exception if the files are unusable.

    ``consequence`` completes the alert of a problem; without one, the users report the problem.
    """

    log = Logger()

    def __init__(
        self, owner: FileValues, files: Sequence[str], build: Callable[[], T], consequence: str, clock: IReactorTime
    ) -> None:
        self.files = files
        self._owner = owner
        self._build = build
        self._consequence = consequence
        self._clock = clock
        self._found: _Found[T] | None = None
        self._waiting: list[Deferred[T]] = []
        self._asked: float | None = None
        """The time at which the present call was requested."""
        self._looked = float("-inf")
        self._problem = ""
        self._since = 0.0

    @property
    def is_known(self) -> bool:
        """True if the value was computed once."""
        return self._found is not None

    @property
    def last(self) -> T:
        """The last value. Raises LookupError if it was never computed."""
        if self._found is None:
            raise LookupError(f"{self._name}: not read yet")
        return self._found.value

    def fresh(self) -> Deferred[T]:
        """Return the value of the files as they are now.

        Fails with the exception of ``build``, or with TimeoutError if there is no result within :data:`PATIENCE`.
        """
        now = self._clock.seconds()
        if self._asked is None:
            self._asked = now
            waiting = Deferred[T]()
            self._waiting.append(waiting)
            self._owner.run(self.files, self._look).addBoth(self._end)
        elif now - self._asked < PATIENCE:
            waiting = Deferred[T]()
            self._waiting.append(waiting)
        else:
            return fail(self._silence())
        return waiting if waiting.called else waiting.addTimeout(PATIENCE, self._clock, self._too_late)

    def is_ready(self, resume: Callable[[], None], within: float, *, wait: bool) -> bool:
        """Return whether the value can be used now; if not, ``resume`` is called after the next look.

        The files are looked at unless the last look was less than ``within`` seconds ago. With ``wait`` a known value is not used before that.
        """
        if self._clock.seconds() - self._looked < within:
            return self.is_known
        known = self.is_known
        looking = self.fresh().addErrback(lambda _: None)  # the alert reports the failure
        if looking.called or (known and not wait):
            return self.is_known
        looking.addCallback(lambda _: resume())
        return False

    def alerts(self) -> Iterator[Alert]:
        """Yield the problem of the files, if its consequence is known."""
        if not self._consequence:
            return
        now = self._clock.seconds()
        if self._asked is not None and now - self._asked > PATIENCE:
            waiting = f"no response from the file system for {now - self._asked:.0f} s"
            yield Alert("", "files", f"{self._name}: {waiting}; {self._consequence}", subject=self._name)
        elif self._problem:
            problem = f"{self._problem} (for {now - self._since:.0f} s)"
            yield Alert("", "files", f"{self._name}: {problem}; {self._consequence}", subject=self._name)

    @property
    def _name(self) -> str:
        return ", ".join(self.files) or "system files"

    def _look(self) -> _Found[T]:
        """Return the value, in a thread."""
        # The identities come first: a change during the read is found by the next look.
        seen = [identity(file) for file in self.files]
        found = self._found
        if found is not None and seen == found.seen and None not in seen:
            return found
        return _Found(self._build(), seen)

    def _end(self, result: _Found[T] | Failure) -> None:
        self._asked = None
        self._looked = self._clock.seconds()
        if isinstance(result, Failure):
            self._note(getattr(result.value, "strerror", None) or str(result.value) or type(result.value).__name__)
        else:
            self._found = result
            self._note("")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.called:
                continue
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result.value)

    def _note(self, problem: str) -> None:
        # Logged by the class: an event refers to its source, and buffers of events would keep the value.
        before, self._problem = self._problem, problem
        if problem and not before:
            self._since = self._clock.seconds()
        if problem == before or not self._consequence:
            return
        if problem:
            text = "{files}: {problem}; {consequence}"
            FileValue.log.error(text, files=self._name, problem=problem, consequence=self._consequence)
        else:
            FileValue.log.info("{files}: readable again", files=self._name)

    def _too_late(self, _result: object, _seconds: float) -> T:
        self._looked = self._clock.seconds()
        raise self._silence()

    def _silence(self) -> TimeoutError:
        return TimeoutError(f"{self._name} (no response from the file system for {PATIENCE:g} s)")


class FileValues:
    """The values computed from files by ``threads``."""

    def __init__(self, threads: Threads, clock: IReactorTime) -> None:
        self._threads = threads
        self._clock = clock
        # Only the users hold references: an unused value, and a secret with it, disappears.
        self._values: WeakValueDictionary[Hashable, FileValue[Any]] = WeakValueDictionary()
        self._objects: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._queues: dict[tuple[str, ...], deque[tuple[Callable[[], Any], Deferred[Any]]]] = {}

    def value(self, key: Hashable, files: Sequence[str], build: Callable[[], T], consequence: str = "") -> FileValue[T]:
        """Return the value for a ``key``, which must contain everything that ``build`` uses."""
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = FileValue(self, tuple(files), build, consequence, self._clock)
        return cast("FileValue[T]", found)

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object that all users of ``key`` share while one of them keeps it."""
        found = self._objects.get(key)
        if found is None:
            found = self._objects[key] = make()
        return cast("T", found)

    def run(self, files: Sequence[str], call: Callable[[], T]) -> Deferred[T]:
        """Make a call that reads files, after the others for the same directories."""
        lane = tuple(sorted({file.rpartition("/")[0] for file in files}))
        done: Deferred[T] = Deferred()
        queue = self._queues.get(lane)
        if queue is not None:
            queue.append((call, done))
        else:
            self._queues[lane] = deque()
            self._begin(lane, call, done)
        return done

    def alerts(self) -> Iterator[Alert]:
        """Yield the alerts of all values."""
        for value in tuple(self._values.values()):
            yield from value.alerts()

    def _begin(self, lane: tuple[str, ...], call: Callable[[], Any], done: Deferred[Any]) -> None:
        def end(result: object) -> None:
            queue = self._queues[lane]
            if queue:
                self._begin(lane, *queue.popleft())
            else:
                del self._queues[lane]
            done.callback(result)  # a Failure starts the errbacks

        self._threads.run(call).addBoth(end)


def file_values(reactor: Reactor) -> FileValues:
    """Return the values of a process, with its own threads."""
    return FileValues(Workers("values", THREADS, reactor), reactor)


class _Inline:
    def run(self, call: Callable[[], V]) -> Deferred[V]:
        return execute(call)


def inline(clock: IReactorTime) -> FileValues:
    """Return values that are computed by the caller's thread, for tools and tests without a loop."""
    return FileValues(_Inline(), clock)
