"""The conclusions of users' tools in every state of a pool: one daemon, one pool for each state."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.harness.certificates import Authority
from tests.harness.servers.etcd import etcd
from tests.harness.tools.balancer import Balancer
from tests.harness.tools.nagios import CRITICAL, Verdict
from tests.harness.tools.safe_service_restart import NOT_VERIFIED

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to replace the hosts file")

UP, DOWN, FORCED = "enabled/up/pooled", "enabled/down/not pooled", "enabled/down/pooled"
OFF = "disabled/up/not pooled"
LONG = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 53, "example"))


class State(NamedTuple):
    """A pool: its section, the states that its hosts must reach, and the hosts that respond with 503."""

    section: str
    hosts: Mapping[str, str]
    failed: Sequence[str] = ()


STATES = {
    "healthy": State("", {"h1": UP, "h2": UP, "h3": UP}),
    "one-down": State("", {"o1": UP, "o2": UP, "o3": DOWN}, ["o3"]),
    "at-floor": State("", {"f1": UP, "f2": FORCED, "f3": DOWN, "f4": DOWN}, ["f2", "f3", "f4"]),
    "all-down": State("", {"d1": FORCED, "d2": FORCED, "d3": DOWN}, ["d1", "d2", "d3"]),
    "none-pooled": State("depool-threshold = 0", {"n1": DOWN, "n2": DOWN}, ["n1", "n2"]),
    "disabled": State("", {"x1": UP, "x2": UP, "x3": OFF}),
    "inactive": State("", {"i1": UP, "i2": UP}),
    "unmonitored": State("monitors = []", {"u1": UP, "u2": UP}),
    "weight-zero": State("", {"w1": UP, "w2": UP, "w3": UP}),
    "waiting": State("config = file://{directory}/never", {}),
    "unchecked": State("proxyfetch.timeout = 60", {"s1": FORCED, "s2": DOWN}),
    "text": State("", {"t1": UP, "t2": UP}),
    "upload": State("proxyfetch.http_status = 404", {"t1": FORCED, "t2": DOWN}),
    "dual-4": State("", {"v1": UP, "v2": UP}),
    "dual-6": State("", {"v1": UP, "v2": DOWN}),
    "long-" + "x" * 150: State("", {LONG: UP, "l2": UP}),
}
VIPS = {pool: f"192.0.2.{number}" for number, pool in enumerate(STATES, 1)} | {"dual-6": "2001:db8::1"}
ADDRESSES: Mapping[str, Sequence[str]] = {
    host: [f"127.1.{row}.{column}"]
    for row, (pool, state) in enumerate(STATES.items())
    for column, host in enumerate(state.hosts, 1)
    if pool not in {"upload", "dual-6"}
}


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """Run the daemon until all pools are in their states."""
    directory = tmp_path_factory.mktemp("balancer")
    with ExitStack() as stack:
        source = etcd(directory, authority=Authority(directory))
        stack.enter_context(source.server)
        made = Balancer(directory, source, {**ADDRESSES, "v1": [*ADDRESSES["v1"], "::1"]})
        stack.callback(made.stop)
        for pool, state in STATES.items():
            for host in state.hosts:
                made.put(pool, host, "no" if state.hosts[host] == OFF else "yes", 0 if host == "w3" else 10)
        made.put("inactive", "i3", "inactive")
        for host in STATES["unchecked"].hosts:
            made.servers[host][0].stop()
            stack.enter_context(socket.create_server((made.address[host], made.port)))  # accepts, never responds
        made.fail(*(host for state in STATES.values() for host in state.failed))
        made.configure("".join(f"[{pool}]\nip = {VIPS[pool]}\n{state.section}\n" for pool, state in STATES.items()))
        stack.enter_context(made.started())
        for pool, state in STATES.items():
            made.shows(pool, state.hosts)
        yield made


def test_check_pybal_is_critical_for_pooled_servers_that_are_down(balancer: Balancer) -> None:
    forced = {"at-floor": "f2", "all-down": "d1, d2", "upload": "t1"}
    sentences = "; ".join(f"{pool}: Servers {hosts} are marked down but pooled" for pool, hosts in forced.items())
    assert balancer.check_pybal() == Verdict(CRITICAL, f"PYBAL CRITICAL - CRITICAL - {sentences}")


def test_ipvs_diff_finds_only_services_without_destinations(balancer: Balancer) -> None:
    empty = ", ".join(sorted(f"{VIPS[pool]}:{balancer.port}" for pool in ("none-pooled", "waiting")))
    assert balancer.check_ipvs_diff() == Verdict(CRITICAL, f"CRITICAL: services only in pybal.conf: {empty}")


BOTH = ["confirmed", "confirmed"]
DEPOOLED = ["confirmed"]


class Case(NamedTuple):
    """A run for a server: exit code, log, and the other servers that serve while its service is restarted."""

    pool: str
    host: str
    code: int
    log: Sequence[str]
    served_by: Sequence[str]


@pytest.mark.parametrize(
    "case",
    [
        Case("healthy", "h1", 0, BOTH, ["h2", "h3"]),
        # As in PyBal 1.15, the values of the pool source apply also below the floor; admin-floor limits it.
        Case("one-down", "o1", 0, BOTH, ["o2"]),
        Case("at-floor", "f2", NOT_VERIFIED, DEPOOLED, ["f1"]),
        Case("all-down", "d1", NOT_VERIFIED, DEPOOLED, []),
        Case("none-pooled", "n1", NOT_VERIFIED, DEPOOLED, []),
        Case("disabled", "x1", 0, BOTH, ["x2"]),
        Case("inactive", "i1", 0, BOTH, ["i2"]),
        Case("disabled", "x3", 0, [], ["x1", "x2"]),
        Case("inactive", "i3", 0, [], ["i1", "i2"]),
        Case("unmonitored", "u1", 0, BOTH, ["u2"]),
        Case("weight-zero", "w1", 0, BOTH, ["w2"]),
        Case("waiting", "h1", 0, ["status 404"] * 2, []),
        Case("unchecked", "s1", NOT_VERIFIED, DEPOOLED, []),
        Case("text", "t1", 0, BOTH, ["t2"]),
        Case("upload", "t1", NOT_VERIFIED, DEPOOLED, []),
        Case("dual-4", "v1", 0, BOTH, ["v2"]),
        Case("dual-6", "v1", 0, BOTH, []),
        Case(max(STATES, key=len), LONG, 0, BOTH, ["l2"]),
    ],
    ids=lambda case: case.pool[:20],
)
def test_safe_restart_restarts_a_server_only_outside_ipvs(balancer: Balancer, case: Case) -> None:
    run = balancer.restart(case.pool, case.host, pooled=bool(case.log))
    assert (run.code, run.log) == (case.code, case.log)
    assert run.served_by == case.served_by
    assert not run.still_in_table
