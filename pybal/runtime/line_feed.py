"""Lines of a stream in slices: a flood of lines does not hold the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pybal.runtime.lines import LineSplitter

SLICE = 100
"""Lines of one turn of the loop."""


class LineFeed:
    """Passes the lines of a stream to ``received``, at most 100 in one turn of the loop.

    The owner feeds a piece only while the feed is not ``busy``: ``pause`` is called when lines are left for the next turn,
    ``resume`` when none is. An exception of ``received`` loses its line only.
    """

    def __init__(
        self,
        lines: LineSplitter,
        received: Callable[[bytes], None],
        clock: IReactorTime,
        *,
        pause: Callable[[], object],
        resume: Callable[[], object],
    ) -> None:
        self._lines = lines
        self._received = received
        self._clock = clock
        self._pause = pause
        self._resume = resume
        self._rest: Iterator[bytes] = iter(())
        self._next: IDelayedCall | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """True while lines are left for the next turn."""
        return self._next is not None

    def feed(self, piece: bytes) -> None:
        """Pass on the lines that a piece completes, the first ones within this call."""
        self._rest = self._lines.feed(piece)
        try:
            self._slice()
        finally:
            if self.busy:
                self._pause()

    def close(self) -> None:
        """Drop the lines that are left."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _continue(self) -> None:
        self._next = None
        self._slice()
        if not self.busy and not self._closed:
            self._resume()

    def _slice(self) -> None:
        """Pass on the next lines; stay busy if some may be left."""
        # Before the lines: an exception of one must not end the stream.
        self._next = self._clock.callLater(0, self._continue)
        for count, line in enumerate(self._rest, 1):
            self._received(line)
            if self._closed or count == SLICE:
                return
        self._next.cancel()
        self._next = None
