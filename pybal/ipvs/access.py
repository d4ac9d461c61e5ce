"""The only path to the table of a backend: one call at a time, and none that holds the loop.

A service that is read in steps may be written between two of them: the caller has to see that.
Netlink and the table in memory reply immediately: their calls run in the loop, in pieces. A backend that waits for a child
process runs in a thread; its calls are made in the order of their requests.

The first netlink request of all, and the first service with a scheduler, let the kernel load a module, unless it is loaded: the
send takes as long as modprobe. A :class:`ModuleLoader` makes these calls in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Alert
from pybal.ipvs.backend import Backend, MemoryBackend
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService
from pybal.runtime.turns import Pace
from pybal.runtime.workers import Workers

T = TypeVar("T")

PIECE = 32
"""Operations of one call in the loop: mh rebuilds its table at each, which takes up to 0.35 ms."""

SLOW_SECONDS = 10.0
"""Time without a result after which a call in a thread is an alert."""


class ModuleLoader(NamedTuple):
    """A thread for calls that may load a module; ``connect`` returns a backend with its own connection."""

    workers: Workers
    connect: Callable[[], Backend]

    async def run(self, call: Callable[[Backend], T]) -> T:
        """Make a call in the thread."""

        def connected() -> T:
            with closing(self.connect()) as backend:
                return call(backend)

        return await self.workers.run(connected)


class Access:
    """Reads and writes the table of ``backend``: in ``workers`` (one thread) if given, else in the loop.

    Without ``loader`` no call loads a module. Every method raises BackendError.
    """

    def __init__(
        self, backend: Backend, clock: IReactorTime, workers: Workers | None = None, loader: ModuleLoader | None = None
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._workers = workers
        self._loader = loader
        self._reached = False
        """True once the loader had a result."""
        self._schedulers = set[str]()
        """The schedulers of services that the loader wrote."""
        self._lock = DeferredLock()
        self._last: Table = MappingProxyType({})

    async def read(self, key: ServiceKey) -> TableEntry | None:
        """Return a service with its destinations, ``None`` if it does not exist."""
        if self._workers:
            return await self._workers.run(partial(self._backend.read, key))
        async with self._lock:
            await self._reach()
        # Without the lock: the writes of other services do not wait until ten thousand destinations are read.
        pace = Pace(self._clock)
        reading = self._backend.reading(key)
        while True:
            try:
                next(reading)
            except StopIteration as read:
                found: TableEntry | None = read.value
                return found
            await pace.pause()

    async def services(self) -> tuple[VirtualService, ...]:
        """Return all services without their destinations, including those of other programs."""
        if self._workers:
            self._last = await self._workers.run(self._backend.table)
            return tuple(entry.service for entry in self._last.values())
        async with self._lock:
            await self._reach()
            return self._backend.services()

    async def _reach(self) -> None:
        """Make the first request of all."""
        if self._loader and not self._reached:
            await self._loader.run(lambda backend: backend.services())
            self._reached = True

    async def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        """Run one of the :meth:`pieces` of a batch; return the operations that failed."""
        if self._workers:
            return await self._workers.run(partial(self._backend.apply, ops))
        async with self._lock:
            schedulers = {op.service.scheduler for op in ops} - self._schedulers
            if not self._loader or not schedulers:
                return self._backend.apply(ops)
            failures = await self._loader.run(lambda backend: backend.apply(ops))
            self._reached = True
            self._schedulers |= schedulers
            return failures

    def pieces(self, ops: Sequence[Op]) -> Iterator[Sequence[Op]]:
        """Yield the operations in the portions in which they are to be applied."""
        size = len(ops) if self._workers else PIECE
        return (ops[start : start + size] for start in range(0, len(ops), size or 1))

    def view(self) -> Backend:
        """Return a table to read immediately. With a thread it is the one of the last :meth:`services`."""
        return MemoryBackend(self._last) if self._workers else self._backend

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert while a call in a thread has no result."""
        workers = self._workers or (self._loader and self._loader.workers)
        since = workers.unfinished_since if workers else None
        if since is not None and (seconds := self._clock.seconds() - since) > SLOW_SECONDS:
            yield Alert("", "ipvs", f"no result from IPVS for {seconds:.0f} s; changes of the table are waiting")

    def close(self) -> None:
        """Close the backend; its table stays."""
        self._backend.close()
