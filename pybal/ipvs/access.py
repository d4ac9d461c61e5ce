"""The only path to the table of a backend: one call at a time, and none that holds the loop.

Netlink and the table in memory reply immediately: their calls run in the loop, in pieces. A backend that waits for a child
process runs in a thread; its calls are made in the order of their requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeVar

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


class Access:
    """Reads and writes the table of ``backend``: in ``workers`` (one thread) if given, else in the loop.

    Every method raises BackendError.
    """

    def __init__(self, backend: Backend, clock: IReactorTime, workers: Workers | None = None) -> None:
        self._backend = backend
        self._clock = clock
        self._workers = workers
        self._lock = DeferredLock()
        self._last: Table = MappingProxyType({})

    async def read(self, key: ServiceKey) -> TableEntry | None:
        """Return a service with its destinations, ``None`` if it does not exist."""
        if self._workers:
            return await self._workers.run(partial(self._backend.read, key))
        async with self._lock:
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
            return self._backend.services()

    async def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        """Run one of the :meth:`pieces` of a batch; return the operations that failed."""
        if self._workers:
            return await self._workers.run(partial(self._backend.apply, ops))
        async with self._lock:
            return self._backend.apply(ops)

    def pieces(self, ops: Sequence[Op]) -> Iterator[Sequence[Op]]:
        """Yield the operations in the portions in which they are to be applied."""
        size = len(ops) if self._workers else PIECE
        return (ops[start : start + size] for start in range(0, len(ops), size or 1))

    def view(self) -> Backend:
        """Return a table to read immediately. With a thread it is the one of the last :meth:`services`."""
        return MemoryBackend(self._last) if self._workers else self._backend

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert while a call in a thread has no result."""
        since = self._workers.unfinished_since if self._workers else None
        if since is not None and (seconds := self._clock.seconds() - since) > SLOW_SECONDS:
            yield Alert("", "ipvs", f"no result from IPVS for {seconds:.0f} s; changes of the table are waiting")

    def close(self) -> None:
        """Close the backend; its table stays."""
        self._backend.close()
