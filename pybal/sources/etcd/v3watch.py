"""Follows the keys of one directory of an etcd, at one member, through its JSON gateway.

All keys are read at a revision, and watched from the next one on. A watch that has gone silent looks like one with
nothing to say, and through the gateway it cannot be asked: over HTTP/1.1 its request must have ended before it begins. So
every few seconds a read that needs the majority of the members asks whether there are other keys than those known. A
member that does not answer, or cannot reach the others, or whose watch has missed something is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.v3client import TIMEOUT, Gateway
from pybal.sources.etcd.v3wire import Keys, Reading, Watched, missed

#: Seconds until the first probe, from one to the next, and for its answer: also over a new connection.
FIRST_PROBE = 1.0
PROBE = 5.0
PROBE_TIMEOUT = 4.0

#: Seconds for which the watch may be behind a read.
LAG = 1.0

#: Seconds after which a probe reads everything.
FULL = 300.0


class KeyWatcher:
    """Follows all keys with ``prefix`` from what was ``found`` on, until the member is lost.

    ``heard`` is told what the keys are whenever that has changed, ``good`` whenever a probe has found that this is all there
    is. ``missed`` counts the keys that were otherwise than the watch had said.
    """

    def __init__(
        self,
        gateway: Gateway,
        prefix: bytes,
        found: Reading,
        *,
        clock: IReactorTime,
        random: Random,
        heard: Callable[[Keys], None],
        good: Callable[[], None],
    ) -> None:
        self.missed = 0
        self._gateway = gateway
        self._prefix = prefix
        self._found = found
        self._keys = found.keys
        self._clock = clock
        self._random = random
        self._heard = heard
        self._good = good
        self._probing: Deferred[None] | None = None
        self._why: BaseException | None = None

    async def run(self) -> None:
        """Follow, and raise why that has ended: what the gateway raises, SourceError, or what ``heard`` or ``good`` have raised."""
        await self._gateway.watch(self._prefix, self._found.revision + 1, self._watched, self._end)
        self._probing = Deferred.fromCoroutine(self._probe())
        try:
            await self._probing
        except CancelledError:
            raise (self._why or CancelledError()) from None

    def _watched(self, message: Watched) -> None:
        if message.ended:
            raise SourceError(f"the watch has ended: {message.ended}", Trouble.FAILED)
        if message.keys:
            self._keys = {**self._keys, **message.keys}
            try:
                self._heard(self._keys)
            except CancelledError as stopped:
                self._end(stopped)

    def _end(self, why: BaseException) -> None:
        self._why = why
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self) -> None:
        pause, full_at = FIRST_PROBE, self._clock.seconds() + FULL
        while True:
            await self._sleep(pause)
            pause, full = PROBE * self._random.uniform(0.9, 1.0), self._clock.seconds() >= full_at
            found = await self._read(full=full)
            await self._compare(found)
            self._found = found
            # All later reads are of a time when what was deleted was gone.
            self._keys = {key: written for key, written in self._keys.items() if written.value is not None}
            if full:
                full_at = self._clock.seconds() + FULL
            self._good()

    async def _read(self, *, full: bool) -> Reading:
        """Return what has been written since the last read, or all keys, of the same etcd."""
        before = self._found
        since, within = (0, TIMEOUT) if full else (before.revision + 1, PROBE_TIMEOUT)
        found = await self._gateway.read(self._prefix, since, within)
        if not found.follows(before):
            raise SourceError(
                f"revision {found.revision} of cluster {found.cluster}, "
                f"wanted {before.revision} or later of {before.cluster}"
            )
        return found

    async def _compare(self, found: Reading) -> None:
        """Raise SourceError if the watch has missed any of what was found."""
        if not missed(self._keys, found):
            return
        await self._sleep(LAG)
        if number := missed(self._keys, found):
            self.missed += number
            raise SourceError(f"the watch has missed {number} changes", Trouble.STALE)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds)
