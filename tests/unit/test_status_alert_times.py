"""The times since which alerts last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from twisted.internet.task import Clock

from pybal.core.model import Alert
from pybal.status.alert_times import INTERVAL, AlertTimes
from tests.harness.turning_clock import TurningClock

DOWN = Alert("", "bgp", "session down for 1 s", subject="192.0.2.251")


class Watched:
    """Alerts that change, and their times."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.present: list[Alert] = []
        self.times = AlertTimes(lambda: self.present, self.clock)
        self.times.start()

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.advance(1.0)


def test_alert_lasts_since_the_first_look() -> None:
    watched = Watched()
    watched.pass_time(2 * INTERVAL)
    watched.present = [DOWN]
    watched.pass_time(INTERVAL)
    began = watched.clock.seconds()
    watched.present = [replace(DOWN, text="session down for 99 s")]
    watched.pass_time(10 * INTERVAL)
    assert watched.times.since(DOWN.key) == began


def test_alert_that_returns_begins_again() -> None:
    watched = Watched()
    watched.present = [DOWN]
    watched.pass_time(INTERVAL)
    watched.present = []
    watched.pass_time(INTERVAL)
    watched.present = [DOWN]
    watched.pass_time(INTERVAL)
    assert watched.times.since(DOWN.key) == 3 * INTERVAL


def test_alert_begins_when_it_is_requested_first() -> None:
    watched = Watched()
    watched.pass_time(2.0)
    assert watched.times.since(DOWN.key) == 2.0


def test_alerts_of_one_kind_differ_by_subject() -> None:
    watched = Watched()
    watched.present = [DOWN]
    watched.pass_time(INTERVAL)
    other = replace(DOWN, subject="192.0.2.252")
    watched.present = [DOWN, other]
    watched.pass_time(INTERVAL)
    assert (watched.times.since(DOWN.key), watched.times.since(other.key)) == (INTERVAL, 2 * INTERVAL)


def test_look_pauses_between_the_parts_of_a_long_computation() -> None:
    clock, computed = TurningClock(), list[int]()

    def parts() -> Iterator[Alert | None]:
        for number in range(3):
            computed.append(number)
            clock.rightNow += 0.03
            yield None

    times = AlertTimes(parts, clock)
    times.start()
    clock.rightNow += INTERVAL
    for _ in range(3):
        before = len(computed)
        clock.turn()
        assert len(computed) == before + 1
    times.stop()


def test_look_passes_the_present_alerts_and_its_beginning() -> None:
    clock, looks = Clock(), list[tuple[Sequence[Alert], float]]()
    times = AlertTimes(lambda: [DOWN, None], clock, lambda *look: looks.append(look))
    times.start()
    clock.advance(INTERVAL)
    assert looks == [([DOWN], INTERVAL)]
    times.stop()


def test_alert_times_leave_no_call_when_stopped() -> None:
    watched = Watched()
    watched.times.stop()
    assert watched.clock.getDelayedCalls() == []
