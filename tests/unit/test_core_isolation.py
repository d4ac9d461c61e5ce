"""Isolation: when checks without a response are ignored, for how long, and what ends it."""

from __future__ import annotations

import math

from pybal.core.isolation import Isolation, LastResponse, Outage, detect_outage
from pybal.core.model import SuspectSelf

Responses = list[LastResponse]


def responses(at: float, **services: int) -> Responses:
    """Return one response at a time from each host; the keywords give the number of hosts of each service."""
    return [LastResponse(name, f"{name}{number}", at) for name, count in services.items() for number in range(count)]


def detection(last: Responses, suspect_self: SuspectSelf = SuspectSelf.HOLD) -> tuple[Isolation, list[str]]:
    """Return the detection and the list of lines it logs."""
    lines: list[str] = []
    return Isolation(lambda: last, suspect_self, lines.append), lines


class TestDetectOutage:
    def test_six_hosts_are_enough_when_three_are_in_other_services(self) -> None:
        assert detect_outage(responses(99.0, text=3, upload=3), 100.0, 105.0) == Outage(100.0, 6, 2)

    def test_three_servers_in_one_pool_are_too_few(self) -> None:
        assert detect_outage(responses(99.0, text=3), 100.0, 105.0) is None

    def test_one_large_pool_and_two_other_servers_are_too_few(self) -> None:
        assert detect_outage(responses(99.0, text=1000, dns=2), 100.0, 105.0) is None

    def test_hosts_in_several_pools_count_once(self) -> None:
        last = [LastResponse(name, f"web{number}", 99.0) for name in ("http", "https") for number in range(5)]
        assert detect_outage(last, 100.0, 105.0) is None

    def test_outage_lasts_at_least_one_second(self) -> None:
        assert detect_outage(responses(99.9, text=9, upload=9), 100.0, 100.9) is None

    def test_hosts_count_when_they_responded_in_an_equal_period_before(self) -> None:
        last = responses(94.0, text=9, upload=9)
        assert detect_outage(last, 100.0, 105.0) is None
        assert detect_outage(last, 100.0, 106.0) == Outage(100.0, 18, 2)

    def test_hosts_that_never_responded_do_not_count(self) -> None:
        assert detect_outage(responses(-math.inf, text=9, upload=9), 100.0, 105.0) is None
        assert detect_outage((), -math.inf, 105.0) is None


class TestIsolation:
    def test_first_failure_of_an_outage_is_ignored(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4))
        assert isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        silent = "No response from any of 8 hosts in 2 services for 5 s"
        assert lines == [f"{silent}; this balancer may be isolated, ignoring timeouts"]
        assert (isolation.outage, isolation.count) == (Outage(100.0, 8, 2), 1)

    def test_crash_counts_immediately_when_other_servers_respond(self) -> None:
        isolation, lines = detection(responses(104.0, text=4, upload=4))
        assert not isolation.ignores(100.1, 105.0, 105.1, lambda: 105.0)
        assert lines == []

    def test_failure_counts_when_a_response_came_during_the_check(self) -> None:
        isolation, _ = detection(responses(99.0, text=4, upload=4))
        assert not isolation.ignores(98.0, 100.0, 103.0, lambda: 100.0)

    def test_established_connection_counts_as_a_response(self) -> None:
        isolation, _ = detection(responses(99.0, text=4, upload=4))
        assert not isolation.ignores(100.1, 100.0, 105.1, lambda: 105.0)
        assert isolation.outage is None

    def test_checks_begun_before_the_first_response_are_ignored(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4))
        assert isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        isolation.update(108.0, 108.5)
        assert lines[1:] == ["First response after 8.0 s; acting on new check results again"]
        assert isolation.outage is None
        assert isolation.ignores(107.0, 112.0, 112.0, lambda: 112.0)
        assert isolation.ignores(111.4, 113.6, 113.6, lambda: 113.6)
        assert not isolation.ignores(111.6, 116.6, 116.6, lambda: 116.6)

    def test_first_response_ends_the_outage_without_an_update(self) -> None:
        isolation, _ = detection(responses(99.0, text=4, upload=4))
        assert isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        isolation.ignores(101.0, 105.5, 106.0, lambda: 105.5)
        assert isolation.outage is None

    def test_checks_begun_in_an_outage_shorter_than_a_check_are_ignored(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4))
        isolation.note_response(100.0, 104.0)
        assert isolation.ignores(100.5, 105.5, 105.5, lambda: 105.5)
        assert not isolation.ignores(107.5, 112.5, 112.5, lambda: 112.5)
        assert [line.partition(" ")[0] for line in lines] == ["No", "First"]

    def test_lull_of_few_rarely_checked_servers_is_no_outage(self) -> None:
        isolation, lines = detection(responses(99.0, text=2, upload=2))
        isolation.note_response(100.0, 104.0)
        assert not isolation.ignores(100.5, 105.5, 105.5, lambda: 105.5)
        assert lines == []

    def test_regular_lull_is_no_outage_from_its_second_time_on(self) -> None:
        last = responses(99.0, text=4, upload=4)
        isolation, lines = detection(last)
        isolation.note_response(100.0, 101.1)
        last[:] = responses(109.0, text=4, upload=4)
        isolation.note_response(110.0, 111.1)
        assert isolation.count == 1
        assert len(lines) == 2
        assert not isolation.ignores(110.5, 115.5, 115.5, lambda: 115.5)

    def test_outage_begins_when_longer_than_twice_the_recent_lull(self) -> None:
        last = responses(99.0, text=4, upload=4)
        isolation, _ = detection(last)
        isolation.note_response(100.0, 101.1)
        last[:] = responses(109.0, text=4, upload=4)
        assert isolation.ignores(110.0, 110.0, 112.5, lambda: 110.0)
        assert isolation.count == 2

    def test_lulls_expire(self) -> None:
        last = responses(99.0, text=4, upload=4)
        isolation, _ = detection(last)
        isolation.note_response(100.0, 108.0)
        last[:] = responses(229.0, text=4, upload=4)
        assert isolation.ignores(230.0, 230.0, 235.0, lambda: 230.0)
        assert isolation.count == 2

    def test_failures_count_again_after_a_minute_without_a_response(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4))
        assert isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        assert isolation.ignores(155.0, 100.0, 160.0, lambda: 100.0)
        assert not isolation.ignores(155.1, 100.0, 160.1, lambda: 100.0)
        silent = "No response from any of 8 hosts in 2 services for more than 60 s"
        assert lines[1:] == [f"{silent}; acting on check results again"]
        assert not isolation.ignores(175.0, 100.0, 180.0, lambda: 100.0)
        assert isolation.count == 1

    def test_suspect_self_alert_logs_the_outage_and_ignores_no_failure(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4), SuspectSelf.ALERT)
        assert not isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        assert isolation.outage is not None
        assert lines[0].endswith("this balancer may be isolated, acting on timeouts (suspect-self = alert)")

    def test_suspect_self_off_disables_the_detection(self) -> None:
        isolation, lines = detection(responses(99.0, text=4, upload=4), SuspectSelf.OFF)
        assert not isolation.ignores(100.1, 100.0, 105.1, lambda: 100.0)
        assert (isolation.outage, lines) == (None, [])

    def test_search_runs_once_a_second_for_any_number_of_failures(self) -> None:
        searches: list[float] = []

        def find_response() -> float:
            searches.append(0.0)
            return 100.0

        isolation, _ = detection(responses(99.0, text=1000))
        for number in range(1000):
            assert not isolation.ignores(100.0, 100.0, 105.0 + number / 1000, find_response)
        assert len(searches) == 1
