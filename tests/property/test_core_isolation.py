"""Failed checks of a fleet while servers die and the link fails: which ones are ignored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from pybal.core.isolation import AFTERMATH, MAX_OUTAGE, MIN_OUTAGE, Isolation, LastResponse
from pybal.core.model import SuspectSelf

END = 200
TIMEOUT = 3.0


@dataclass
class Host:
    """A server with periodic checks; it responds immediately unless it is dead or the link is down."""

    service: str
    name: str
    interval: float
    phase: float
    dies_at: float = math.inf
    passed_at: float = -math.inf
    failed_at: float = math.inf


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


def play(hosts: list[Host], down_from: float, down_until: float) -> Isolation:
    """Run the checks in order, and record the first failure that counts against each host."""
    isolation = Isolation(
        lambda: [LastResponse(h.service, h.name, h.passed_at) for h in hosts], SuspectSelf.HOLD, lambda _: None
    )
    events: list[tuple[float, float, bool, Host]] = []
    for host in hosts:
        over = 0.0
        for turn in range(int(END / host.interval)):
            began = host.phase + turn * host.interval
            if began >= over:
                lost = down_from <= began < down_until or began >= host.dies_at
                over = began + (TIMEOUT if lost else 0.001)
                events.append((over, began, lost, host))
    response_at = -math.inf
    for at, began, lost, host in sorted(events, key=lambda event: event[0]):
        if not lost:
            if at - response_at >= MIN_OUTAGE:
                isolation.note_response(response_at, at)
            host.passed_at = response_at = at
        elif not isolation.ignores(began, response_at, at, partial(float, response_at)):
            host.failed_at = min(host.failed_at, at)
    return isolation


@given(fleets(), st.floats(30, 60), st.floats(0, 50))
def test_dead_servers_fail_within_the_outage_and_one_interval(
    hosts: list[Host], down_from: float, lasts: float
) -> None:
    play(hosts, down_from, down_from + lasts)
    alive = [host for host in hosts if host.dies_at == math.inf]
    for host in hosts:
        if host.dies_at < math.inf:
            # A host responds an interval later; if every host is dead the outage lasts its longest time.
            response = max(host.dies_at, down_from + lasts) + host.interval + TIMEOUT + (0 if alive else MAX_OUTAGE)
            in_flight = response + AFTERMATH + TIMEOUT
            found = in_flight + host.interval + TIMEOUT
            # The first lull in the checks of the remaining hosts may be mistaken for an outage, too.
            assert host.failed_at <= found + AFTERMATH + TIMEOUT + 2 * host.interval


@given(fleets(), st.floats(30, 60), st.floats(0, 50))
def test_live_servers_fail_only_while_the_link_is_down(hosts: list[Host], down_from: float, lasts: float) -> None:
    play(hosts, down_from, down_from + lasts)
    for host in hosts:
        if host.dies_at == math.inf and host.failed_at < math.inf:
            assert down_from <= host.failed_at - TIMEOUT < down_from + lasts


@given(st.integers(3, 5), st.integers(5, 8), st.floats(30, 60), st.floats(1, 50))
@example(3, 5, 30.0, 50.0)
def test_live_servers_of_a_large_fleet_never_fail(services: int, size: int, down_from: float, lasts: float) -> None:
    count = services * size
    hosts = [
        Host(f"s{service}", f"h{service}.{nth}", 2.0, 2.0 * (nth * services + service) / count)
        for service in range(services)
        for nth in range(size)
    ]
    play(hosts, down_from, down_from + lasts)
    assert [host.name for host in hosts if host.failed_at < math.inf] == []


@given(st.lists(st.floats(20, 100), min_size=1, max_size=5))
def test_failures_in_a_small_installation_are_never_ignored(deaths: list[float]) -> None:
    hosts = [Host("web", f"h{nth}", 2.0, nth / 3, at) for nth, at in enumerate(deaths)]
    play(hosts, math.inf, math.inf)
    for host in hosts:
        assert host.failed_at <= host.dies_at + host.interval + TIMEOUT + 0.001


@given(fleets(), st.floats(30, 60))
def test_dead_servers_fail_in_the_usual_time_while_a_host_responds(hosts: list[Host], at: float) -> None:
    # This host responds at least four times as often as any other host is checked.
    hosts.append(Host("other", "alive", 0.25, 0.0))
    for host in hosts[:-1]:
        host.dies_at = at
    isolation = play(hosts, math.inf, math.inf)
    assert isolation.count == 0
    for host in hosts[:-1]:
        assert host.failed_at <= at + host.interval + TIMEOUT + 0.001
