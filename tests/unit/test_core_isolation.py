"""When nobody is heard: whose fault that is, for how long, and what ends it."""

from __future__ import annotations

import math

from pybal.core.isolation import Isolation, LastResponse, Silence, silence
from pybal.core.model import SuspectSelf

Answers = list[LastResponse]


def answers(at: float, **services: int) -> Answers:
    """Return an answer at that time of each of so many hosts of each service."""
    return [LastResponse(name, f"{name}{number}", at) for name, count in services.items() for number in range(count)]


def cut_off(heard: Answers, suspect_self: SuspectSelf = SuspectSelf.HOLD) -> tuple[Isolation, list[str]]:
    said: list[str] = []
    return Isolation(lambda: heard, suspect_self, said.append), said


class TestWhatMakesASilence:
    def test_six_hosts_of_which_three_are_elsewhere_are_enough(self) -> None:
        assert silence(answers(99.0, text=3, upload=3), 100.0, 105.0) == Silence(100.0, 6, 2)

    def test_three_servers_in_one_pool_never_are(self) -> None:
        assert silence(answers(99.0, text=3), 100.0, 105.0) is None

    def test_nor_is_one_pool_of_any_size_beside_two_servers(self) -> None:
        assert silence(answers(99.0, text=1000, dns=2), 100.0, 105.0) is None

    def test_hosts_that_serve_in_several_pools_count_once(self) -> None:
        heard = [LastResponse(name, f"web{number}", 99.0) for name in ("http", "https") for number in range(5)]
        assert silence(heard, 100.0, 105.0) is None

    def test_a_moment_of_silence_is_none(self) -> None:
        assert silence(answers(99.9, text=9, upload=9), 100.0, 100.9) is None

    def test_only_who_answered_in_as_long_a_time_before_was_to_be_heard(self) -> None:
        heard = answers(94.0, text=9, upload=9)
        assert silence(heard, 100.0, 105.0) is None
        assert silence(heard, 100.0, 106.0) == Silence(100.0, 18, 2)

    def test_who_never_answered_is_not_missed(self) -> None:
        assert silence(answers(-math.inf, text=9, upload=9), 100.0, 105.0) is None
        assert silence((), -math.inf, 105.0) is None


class TestCutOff:
    def test_the_first_failure_in_a_silence_is_excused_already(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4))
        assert cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        silent = "none of 8 hosts of 2 services that had just answered did so for the last 5 s"
        assert said == [f"{silent}: we may be cut off, what fails so says nothing"]
        assert (cut.silence, cut.times) == (Silence(100.0, 8, 2), 1)

    def test_one_crash_among_servers_that_answer_is_believed_at_once(self) -> None:
        cut, said = cut_off(answers(104.0, text=4, upload=4))
        assert not cut.excuses(100.1, 105.0, 105.1, lambda: 105.0)
        assert said == []

    def test_a_check_in_whose_life_others_were_heard_is_believed(self) -> None:
        cut, _ = cut_off(answers(99.0, text=4, upload=4))
        assert not cut.excuses(98.0, 100.0, 103.0, lambda: 100.0)

    def test_connections_that_come_about_without_an_answer_are_something_heard(self) -> None:
        cut, _ = cut_off(answers(99.0, text=4, upload=4))
        assert not cut.excuses(100.1, 100.0, 105.1, lambda: 105.0)
        assert cut.silence is None

    def test_an_answer_ends_it_and_checks_from_within_it_are_still_excused(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4))
        assert cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        cut.listen(108.0, 108.5)
        assert said[1:] == ["somebody answers again after 8.0 s: new checks are believed"]
        assert cut.silence is None
        assert cut.excuses(107.0, 112.0, 112.0, lambda: 112.0)
        assert cut.excuses(111.4, 113.6, 113.6, lambda: 113.6)
        assert not cut.excuses(111.6, 116.6, 116.6, lambda: 116.6)

    def test_an_answer_ends_it_without_waiting_to_be_listened_for(self) -> None:
        cut, _ = cut_off(answers(99.0, text=4, upload=4))
        assert cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        cut.excuses(101.0, 105.5, 106.0, lambda: 105.5)
        assert cut.silence is None

    def test_a_silence_too_short_for_a_check_to_fail_in_excuses_those_that_met_it(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4))
        cut.heard(100.0, 104.0)
        assert cut.excuses(100.5, 105.5, 105.5, lambda: 105.5)
        assert not cut.excuses(107.5, 112.5, 112.5, lambda: 112.5)
        assert [line.partition(" ")[0] for line in said] == ["none", "somebody"]

    def test_a_lull_of_a_few_servers_that_are_seldom_checked_is_no_silence(self) -> None:
        cut, said = cut_off(answers(99.0, text=2, upload=2))
        cut.heard(100.0, 104.0)
        assert not cut.excuses(100.5, 105.5, 105.5, lambda: 105.5)
        assert said == []

    def test_a_lull_that_comes_in_every_round_is_no_silence_from_the_second_on(self) -> None:
        heard = answers(99.0, text=4, upload=4)
        cut, said = cut_off(heard)
        cut.heard(100.0, 101.1)
        heard[:] = answers(109.0, text=4, upload=4)
        cut.heard(110.0, 111.1)
        assert cut.times == 1
        assert len(said) == 2
        assert not cut.excuses(110.5, 115.5, 115.5, lambda: 115.5)

    def test_a_silence_much_longer_than_the_lulls_of_late_is_one(self) -> None:
        heard = answers(99.0, text=4, upload=4)
        cut, _ = cut_off(heard)
        cut.heard(100.0, 101.1)
        heard[:] = answers(109.0, text=4, upload=4)
        assert cut.excuses(110.0, 110.0, 112.5, lambda: 110.0)
        assert cut.times == 2

    def test_lulls_are_forgotten(self) -> None:
        heard = answers(99.0, text=4, upload=4)
        cut, _ = cut_off(heard)
        cut.heard(100.0, 108.0)
        heard[:] = answers(229.0, text=4, upload=4)
        assert cut.excuses(230.0, 230.0, 235.0, lambda: 230.0)
        assert cut.times == 2

    def test_after_a_minute_all_are_believed_to_be_dead_until_somebody_is_heard(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4))
        assert cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        assert cut.excuses(155.0, 100.0, 160.0, lambda: 100.0)
        assert not cut.excuses(155.1, 100.0, 160.1, lambda: 100.0)
        silent = "none of 8 hosts of 2 services that had just answered did so for the last 60 s"
        assert said[1:] == [f"{silent}: that is too long to be held for our own fault, checks are believed"]
        assert not cut.excuses(175.0, 100.0, 180.0, lambda: 100.0)
        assert cut.times == 1

    def test_alert_says_so_and_excuses_nobody(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4), SuspectSelf.ALERT)
        assert not cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        assert cut.silence is not None
        assert said[0].endswith("we may be cut off, servers are blamed for it")

    def test_off_does_not_even_look(self) -> None:
        cut, said = cut_off(answers(99.0, text=4, upload=4), SuspectSelf.OFF)
        assert not cut.excuses(100.1, 100.0, 105.1, lambda: 100.0)
        assert (cut.silence, said) == (None, [])

    def test_it_is_looked_into_once_a_second_however_many_fail(self) -> None:
        looks: list[float] = []

        def ask() -> float:
            looks.append(0.0)
            return 100.0

        cut, _ = cut_off(answers(99.0, text=1000))
        for number in range(1000):
            assert not cut.excuses(100.0, 100.0, 105.0 + number / 1000, ask)
        assert len(looks) == 1
