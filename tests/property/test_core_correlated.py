"""Laws of ``suspect-check = hold`` for every transition of a pool."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from pybal.core.events import Event, Reported
from pybal.core.model import Health, Placement, Pool, Report, SuspectCheck
from pybal.core.policy import floor, step
from tests.harness.pool_events import M, N, healthy, listed, off

HOSTS = "abcdef"


def reports(hosts: str, monitor: str, cause: str, at: float) -> list[Event]:
    return [Reported(host, monitor, Report(up=not cause, reason=cause, at=at, cause=cause)) for host in hosts]


causes = st.sampled_from(("", "status: HTTP 301", "connect: refused"))
some = st.lists(st.sampled_from(HOSTS), min_size=1, unique=True).map("".join)
waves = st.builds(reports, st.one_of(some, st.sampled_from(HOSTS)), st.sampled_from((M, N)), causes, st.floats(0, 20))
lists = some.map(lambda hosts: [listed(off(hosts[0]), *hosts[1:])])
events = st.lists(st.one_of(waves, waves, waves, lists), max_size=12).map(
    lambda parts: list(chain.from_iterable(parts))
)


def holding(suspect_check: SuspectCheck) -> Pool:
    pool = healthy(HOSTS, monitors=(M, N))
    return replace(pool, service=replace(pool.service, suspect_check=suspect_check))


@given(events)
def test_suspect_failures_are_present_failures_and_keep_servers_pooled(happened: list[Event]) -> None:
    pool = holding(SuspectCheck.HOLD)
    for event in happened:
        before, pool = pool, step(pool, event)
        for host, server in pool.servers.items():
            failing = {(name, report.cause) for name, report in server.reports.items() if report and not report.up}
            assert server.suspect_failures <= failing
            if server.eligible and server.health is Health.DOWN and failing == server.suspect_failures:
                assert server.placement is Placement.POOLED
            known = before.servers.get(host)
            if known is not None:
                assert known.suspect_failures & failing <= server.suspect_failures, (
                    "a suspect failure lasts as long as the failure"
                )
        eligible = sum(server.eligible for server in pool.servers.values())
        pooled = sum(server.pooled for server in pool.servers.values()) + len(pool.held)
        assert pooled >= min(floor(pool), eligible)


@given(events, st.sampled_from((SuspectCheck.ALERT, SuspectCheck.OFF)))
def test_suspect_failures_are_empty_without_hold(happened: list[Event], suspect_check: SuspectCheck) -> None:
    pool = holding(suspect_check)
    for event in happened:
        pool = step(pool, event)
        assert not any(server.suspect_failures for server in pool.servers.values())
