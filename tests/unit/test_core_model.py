"""The derived properties of a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.core.model import Health, Member, Move, Placement, Report, Server
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
def test_health_combines_the_reports_of_all_monitors(reports: tuple[Report | None, ...], health: Health) -> None:
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
def test_status_shows_unknown_as_down(reports: tuple[Report | None, ...], word: str) -> None:
    assert Server(Member("a"), dict(enumerate_names(reports))).status == f"enabled/{word}/not pooled"


def test_status_shows_forced_as_pooled() -> None:
    server = Server(Member("a", enabled=False), placement=Placement.FORCED)
    assert server.status == "disabled/up/pooled"


@pytest.mark.parametrize(
    "server",
    [
        Server(Member("a", enabled=False)),
        Server(Member("a"), address=ip(1)),
        Server(Member("a"), unresolvable=True),
        Server(Member("a"), move=Move(ip(1), {})),
    ],
    ids=["disabled", "with an address", "unresolvable", "arriving"],
)
def test_server_awaits_its_first_lookup_only(server: Server) -> None:
    assert Server(Member("a")).condition.awaits_lookup
    assert not server.condition.awaits_lookup


def test_pooled_down_is_false_for_an_unknown_server() -> None:
    assert not Server(Member("a"), {"M": None}, ip(1), placement=Placement.FORCED).pooled_down
    assert Server(Member("a"), {"M": DOWN}, ip(1), placement=Placement.FORCED).pooled_down
    assert not Server(Member("a"), {"M": DOWN}, ip(1)).pooled_down


def test_eligible_means_enabled_with_an_address() -> None:
    assert Server(Member("a"), address=ip(1)).eligible
    assert not Server(Member("a")).eligible
    assert not Server(Member("a", enabled=False), address=ip(1)).eligible


def test_serving_means_eligible_and_up() -> None:
    assert Server(Member("a"), {"M": UP}, ip(1)).serving
    assert not Server(Member("a"), {"M": None}, ip(1)).serving
    assert not Server(Member("a"), {"M": UP}).serving


def test_ready_means_with_an_address() -> None:
    assert Server(Member("a", enabled=False), address=ip(1)).ready
    assert not Server(Member("a")).ready


def test_servers_are_equal_when_their_facts_are_equal() -> None:
    assert Server(Member("a"), {"M": UP}, ip(1)) == Server(Member("a"), {"M": Report(True)}, ip(1))
    assert Server(Member("a"), {"M": UP}, ip(1)) != Server(Member("a"), {"M": DOWN}, ip(1))


def enumerate_names(reports: tuple[Report | None, ...]) -> list[tuple[str, Report | None]]:
    return [(f"M{number}", report) for number, report in enumerate(reports)]
