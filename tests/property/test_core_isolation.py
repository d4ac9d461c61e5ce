"""A fleet that is checked in turns, servers that die, a link that fails: who is excused, whatever happens when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from pybal.core.isolation import AFTERMATH, LONGEST, SHORTEST, Isolation, LastResponse
from pybal.core.model import SuspectSelf

END = 200
TIMEOUT = 3.0


@dataclass
class Host:
    """A server that is checked at an interval; it answers at once unless it is dead or we are cut off."""

    service: str
    name: str
    interval: float
    phase: float
    dies_at: float = math.inf
    passed_at: float = -math.inf
    blamed_at: float = math.inf


@st.composite
def fleets(draw: st.DrawFn) -> list[Host]:
    services = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    interval = draw(st.sampled_from((1.0, 2.0, 4.0)))
    count = sum(services)
    numbers = iter(range(count))
    hosts = []
    for number, size in enumerate(services):
        for _ in range(size):
            nth = next(numbers)
            dies_at = draw(st.one_of(st.just(math.inf), st.floats(20, 150)))
            hosts.append(Host(f"s{number}", f"h{nth}", interval, interval * nth / count, dies_at))
    return hosts


def play(hosts: list[Host], cut_from: float, cut_until: float) -> Isolation:
    """Let the checks happen in order, and note when each host was first blamed."""
    cut_off = Isolation(
        lambda: [LastResponse(h.service, h.name, h.passed_at) for h in hosts], SuspectSelf.HOLD, lambda _: None
    )
    events: list[tuple[float, float, bool, Host]] = []
    for host in hosts:
        over = 0.0
        for turn in range(int(END / host.interval)):
            began = host.phase + turn * host.interval
            if began >= over:
                lost = cut_from <= began < cut_until or began >= host.dies_at
                over = began + (TIMEOUT if lost else 0.001)
                events.append((over, began, lost, host))
    heard_at = -math.inf
    for at, began, lost, host in sorted(events, key=lambda event: event[0]):
        if not lost:
            if at - heard_at >= SHORTEST:
                cut_off.heard(heard_at, at)
            host.passed_at = heard_at = at
        elif not cut_off.excuses(began, heard_at, at, partial(float, heard_at)):
            host.blamed_at = min(host.blamed_at, at)
    return cut_off


@given(fleets(), st.floats(30, 60), st.floats(0, 50))
def test_the_dead_are_found_within_the_silence_and_one_interval(
    hosts: list[Host], cut_from: float, lasts: float
) -> None:
    play(hosts, cut_from, cut_from + lasts)
    alive = [host for host in hosts if host.dies_at == math.inf]
    for host in hosts:
        if host.dies_at < math.inf:
            # Somebody is heard an interval later, and if nobody is left the silence lasts as long as it may.
            heard_again = max(host.dies_at, cut_from + lasts) + host.interval + TIMEOUT + (0 if alive else LONGEST)
            in_flight = heard_again + AFTERMATH + TIMEOUT
            found = in_flight + host.interval + TIMEOUT
            # Of those that are left, the first lull as they are checked may be mistaken for a silence, too.
            assert host.blamed_at <= found + AFTERMATH + TIMEOUT + 2 * host.interval


@given(fleets(), st.floats(30, 60), st.floats(0, 50))
def test_nobody_is_blamed_who_answers_when_we_hear(hosts: list[Host], cut_from: float, lasts: float) -> None:
    play(hosts, cut_from, cut_from + lasts)
    for host in hosts:
        if host.dies_at == math.inf and host.blamed_at < math.inf:
            assert cut_from <= host.blamed_at - TIMEOUT < cut_from + lasts


@given(st.integers(3, 5), st.integers(5, 8), st.floats(30, 60), st.floats(1, 50))
@example(3, 5, 30.0, 50.0)
def test_no_large_fleet_whose_servers_live_is_blamed_at_all(
    services: int, size: int, cut_from: float, lasts: float
) -> None:
    count = services * size
    hosts = [
        Host(f"s{service}", f"h{service}.{nth}", 2.0, 2.0 * (nth * services + service) / count)
        for service in range(services)
        for nth in range(size)
    ]
    play(hosts, cut_from, cut_from + lasts)
    assert [host.name for host in hosts if host.blamed_at < math.inf] == []


@given(st.lists(st.floats(20, 100), min_size=1, max_size=5))
def test_a_small_installation_is_never_held_back(deaths: list[float]) -> None:
    hosts = [Host("web", f"h{nth}", 2.0, nth / 3, at) for nth, at in enumerate(deaths)]
    play(hosts, math.inf, math.inf)
    for host in hosts:
        assert host.blamed_at <= host.dies_at + host.interval + TIMEOUT + 0.001


@given(fleets(), st.floats(30, 60))
def test_while_anybody_answers_the_dead_are_found_in_the_usual_time(hosts: list[Host], at: float) -> None:
    # A host that answers ten times as often as all the others are checked.
    hosts.append(Host("other", "alive", 0.25, 0.0))
    for host in hosts[:-1]:
        host.dies_at = at
    cut_off = play(hosts, math.inf, math.inf)
    assert cut_off.times == 0
    for host in hosts[:-1]:
        assert host.blamed_at <= at + host.interval + TIMEOUT + 0.001
