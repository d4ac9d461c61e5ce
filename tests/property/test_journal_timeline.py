"""The lines of one service are the same whether the lines of others are made or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from pybal.core.events import Event, Gathered
from pybal.core.model import Pool
from pybal.core.policy import step
from pybal.journal.replay import Replay
from pybal.journal.timeline import Line, Timeline
from tests.harness.journal_lines import JournalLines
from tests.harness.pool_events import down, healthy, listed, up

SERVICES = ("api", "text", "web")
HOSTS = "abcd"
SEGMENT = "begin a segment"

_reports = st.builds(lambda make, host: make(host), st.sampled_from([up, down]), st.sampled_from(HOSTS))
_steps: st.SearchStrategy[Event | str] = st.one_of(
    st.builds(Gathered, st.lists(_reports, min_size=1, max_size=5)),
    st.lists(st.sampled_from(HOSTS), min_size=1, unique=True).map(lambda hosts: listed("".join(hosts))),
    st.just(SEGMENT),
)


def pool(number: int) -> Pool:
    made = healthy(HOSTS)
    return replace(made, service=replace(made.service, name=SERVICES[number], vip=IPv4Address(f"192.0.2.{number}")))


def lines(journal: JournalLines, *services: str) -> Sequence[Line]:
    """Return the lines of services, by a replay that makes every decision as recorded."""
    replay = Replay()
    timeline = Timeline(replay, services)
    found = [line for record in journal.records() for line in timeline.take(record)]
    assert (replay.differences, replay.problems) == ([], [])
    return found


@given(st.lists(st.tuples(st.sampled_from(SERVICES), _steps), min_size=10, max_size=40))
def test_lines_of_a_service_are_those_among_all(happening: Sequence[tuple[str, Event | str]]) -> None:
    journal, pools = JournalLines(), {name: pool(number) for number, name in enumerate(SERVICES)}
    for name, each in happening:
        if isinstance(each, str):
            journal.begin()
            continue
        before, pools[name] = pools[name], step(pools[name], each)
        journal.record(name, each, before, pools[name])
    together = lines(journal, *SERVICES)
    for name in SERVICES:
        assert lines(journal, name) == [line for line in together if line.service in {"", name}]
