"""Exponential back-off: factor, limit, jitter and reset."""

from __future__ import annotations

from random import Random

from pybal.runtime.backoff import Backoff


def test_backoff_multiplies_by_the_factor_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 60.0, factor=2.0)
    assert [backoff.pause() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_backoff_shortens_a_pause_by_at_most_the_jitter() -> None:
    random = Random(1)
    pauses = [Backoff(10.0, 60.0, random, jitter=0.5).pause() for _ in range(1000)]
    assert 5.0 <= min(pauses) < 5.1
    assert 9.9 < max(pauses) <= 10.0


def test_backoff_starts_with_the_limit_when_it_is_below_first() -> None:
    assert Backoff(5.0, 2.0).pause() == 2.0


def test_backoff_starts_again_after_a_reset() -> None:
    backoff = Backoff(1.0, 60.0)
    backoff.pause()
    assert backoff.following == 1.5
    backoff.reset()
    assert backoff.pause() == 1.0


def test_pauses_of_different_monitors_differ() -> None:
    random = Random(1)
    assert len({Backoff(1.0, 300.0, random).pause() for _ in range(100)}) == 100


def test_pauses_of_ten_attempts_take_under_two_minutes() -> None:
    backoff = Backoff(1.0, 300.0, Random(1))
    assert sum(backoff.pause() for _ in range(10)) < 120
