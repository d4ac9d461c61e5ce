"""Fault injection: each periodic activity goes on after an exception; its alert appears and clears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from typing_extensions import override

from pybal.bgp.announcer import Announcer
from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Standing
from pybal.checks.engine import Engine
from pybal.config.settings import BGPSettings
from pybal.control.freeze import Freezer
from pybal.core.model import Member
from pybal.doctor.finding import Finding
from pybal.doctor.periodic import INTERVAL, Examination
from pybal.resolve import LookupResult, Resolver
from pybal.runtime.faults import FORGET_SECONDS, Faults
from pybal.runtime.systemd import Notifier
from pybal.sources.base import SourceError
from pybal.sources.feed import Feed
from pybal.sources.formats.text import Listing


class Bomb:
    """A seam: raises once, at the call that the test chooses, and counts its calls."""

    def __init__(self) -> None:
        self.armed = False
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.armed:
            self.armed = False
            raise MemoryError


@dataclass
class RunningActivity:
    """An activity with a seam: ``advance`` lets it make calls, ``alert`` yields its own problems."""

    seam: Bomb
    advance: Callable[[], None]
    stop: Callable[[], object]
    alert: Callable[[], Iterable[str]] = tuple


def watchdog(clock: Clock, seam: Bomb) -> RunningActivity:
    class SeamedNotifier(Notifier):
        @override
        def notify(self, state: str) -> None:
            if state == "WATCHDOG=1":
                seam()

    notifier = SeamedNotifier({"WATCHDOG_USEC": "2000000"}, clock)
    notifier.ready("ok")
    return RunningActivity(seam, lambda: clock.pump([1.0, 1.0]), notifier.stopping)


def doctor(clock: Clock, seam: Bomb) -> RunningActivity:
    def examine() -> list[Finding]:
        seam()
        return []

    examination = Examination(examine, clock)
    examination.start()
    return RunningActivity(seam, lambda: clock.pump([INTERVAL]), examination.stop)


def announcer(clock: Clock, seam: Bomb) -> RunningActivity:
    class Sink:
        def announce(self, announcements: Iterable[Announcement]) -> None:
            raise AssertionError

    def gather() -> Iterator[Standing]:
        seam()
        return iter(())

    decider = Announcer(BGPSettings(()), Sink(), gather, clock=clock)
    decider.start()

    def advance() -> None:
        decider.changed()
        clock.pump([0.0, 1.0])

    return RunningActivity(seam, advance, decider.stop)


def freeze(clock: Clock, seam: Bomb) -> RunningActivity:
    freezer = Freezer(clock, seam)

    def advance() -> None:
        armed, seam.armed = seam.armed, False
        freezer.freeze("root", "test", 5.0)
        seam.armed = armed
        clock.pump([5.0, 1.0])
        assert freezer.frozen is None

    return RunningActivity(seam, advance, freezer.stop)


def checks(clock: Clock, seam: Bomb) -> RunningActivity:
    class Reactor(Clock):
        def addReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name

        def removeReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name

        @override
        def callLater(self, *args: Any, **kwargs: Any) -> Any:
            return clock.callLater(*args, **kwargs)

    class SeamedLateness:
        def note(self, lag: float) -> None:
            seam()

    engine = Engine(Reactor(), clock.seconds)
    engine.lateness = SeamedLateness()  # type: ignore[assignment]  # the seam
    engine.start()
    turns = Bomb()
    engine.every(1.0, turns)

    def advance() -> None:
        before = turns.calls
        clock.pump([0.01] * 300)
        assert turns.calls >= before + 2

    return RunningActivity(seam, advance, engine.stop)


def source(clock: Clock, seam: Bomb) -> RunningActivity:
    class Reader:
        differences = 0

        async def read(self, feed: Feed) -> float:
            seam()
            feed.list(Listing((Member("a"),), ()))
            return 1.0

        def retry(self, error: SourceError) -> float:
            return 1.0

        def close(self) -> None: ...

    feed = Feed("file:///web", Reader(), clock, Random(1))
    feed.start(lambda _members: None, lambda _error: None)

    def alerts() -> list[str]:
        return [feed.problem] if feed.problem else []

    return RunningActivity(seam, lambda: clock.pump([1.0]), feed.stop, alerts)


def resolver(clock: Clock, seam: Bomb) -> RunningActivity:
    async def look_up(host: str, version: int) -> LookupResult:
        seam()
        return LookupResult((ip_address("192.0.2.1"),), 5.0)

    resolver = Resolver(look_up, clock, Random(1))
    follower = resolver.follow("a.example.org", 4, lambda _address: None)

    def alerts() -> list[str]:
        return [follower.problem] if follower.problem else []

    return RunningActivity(seam, lambda: clock.pump([0.0, 6.0]), resolver.stop, alerts)


ACTIVITIES = (watchdog, doctor, announcer, freeze, checks, source, resolver)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults(clock: Clock) -> Iterator[Faults]:
    observer = Faults(clock.seconds)
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


@pytest.mark.parametrize("build", ACTIVITIES, ids=lambda build: build.__name__)
def test_activity_goes_on_after_an_exception(
    build: Callable[[Clock, Bomb], RunningActivity], clock: Clock, faults: Faults
) -> None:
    running = build(clock, Bomb())
    running.advance()
    running.seam.armed = True
    before = running.seam.calls
    running.advance()
    assert not running.seam.armed
    assert faults.total == 1
    running.advance()
    running.advance()
    assert running.seam.calls >= before + 2
    assert list(running.alert()) == []
    clock.advance(FORGET_SECONDS)
    assert list(faults.alerts()) == []
    running.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("build", [watchdog, doctor, source], ids=lambda build: build.__name__)
def test_exception_of_an_activity_is_an_alert(
    build: Callable[[Clock, Bomb], RunningActivity], clock: Clock, faults: Faults
) -> None:
    running = build(clock, Bomb())
    running.advance()
    seen: list[str] = []
    running.seam.armed = True
    for _ in range(400):
        if not running.seam.armed:
            break
        clock.advance(0.25)
        seen = [*(alert.text for alert in faults.alerts()), *running.alert()]
    assert any("MemoryError" in text for text in seen)
    running.stop()
