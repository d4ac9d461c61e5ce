"""A watch of one directory at one etcd member through its JSON gateway, verified by periodic reads.

All keys are read at a revision and watched from the next one on. A stalled watch looks like one without changes, and the
gateway has no progress requests: over HTTP/1.1 a request ends before its response begins. Therefore a quorum read every
few seconds compares the keys. The member is lost if it does not respond, has no quorum, or if its watch missed changes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.responses import check_size
from pybal.sources.etcd.v3client import TIMEOUT, Gateway
from pybal.sources.etcd.v3wire import Keys, RangeResponse, WatchedKeys, WatchResponse
from pybal.sources.feed import shortened

#: Seconds until the first probe, between probes, and until a probe times out (it may need a new connection).
FIRST_PROBE = 1.0
PROBE = 5.0
PROBE_TIMEOUT = 4.0

#: Seconds that the watch may be behind a read.
LAG = 1.0

#: Seconds between probes that read everything.
FULL = 300.0

#: Changes that are applied in one turn of the loop, which takes 5 ms.
MOST_CHANGES = 500


class ManyChanges(Exception):  # noqa: N818  # the reason to read everything
    """A message has more than :data:`MOST_CHANGES` changes: to read all keys takes shorter turns."""


class KeyWatcher:
    """Watches all keys with ``prefix``, beginning with those in ``found``, until the member is lost.

    ``changed`` gets the keys of each change; ``verified`` is called after each probe without differences. ``missed``
    counts the changes that probes found and the watch did not report.
    """

    def __init__(
        self,
        gateway: Gateway,
        prefix: bytes,
        found: RangeResponse,
        *,
        clock: IReactorTime,
        random: Random,
        changed: Callable[[Keys], None],
        verified: Callable[[], None],
    ) -> None:
        self.missed = 0
        self._gateway = gateway
        self._prefix = prefix
        self._found = found
        self._keys = WatchedKeys(found.keys)
        self._clock = clock
        self._random = random
        self._changed = changed
        self._verified = verified
        self._probing: Deferred[None] | None = None
        self._why: BaseException | None = None

    async def run(self) -> None:
        """Watch until the end; raise its reason, or the exception of a callback."""
        await self._gateway.watch(self._prefix, self._found.revision + 1, self._received, self._end)
        self._probing = Deferred.fromCoroutine(self._probe())
        try:
            await self._probing
        except CancelledError:
            raise (self._why or CancelledError()) from None

    def _received(self, message: WatchResponse) -> None:
        if message.ended:
            raise SourceError(f"watch ended: {message.ended}", Trouble.FAILED)
        if len(message.keys) > MOST_CHANGES:
            raise ManyChanges
        if message.keys:
            self._keys.apply(message.keys)
            check_size(self._keys.size)
            try:
                self._changed(message.keys)
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
            pause, full = shortened(PROBE, self._random), self._clock.seconds() >= full_at
            found = await self._read(full=full)
            await self._compare(found)
            self._found = found
            self._keys.forget_deleted()
            if full:
                full_at = self._clock.seconds() + FULL
            self._verified()

    async def _read(self, *, full: bool) -> RangeResponse:
        """Return the keys written since the last read, or all; raise SourceError if the cluster changed."""
        before = self._found
        since, within = (0, TIMEOUT) if full else (before.revision + 1, PROBE_TIMEOUT)
        found = await self._gateway.read(self._prefix, since, within)
        if not found.follows(before):
            raise SourceError(
                f"revision {found.revision} of cluster {found.cluster}, "
                f"wanted {before.revision} or later of {before.cluster}"
            )
        return found

    async def _compare(self, found: RangeResponse) -> None:
        """Raise SourceError if the watch has missed any change in ``found``."""
        if not self._keys.missed(found):
            return
        await self._sleep(LAG)
        if number := self._keys.missed(found):
            self.missed += number
            raise SourceError(f"watch missed {number} changes", Trouble.STALE)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds)
