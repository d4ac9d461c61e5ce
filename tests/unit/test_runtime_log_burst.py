"""The limit of log lines per pool and second."""

from __future__ import annotations

from pybal.runtime.log_burst import BurstLimit

DOWN = "Monitoring instance {monitor} reports server {host} ({status}) down: {reason}"
KEPT = "Could not depool server {host} because of too many down!"


def admitted(limit: BurstLimit, system: str, kind: str, count: int) -> int:
    return sum(limit.admit(system, kind) for _ in range(count))


def test_lines_up_to_the_limit_are_admitted_per_pool() -> None:
    limit = BurstLimit(50)
    assert admitted(limit, "web", DOWN, 95) == 50
    assert admitted(limit, "web ProxyFetch", DOWN, 95) == 0
    assert admitted(limit, "other", DOWN, 10) == 10
    assert limit.suppressed == 140


def test_texts_that_operators_search_have_the_whole_limit_others_half() -> None:
    limit = BurstLimit(50)
    assert admitted(limit, "web", "IPVS not updated: {reason}; retrying", 95) == 25
    assert admitted(limit, "web", KEPT, 95) == 25


def test_summary_counts_the_suppressed_lines_by_text() -> None:
    limit = BurstLimit(2)
    for kind in (DOWN, DOWN, DOWN, DOWN, KEPT, "{text}"):
        limit.admit("web", kind)
    assert list(limit.ended(1.0)) == [
        (
            "web",
            (
                "and 4 more in the same second (log-burst = 2): "
                '2 of "Monitoring instance … reports server … (…) down: …", '
                '1 of "Could not depool server … because of too many down!", 1 of other texts'
            ),
        )
    ]


def test_next_second_has_the_whole_limit_again_and_no_second_summary() -> None:
    limit = BurstLimit(1)
    admitted(limit, "web", DOWN, 3)
    assert len(list(limit.ended(1.0))) == 1
    assert admitted(limit, "web", DOWN, 1) == 1
    assert list(limit.ended(1.9)) == []
    assert list(limit.ended(2.0)) == []


def test_limit_of_one_admits_a_line_of_each_class() -> None:
    limit = BurstLimit(1)
    assert admitted(limit, "web", "{text}", 2) == 1
    assert admitted(limit, "other", DOWN, 2) == 1
