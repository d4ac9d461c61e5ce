"""The responses of PyBal 1.15, byte for byte, and the programs that parse them."""

from __future__ import annotations

import re

import pytest

from pybal.core.model import Health, Snapshot
from pybal.status import compat115
from pybal.status.json_pieces import pieces
from tests.harness.snapshots import (
    DOWN,
    FORCED,
    HEALTHY,
    OUT,
    POOLED,
    SICK,
    SMALL,
    UNKNOWN,
    UP,
    document,
    pool,
    server,
    snapshot,
)


def alerts(shown: Snapshot) -> str:
    return "".join(compat115.alerts_text(shown))


def test_alerts_of_many_pools_are_made_in_parts() -> None:
    shown = snapshot(*(pool(f"s{number}", server("a", DOWN), server("b")) for number in range(50)))
    assert len(list(compat115.alerts_text(shown))) > 50
    assert len(list(pieces(compat115.alerts_json(shown)))) > 50


def test_alerts_are_ok_without_a_newline() -> None:
    assert alerts(HEALTHY) == "OK - All pools are healthy"


def test_alerts_name_every_small_pool_and_keep_the_trailing_blank() -> None:
    assert alerts(SMALL) == (
        "WARNING - Pool web is too small to allow depooling. Pool api is too small to allow depooling. "
    )


def test_alerts_name_servers_in_order_and_hide_warnings_when_critical() -> None:
    assert alerts(SICK) == (
        "CRITICAL - web: Servers a, b are marked down but pooled; api: Servers h are marked down but pooled"
    )


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        (HEALTHY, {"status": "ok", "msg": "All pools are healthy"}),
        (
            SMALL,
            {
                "status": "warning",
                "msg": "Pool web is too small to allow depooling. Pool api is too small to allow depooling. ",
            },
        ),
        (
            SICK,
            {
                "status": "critical",
                "msg": "web: Servers a, b are marked down but pooled; api: Servers h are marked down but pooled",
            },
        ),
    ],
)
def test_alerts_json_has_two_keys_and_no_prefix(shown: Snapshot, value: object) -> None:
    assert document(compat115.alerts_json(shown)) == value


def test_alerts_ignore_unknown_servers() -> None:
    assert alerts(snapshot(pool("web", server("a", UNKNOWN), server("b", UNKNOWN, FORCED), server("c")))) == (
        "OK - All pools are healthy"
    )


def test_alerts_ignore_down_servers_that_are_depooled() -> None:
    assert alerts(snapshot(pool("web", server("a", DOWN, OUT), server("b"), server("c")))).startswith("OK")


def test_alerts_ignore_the_size_of_a_pool_of_one_server() -> None:
    assert alerts(snapshot(pool("web", server("a"), threshold=1))).startswith("OK")


@pytest.mark.parametrize(("shown", "code"), [(HEALTHY, 0), (SMALL, 1), (SICK, 2)])
def test_check_pybal_derives_its_exit_code_from_alerts(shown: Snapshot, code: int) -> None:
    text = alerts(shown)
    # check_pybal's rule, from the contract: ^OK, ^WARNING, anything else is critical.
    assert (0 if re.match("^OK", text) else 1 if re.match("^WARNING", text) else 2) == code


def test_pools_are_listed_in_the_order_of_the_configuration() -> None:
    assert compat115.pools_text(SICK) == "tiny\nweb\nfine\napi\n"
    assert compat115.pools_json(SICK) == ["tiny", "web", "fine", "api"]


def test_pool_text_has_a_line_per_server_in_the_order_of_its_source() -> None:
    shown = pool("web", server("b"), server("a", DOWN, FORCED), server("c", UNKNOWN, OUT), server("d", enabled=False))
    assert "".join(compat115.pool_text(shown)) == (
        "b:\tenabled/up/pooled\na:\tenabled/down/pooled\nc:\tenabled/down/not pooled\nd:\tdisabled/up/pooled\n"
    )


def test_pool_json_has_four_keys_for_each_server() -> None:
    assert document(
        compat115.pool_json(pool("web", server("a", weight=0), server("b", UNKNOWN, OUT, enabled=False)))
    ) == {
        "a": {"pooled": True, "weight": 0, "up": True, "enabled": True},
        "b": {"pooled": False, "weight": 10, "up": False, "enabled": False},
    }


@pytest.mark.parametrize(("health", "word"), [(UP, "up"), (DOWN, "down"), (UNKNOWN, "down")])
def test_server_text_is_three_words_and_a_newline(health: Health, word: str) -> None:
    assert compat115.server_text(server("a", health, POOLED)) == f"enabled/{word}/pooled\n"


def test_safe_service_restart_finds_exactly_its_four_keys() -> None:
    facts = compat115.server_json(server("a"))
    assert isinstance(facts, dict)
    assert set(facts) == {"pooled", "weight", "up", "enabled"}
    assert [type(facts[key]) for key in ("pooled", "weight", "up", "enabled")] == [bool, int, bool, bool]


def test_check_pybal_ipvs_diff_counts_pooled_servers() -> None:
    lines = list(compat115.pool_text(SICK.pools["web"]))
    assert sum(line.endswith("/pooled\n") for line in lines) == 3


def test_tally_counts_each_state() -> None:
    shown = pool(
        "web",
        server("a"),
        server("b", DOWN, FORCED),
        server("c", UNKNOWN, OUT),
        server("d", UP, OUT, enabled=False),
        server("e", UP, OUT, address=None),
        threshold=0.4,
    )
    assert compat115.tally(shown, could_not_depool=7) == compat115.Tally(
        total=5,
        enabled=4,
        up=3,
        unknown=1,
        down=1,
        serving=1,
        pooled=2,
        forced=1,
        pooled_down=1,
        floor=2,
        can_depool=False,
        threshold=0.4,
        could_not_depool=7,
    )
