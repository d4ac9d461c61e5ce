"""Sends a body in pieces, as fast as the client reads it and not faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from pybal.runtime.turns import Turns
from pybal.status.renderings import Body

STALL_TIMEOUT = 20
"""Seconds within which the client must read some of the response."""
SEND_TIMEOUT = 60
"""Seconds within which it must read the whole response."""


class Response(Protocol):
    """The request that is responded to, as a consumer."""

    def write(self, data: bytes) -> object: ...

    def finish(self) -> object: ...

    def registerProducer(self, producer: object, streaming: bool) -> object: ...  # noqa: N802

    def unregisterProducer(self) -> object: ...  # noqa: N802


@implementer(IPushProducer)
class BodyProducer:
    """Writes one piece, in its turn, whenever the transport has passed the previous one to the kernel.

    ``progressed`` is called for each piece, ``abort`` if the client does not read in time.
    """

    def __init__(
        self,
        response: Response,
        body: Body,
        clock: IReactorTime,
        turns: Turns,
        *,
        progressed: Callable[[], object],
        abort: Callable[[], object],
    ) -> None:
        self._response = response
        self._pieces = iter(body.pieces)
        self._clock = clock
        self._progressed = progressed
        self._abort = abort
        self._end = clock.seconds() + SEND_TIMEOUT
        self._deadline = clock.callLater(STALL_TIMEOUT, self._late)
        self._turns = turns
        self._queued = self._paused = False

    def start(self) -> None:
        """Write the first piece."""
        self._response.registerProducer(self, True)
        self._write()

    def resumeProducing(self) -> None:  # noqa: N802
        self._paused = False
        if not self._queued and self._deadline.active():
            self._queued = True
            self._turns.add(self._in_turn)

    def pauseProducing(self) -> None:  # noqa: N802
        self._paused = True

    def stopProducing(self) -> None:  # noqa: N802
        """Stop, because all is sent or the client is gone."""
        if self._deadline.active():
            self._deadline.cancel()

    def _in_turn(self) -> None:
        self._queued = False
        if not self._paused and self._deadline.active():
            self._write()

    def _write(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self.stopProducing()
            self._response.unregisterProducer()
            self._response.finish()
            return
        self._progressed()
        self._deadline.reset(min(STALL_TIMEOUT, max(0.0, self._end - self._clock.seconds())))
        # Before the write, because it may call pauseProducing.
        self.resumeProducing()
        self._response.write(piece)

    def _late(self) -> None:
        self.stopProducing()
        self._abort()
