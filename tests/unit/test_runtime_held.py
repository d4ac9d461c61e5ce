"""The record of the callbacks that held the event loop."""

from __future__ import annotations

from functools import partial

from twisted.internet.task import Clock

from pybal.runtime.activity import Activity
from pybal.runtime.held import KEPT, QUIET, Held, name_of


def call() -> None:
    """Stand for a callback."""


class Source:
    """An owner of callbacks."""

    name = "web"
    occupation = ""

    def poll(self) -> None: ...


class Socket:
    """A reader, as the reactor holds them."""

    protocol = Source()


def test_name_of_a_method_has_the_name_of_its_owner() -> None:
    assert name_of(Source().poll) == "Source.poll web"
    assert name_of(partial(Source().poll)) == "Source.poll web"


def test_name_of_a_method_has_what_its_owner_was_occupied_with() -> None:
    owner = Source()
    owner.occupation = "10.0.0.1 HTTP"
    assert name_of(owner.poll) == "Source.poll web 10.0.0.1 HTTP"


def test_name_of_an_activity_is_that_of_its_call() -> None:
    assert name_of(Activity("beat", call, Clock()).wake) == "call"


def test_name_of_a_reader_has_its_protocol() -> None:
    assert name_of(Socket()) == "Socket Source"


def test_buckets_count_short_and_long_callbacks_cumulatively() -> None:
    held = Held()
    held.turns = 10
    held.note(call, 1.0, 0.03, 0.03)
    held.note(call, 2.0, 60.0, 1.0)
    counts = dict(held.buckets())
    assert (counts[0.001], counts[0.02], counts[0.05], counts[10.0]) == (8, 8, 9, 9)


def test_longest_callbacks_are_kept_in_order() -> None:
    held = Held()
    for number in range(KEPT + 5):
        held.note(call, number, 0.001 * (number + 1), 0.0)
    assert [round(hold.wall, 3) for hold in held.longest()] == [round(0.001 * n, 3) for n in range(KEPT + 5, 5, -1)]


def test_alarm_is_raised_by_half_a_second_and_clears_after_a_quiet_minute() -> None:
    held = Held()
    held.note(call, 100.0, 0.4, 0.4)
    assert held.alarm(100.0) is None
    held.note(call, 110.0, 0.6, 0.6)
    assert held.alarm(110.0 + QUIET - 1.0) is not None
    assert held.alarm(110.0 + QUIET) is None


def test_alarm_counts_holds_until_a_quiet_minute() -> None:
    held = Held()
    for at, wall in ((100.0, 0.6), (150.0, 0.9), (200.0, 0.7)):
        held.note(call, at, wall, wall)
    alarm = held.alarm(205.0)
    assert alarm is not None
    assert (alarm.count, alarm.since, alarm.last, alarm.longest.wall) == (3, 100.0, 200.0, 0.9)
    held.note(call, 300.0, 0.6, 0.6)
    alarm = held.alarm(300.0)
    assert alarm is not None
    assert (alarm.count, alarm.since) == (1, 300.0)


def test_observer_receives_each_noted_callback() -> None:
    held, seen = Held(), []
    held.observe = lambda hold: seen.append(hold.call)
    held.note(call, 1.0, 0.03, 0.03)
    assert seen == ["call"]
