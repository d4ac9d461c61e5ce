"""The queue of changes of one pool, with changes that fail."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from pybal.daemon.change_queue import Change, ChangeQueue
from pybal.runtime.turns import Turns, Work
from tests.harness.observed_faults import observed_faults
from tests.harness.turning_clock import TurningClock


class Made:
    """Changes that are noted by subject when they are made; those of ``broken`` fail."""

    def __init__(self) -> None:
        self.clock = TurningClock()
        self.queue = ChangeQueue(lambda: "web", self.clock, Turns(self.clock))
        self.broken: set[str] = set()
        self.tried: list[tuple[str, float]] = []
        self.made: list[str] = []

    def change(self, text: str, *, repeats: bool = True) -> Change:
        return Change(text.partition(" ")[0], partial(self._work, (text,)), repeats=repeats)

    def batch(self, *texts: str) -> Change:
        def parts() -> Sequence[Change]:
            return [self.change(text) for text in texts]

        return Change("batch", partial(self._work, texts), parts)

    def _work(self, texts: Sequence[str]) -> Work:
        yield
        for text in texts:
            self.tried.append((text, self.clock.seconds()))
            if text in self.broken:
                raise ValueError(text)
        self.made += texts


@pytest.fixture
def made() -> Made:
    return Made()


def test_change_that_fails_is_repeated_with_growing_pauses(made: Made) -> None:
    made.broken = {"list"}
    made.queue.add(made.change("list"))
    made.queue.add(made.change("settings"))
    assert made.made == ["settings"]
    made.clock.pump([1.0] * 200)
    assert [at for _, at in made.tried if _ == "list"] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0, 183.0]
    assert not made.queue
    made.broken.clear()
    made.clock.pump([1.0] * 60)
    assert made.made == ["settings", "list"]
    assert made.clock.getDelayedCalls() == []


def test_batch_that_fails_is_made_in_parts_before_later_changes(made: Made) -> None:
    made.broken = {"b"}
    made.queue.add(made.batch("a", "b", "c"))
    made.queue.add(made.change("list"))
    made.clock.settle()
    assert made.made == ["a", "c", "list"]


def test_newer_change_takes_the_place_of_one_that_was_set_aside(made: Made) -> None:
    made.broken = {"list 1", "list 2"}
    made.queue.add(made.change("list 1"))
    made.queue.add(made.batch("list 2", "other"))
    made.clock.settle()
    made.broken.clear()
    made.clock.pump([1.0] * 200)
    assert made.made == ["other", "list 2"]


def test_renewed_change_is_repeated_in_its_new_form(made: Made) -> None:
    made.broken = {"list 1"}
    made.queue.add(made.change("list 1"))
    made.queue.renew(made.change("list 2"))
    made.clock.pump([1.0] * 200)
    assert made.made == ["list 2"]


def test_change_that_does_not_repeat_is_dropped_after_an_exception(made: Made) -> None:
    made.broken = {"search"}
    with observed_faults(made.clock) as faults:
        made.queue.add(made.change("search", repeats=False))
        (alert,) = faults.alerts()
    assert "ValueError: search" in alert.text
    assert made.clock.getDelayedCalls() == []


def test_stopped_queue_repeats_nothing_and_has_no_alert(made: Made) -> None:
    made.broken = {"list"}
    with observed_faults(made.clock) as faults:
        made.queue.add(made.change("list"))
        (alert,) = faults.alerts()
        assert alert.text == "web: applying the list: internal error for 0 s (ValueError: list); retrying (see the log)"
        made.queue.stop()
        assert not list(faults.alerts())
    assert made.clock.getDelayedCalls() == []
