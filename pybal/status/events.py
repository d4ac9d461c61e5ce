"""The event stream of the status page, ``GET /page/events``.

======  =====================================================
event   sent
======  =====================================================
beat    every 5 s: the daemon runs
change  if the page shows something else, at most once a second
======  =====================================================

Events have no data: on ``change`` the page loads itself (server-sent events, HTML Living Standard §9.2). The state is compared, never rendered, and only while a stream
is open. A client that does not read is disconnected before a buffer grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from pybal.runtime.activity import Activity

CONTENT_TYPE = b"text/event-stream"

MOST = 50
"""Streams at the same time."""
INTERVAL = 1.0
"""Seconds between two comparisons of the state."""
BEAT = 5
"""Comparisons from one beat to the next."""

RETRY = b"retry: 2000\n\n"
"""The begin of a stream: milliseconds after which the browser connects again."""
FULL = b"All %d event streams are in use; the page is updated by requests instead\n" % MOST

_BEAT = b"event: beat\ndata:\n\n"
_CHANGE = b"event: change\ndata:\n\n"


@dataclass(frozen=True, slots=True)
class Shown:
    """The state that the page shows, cheap to compare: ``parts`` by identity, ``facts`` by value."""

    parts: Sequence[object] = ()
    facts: Sequence[object] = ()

    def equals(self, other: Shown) -> bool:
        """Return whether the page shows the same for another state."""
        same = len(self.parts) == len(other.parts) and all(map(is_, self.parts, other.parts))
        return same and self.facts == other.facts


class Response(Protocol):
    """The request that is responded to, as a consumer."""

    def write(self, data: bytes) -> object: ...

    def registerProducer(self, producer: object, streaming: bool) -> object: ...  # noqa: N802


@implementer(IPushProducer)
class Stream:
    """One stream. ``progressed`` is called for each event, ``abort`` if the client does not read them."""

    def __init__(self, response: Response, progressed: Callable[[], object], abort: Callable[[], object]) -> None:
        self._response = response
        self._progressed = progressed
        self._abort = abort

    def start(self) -> None:
        """Begin the stream."""
        self._response.registerProducer(self, True)
        self._response.write(RETRY)

    def send(self, event: bytes) -> None:
        """Send an event."""
        self._progressed()
        self._response.write(event)

    def pauseProducing(self) -> None:  # noqa: N802
        """Disconnect: the buffers of the kernel are full, so the client has not read many events."""
        self._abort()

    def resumeProducing(self) -> None:  # noqa: N802
        """Ignore the call: a paused stream has ended."""

    def stopProducing(self) -> None:  # noqa: N802
        """Ignore the call: the client is gone."""


class Streams:
    """The open streams. ``shown`` returns the present state. A stream ends with its connection."""

    def __init__(self, clock: IReactorTime, shown: Callable[[], Shown], most: int = MOST) -> None:
        self._shown = shown
        self._most = most
        self._open: dict[Stream, None] = {}
        self._last = Shown()
        self._ticks = 0
        self._activity = Activity("event streams", self._tick, clock, interval=INTERVAL)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """True if no stream can be opened."""
        return len(self._open) >= self._most

    def open(self, stream: Stream) -> None:
        """Begin a stream and send events to it until it is closed."""
        if not self._open:
            self._last = self._shown()
            self._ticks = 0
            self._activity.start()
        self._open[stream] = None
        stream.start()

    def close(self, stream: Stream) -> None:
        """Send no more events to a stream, which has ended."""
        self._open.pop(stream, None)
        if not self._open:
            self._activity.stop()

    def _tick(self) -> None:
        last, self._last = self._last, self._shown()
        self._ticks += 1
        event = b"" if self._last.equals(last) else _CHANGE
        if self._ticks % BEAT == 0:
            event += _BEAT
        if event:
            for stream in tuple(self._open):
                stream.send(event)
