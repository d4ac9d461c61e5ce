"""The looks of each state of a server, and the bar of a pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.core.model import Health, Placement, Server
from pybal.status.page.elements import Mark
from pybal.status.page.states import State, bar, numbers, state_of, words
from tests.harness import page_story
from tests.harness.page_reader import PageReader
from tests.harness.snapshots import DOWN, FORCED, OUT, POOLED, UNKNOWN, UP, pool, server

UNRESOLVED = replace(server("a", UNKNOWN, OUT, address=None), unresolvable=True)
SUSPECT = page_story.server("a", 1, Health.DOWN, Placement.POOLED, suspect=True)


@pytest.mark.parametrize(
    ("shown", "state", "mark"),
    [
        (server("a", UP, POOLED), State.SERVING, Mark.OK),
        (server("a", UP, POOLED, weight=0), State.WEIGHTLESS, Mark.OK),
        (server("a", DOWN, FORCED), State.FORCED, Mark.CRIT),
        (server("a", DOWN, OUT), State.DOWN, Mark.WARN),
        (server("a", DOWN, OUT, weight=0), State.DOWN, Mark.WARN),
        (SUSPECT, State.SUSPECT, Mark.QUERY),
        (server("a", UNKNOWN, POOLED), State.UNKNOWN_POOLED, Mark.QUERY),
        (server("a", UNKNOWN, OUT), State.UNKNOWN, Mark.QUERY),
        (UNRESOLVED, State.UNKNOWN, Mark.QUERY),
        (server("a", UP, OUT, enabled=False), State.DISABLED, Mark.NONE),
        (server("a", DOWN, OUT, enabled=False), State.DISABLED, Mark.NONE),
    ],
)
def test_server_has_the_state_of_the_table(shown: Server, state: State, mark: Mark) -> None:
    assert state_of(shown.condition) is state
    assert state.mark is mark
    assert state.pooled is shown.pooled


def test_every_state_has_its_own_key() -> None:
    assert len({state.key for state in State}) == len(State)


def test_bar_has_pooled_servers_first_and_the_floor() -> None:
    shown = pool("web", server("a", DOWN, OUT), server("b"), server("c", DOWN, FORCED), server("d"), threshold=0.75)
    drawn = bar(shown, numbers(shown), empty=False)
    parts = ["<rect class=u width=50% />", "<rect class=f x=50% width=25% />", "<rect class=d x=75% width=25% />"]
    assert "".join([*parts, "<rect class=t x=75% />"]) in drawn
    assert "class=bar " in drawn
    assert "class='bar z'" in bar(shown, numbers(shown), empty=True)


def test_bar_of_an_empty_pool_has_no_parts() -> None:
    assert "<rect" not in bar(pool("web"), {}, empty=True)


def test_words_name_every_state_but_serving_the_worst_first() -> None:
    shown = pool(
        "web",
        server("a"),
        server("b", DOWN, OUT),
        server("c", UNKNOWN, OUT),
        server("d", UNKNOWN),
        server("e", DOWN, FORCED),
    )
    assert PageReader.of(words(numbers(shown))).words == [
        ("crit", "1 forced"),
        ("warn", "1 down"),
        ("query", "2 unknown"),
    ]
    assert words(numbers(pool("web", server("a")))) == ""
