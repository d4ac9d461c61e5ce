"""Nodes that change one by one, in any order: the members are those of a list of all nodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybal.config.settings import Cordon, SourceSettings
from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.sources.base import SourceError
from pybal.sources.formats.text import Listing
from pybal.sources.kubernetes.members import SILENCE, NodeMembers
from pybal.sources.kubernetes.wire import Event, Node

NAMES = st.sampled_from("abcdefgh")
STATES = st.sampled_from((True, True, True, False, None))
NODES = st.none() | st.builds(lambda ready, cordoned: (ready, cordoned), STATES, st.booleans()) | st.just("invalid")
CHANGES = st.lists(st.tuples(NAMES, NODES, st.sampled_from((1.0, SILENCE))), max_size=30)


def node(name: str, state: tuple[bool | None, bool] | str) -> Node:
    if isinstance(state, str):
        return Node("2", None, None, problem=f"host {name}: {state}")
    return Node("2", Member(name, 1), *state)


def listed(members: NodeMembers, now: float) -> Listing | str:
    try:
        return members.listing(now)
    except SourceError as error:
        return str(error)


@given(CHANGES, st.sampled_from(Cordon), st.booleans(), st.sampled_from((0.0, 0.5, 1.0)))
def test_members_after_events_equal_those_of_a_list(
    changes: list[tuple[str, tuple[bool | None, bool] | str | None, float]],
    cordon: Cordon,
    monitored: bool,
    threshold: float,
) -> None:
    settings = SourceSettings("k8s://token@api", cordon=cordon, monitored=monitored, threshold=threshold)
    watched, read = NodeMembers(settings), NodeMembers(settings)
    nodes: dict[str, Node] = {}
    now = 0.0
    for name, state, seconds in changes:
        now += seconds
        found = state and node(name, state)
        if found:
            nodes[name] = found
        else:
            nodes.pop(name, None)
        watched.apply(Event("2", name, found or None), now)
        finish(read.replacing(nodes, "1", now))
        assert watched.nodes == read.nodes
        assert listed(watched, now) == listed(read, now)
