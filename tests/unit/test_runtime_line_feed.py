"""Lines in slices, on a clock that the test advances."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from pybal.runtime.line_feed import LineFeed
from pybal.runtime.lines import LineSplitter


class TurnClock(Clock):
    """A clock on which a call without delay is made 1 ms later: a turn of the loop."""

    def callLater(self, delay: float, *rest: Any, **more: Any) -> IDelayedCall:  # noqa: N802  # Twisted's
        return super().callLater(max(delay, 0.001), *rest, **more)


class Stream:
    """A feed and the lines that it passed on."""

    def __init__(self) -> None:
        self.clock = TurnClock()
        self.lines: list[bytes] = []
        self.states: list[str] = []
        self.feed = LineFeed(
            LineSplitter(1000, truncate=True),
            self.received,
            self.clock,
            pause=lambda: self.states.append("paused"),
            resume=lambda: self.states.append("resumed"),
        )

    def received(self, line: bytes) -> None:
        if line == b"bad":
            raise ValueError
        self.lines.append(line)


def test_few_lines_are_passed_on_within_the_call() -> None:
    stream = Stream()
    stream.feed.feed(b"one\ntwo\nthr")
    stream.feed.feed(b"ee\n")
    assert stream.lines == [b"one", b"two", b"three"]
    assert (stream.states, stream.clock.getDelayedCalls()) == ([], [])


def test_flood_of_lines_is_passed_on_in_slices_of_one_hundred() -> None:
    stream = Stream()
    stream.feed.feed(b"x\n" * 250)
    assert (len(stream.lines), stream.feed.busy, stream.states) == (100, True, ["paused"])
    stream.clock.advance(0.001)
    assert (len(stream.lines), stream.feed.busy) == (200, True)
    stream.clock.advance(0.001)
    assert (len(stream.lines), stream.feed.busy, stream.states) == (250, False, ["paused", "resumed"])
    assert stream.clock.getDelayedCalls() == []


def test_exception_loses_its_line_only() -> None:
    stream = Stream()
    with pytest.raises(ValueError):
        stream.feed.feed(b"one\nbad\ntwo\n")
    assert stream.states == ["paused"]
    stream.clock.advance(0.001)
    assert stream.lines == [b"one", b"two"]
    assert stream.states == ["paused", "resumed"]


def test_closed_feed_drops_the_rest() -> None:
    stream = Stream()
    stream.feed.feed(b"x\n" * 250)
    stream.feed.close()
    assert stream.clock.getDelayedCalls() == []
    assert len(stream.lines) == 100
