"""What follows from what is known of a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.core.model import Health, Member, Placement, Report, Server
from tests.harness.pool_events import ip

UP = Report(True)
DOWN = Report(False, "connect: refused")


@pytest.mark.parametrize(
    ("reports", "health"),
    [
        ((), Health.UP),
        ((UP,), Health.UP),
        ((UP, UP), Health.UP),
        ((None,), Health.UNKNOWN),
        ((UP, None), Health.UNKNOWN),
        ((None, UP), Health.UNKNOWN),
        ((UP, DOWN), Health.DOWN),
        ((None, DOWN), Health.DOWN),
        ((DOWN, None), Health.DOWN),
    ],
)
def test_health_is_what_all_monitors_together_know(reports: tuple[Report | None, ...], health: Health) -> None:
    assert Server(Member("a"), dict(enumerate_names(reports))).health is health


def test_health_follows_a_change_of_the_reports() -> None:
    server = Server(Member("a"), {"M": UP})
    assert replace(server, reports={"M": DOWN}).health is Health.DOWN


@pytest.mark.parametrize(
    ("reports", "word"),
    [
        ((), "up"),
        ((UP, UP), "up"),
        ((UP, DOWN), "partially up"),
        ((UP, None), "partially up"),
        ((DOWN,), "down"),
        ((None,), "down"),
        ((None, DOWN), "down"),
    ],
)
def test_unknown_shows_as_down_where_the_contract_has_two_words_only(
    reports: tuple[Report | None, ...], word: str
) -> None:
    assert Server(Member("a"), dict(enumerate_names(reports))).status == f"enabled/{word}/not pooled"


def test_a_forced_server_shows_as_pooled() -> None:
    server = Server(Member("a", enabled=False), placement=Placement.FORCED)
    assert server.status == "disabled/up/pooled"


def test_an_unknown_server_is_never_pooled_but_down() -> None:
    assert not Server(Member("a"), {"M": None}, ip(1), placement=Placement.FORCED).pooled_down
    assert Server(Member("a"), {"M": DOWN}, ip(1), placement=Placement.FORCED).pooled_down
    assert not Server(Member("a"), {"M": DOWN}, ip(1)).pooled_down


def test_eligible_is_enabled_and_with_an_address() -> None:
    assert Server(Member("a"), address=ip(1)).eligible
    assert not Server(Member("a")).eligible
    assert not Server(Member("a", enabled=False), address=ip(1)).eligible


def test_serving_is_eligible_and_up() -> None:
    assert Server(Member("a"), {"M": UP}, ip(1)).serving
    assert not Server(Member("a"), {"M": None}, ip(1)).serving
    assert not Server(Member("a"), {"M": UP}).serving


def test_ready_is_with_an_address() -> None:
    assert Server(Member("a", enabled=False), address=ip(1)).ready
    assert not Server(Member("a")).ready


def test_servers_are_equal_when_all_that_is_known_of_them_is() -> None:
    assert Server(Member("a"), {"M": UP}, ip(1)) == Server(Member("a"), {"M": Report(True)}, ip(1))
    assert Server(Member("a"), {"M": UP}, ip(1)) != Server(Member("a"), {"M": DOWN}, ip(1))


def enumerate_names(reports: tuple[Report | None, ...]) -> list[tuple[str, Report | None]]:
    return [(f"M{number}", report) for number, report in enumerate(reports)]
