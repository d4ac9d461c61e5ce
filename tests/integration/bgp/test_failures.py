"""After a failure the routers soon lose stale routes, and hold the wanted ones again when it is over.

Every limit is several times the measured value, because the machine is shared. The run ends with a table of the times.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from pybal.bgp.model import Announcement, SessionState
from tests.harness.bgp.balancer import children
from tests.harness.bgp.measured import Measured
from tests.harness.bgp.network import KINDS, RouterNetwork
from tests.harness.bgp.sessions import VIP, VIP6, Peering, Topology, peering
from tests.harness.daemon_process import wait_for

newer = pytest.mark.parametrize("python", ["exabgp5"], indirect=True, scope="module")
"""Slow tests, and tests that do not depend on ExaBGP's version, use one version."""

PROMPT = ("bird", "frr")
"""GoBGP refuses connections for 5 s after a session; only one test waits for that."""

NEW = Announcement(ip_address("198.51.100.3"), 30)


def test_routers_receive_an_announcement_a_new_med_and_a_withdrawal(topology: Topology, measured: Measured) -> None:
    topology.announce(VIP, VIP6, NEW)
    measured.add("announce", topology.held(VIP, VIP6, NEW, within=5), "0.004")
    changed = Announcement(NEW.vip, 31)
    topology.announce(VIP, VIP6, changed)
    measured.add("another MED", topology.held(VIP, VIP6, changed, within=5), "0.004")
    topology.announce(VIP, VIP6)
    measured.add("withdraw", topology.held(VIP, VIP6, within=5), "0.004")


def test_stop_withdraws_everything_and_leaves_no_process(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    topology.balancer.stop()
    measured.add("stopped: withdrawn", topology.held(within=2), "0.07")
    _wait_for_end(processes)


def test_killed_daemon_leaves_neither_routes_nor_processes(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    assert len(processes) == 2
    topology.balancer.kill()
    measured.add("daemon killed: gone", topology.held(within=2), "0.07")
    _wait_for_end(processes)


def test_routes_are_withdrawn_while_the_daemon_is_suspended(topology: Topology, measured: Measured) -> None:
    topology.balancer.suspend()
    measured.add("daemon suspended: gone", topology.held(within=60), "15, bgp-dead-after")
    topology.balancer.resume()
    measured.add("daemon resumed: back", topology.held(VIP, VIP6, kinds=PROMPT), "0.4")


@newer
def test_routes_are_withdrawn_while_the_reactor_hangs(topology: Topology, measured: Measured) -> None:
    topology.balancer.hang(18)
    measured.add("loop hung: gone", topology.held(within=60), "15, bgp-dead-after")
    measured.add("loop runs again: back", topology.held(VIP, VIP6, kinds=PROMPT), "2.6 of hanging left + 0.4")


def test_hang_shorter_than_dead_after_costs_no_session(topology: Topology) -> None:
    topology.balancer.hang(8)
    topology.announce(VIP, NEW)  # read after the hang
    topology.held(VIP, NEW)
    assert [session.entered[SessionState.ESTABLISHED] for session in topology.balancer.sessions().values()] == [1, 1, 1]


@newer
def test_pause_of_everything_shorter_than_the_hold_time_costs_no_session(topology: Topology) -> None:
    _pause(topology, 4)
    topology.announce(VIP, NEW)
    topology.held(VIP, NEW)
    assert [session.entered[SessionState.ESTABLISHED] for session in topology.balancer.sessions().values()] == [1, 1, 1]


@newer
def test_routers_decide_about_a_pause_longer_than_the_hold_time(topology: Topology, measured: Measured) -> None:
    with _paused(topology):
        measured.add("everything paused: gone", topology.held(within=60), "6 to 9, the hold time")
    measured.add("everything runs again: back", topology.held(VIP, VIP6, kinds=("frr",), within=60), "not measured")


@newer
def test_busy_exabgp_keeps_its_sessions(topology: Topology) -> None:
    # It runs for a tenth of the time.
    exabgp, _ = _processes(topology)
    for _ in range(20):
        os.kill(exabgp, signal.SIGSTOP)
        select.select([], [], [], 0.9)
        os.kill(exabgp, signal.SIGCONT)
        select.select([], [], [], 0.1)
    assert [session.entered[SessionState.ESTABLISHED] for session in topology.balancer.sessions().values()] == [1, 1, 1]


def test_killed_exabgp_is_replaced_and_routes_return(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    os.kill(processes[0], signal.SIGKILL)
    measured.add("exabgp killed: back", _back(topology), "0.4; gobgp waits 6")
    _wait_for_end(processes)


@newer
def test_killed_relay_is_replaced_and_routes_return(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    os.kill(processes[1], signal.SIGKILL)
    measured.add("relay killed: back", _back(topology, PROMPT), "0.4")
    _wait_for_end(processes)


@newer
def test_routes_of_a_killed_exabgp_go_while_the_daemon_is_suspended(topology: Topology, measured: Measured) -> None:
    exabgp, _ = _processes(topology)
    topology.balancer.suspend()
    os.kill(exabgp, signal.SIGKILL)
    measured.add("exabgp killed: gone", topology.held(within=2), "0.06")


def test_routes_go_when_the_relay_is_killed_and_the_daemon_suspended(topology: Topology, measured: Measured) -> None:
    _, relay = _processes(topology)
    topology.balancer.suspend()
    os.kill(relay, signal.SIGKILL)
    measured.add("daemon suspended, relay killed: gone", topology.held(within=60), "15, of the next relay")


@newer
def test_suspended_exabgp_is_replaced(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    os.kill(processes[0], signal.SIGSTOP)
    measured.add("exabgp suspended: back", _back(topology, PROMPT), "4.3 + 0.4")
    _wait_for_end(processes)


@newer
def test_suspended_relay_is_replaced_with_its_exabgp(topology: Topology, measured: Measured) -> None:
    processes = _processes(topology)
    os.kill(processes[1], signal.SIGSTOP)
    measured.add("relay suspended: back", _back(topology, PROMPT), "3 + 0.4")
    _wait_for_end(processes)


@newer
def test_routes_expire_after_a_cable_cut_and_return_when_it_is_mended(
    network: RouterNetwork, python: str, tmp_path: Path, measured: Measured
) -> None:
    peerings = [peering(network, kind, 1, hold_time=3) for kind in KINDS]
    with closing(Topology(network, tmp_path, python, peerings)) as topology:
        topology.announce(VIP, VIP6)
        topology.held(VIP, VIP6)
        for kind in KINDS:
            network.cut(kind)
        measured.add("cable cut, hold time 3: gone", topology.held(within=15), "3; bird sees the link go")
        sessions = topology.balancer.sessions
        wait_for(lambda: not any(each.established for each in sessions().values()), lambda: topology.balancer.log)
        for kind in KINDS:
            network.mend(kind)
        measured.add("cable mended: back", _back(topology, PROMPT), "not measured")


@newer
def test_router_returns_quickly_after_a_long_outage(topology: Topology, measured: Measured) -> None:
    exabgp, _ = _processes(topology)
    for router in topology.network.routers.values():
        router.stop()
    wait_for(lambda: exabgp not in children(topology.balancer.pid), lambda: topology.balancer.log)
    assert [session.established for session in topology.balancer.sessions().values()] == [False, False, False]
    for each in topology.peerings:
        topology.start(each.kind)
    measured.add("routers away for 15 s: back", topology.held(VIP, VIP6, within=15), "1.3")


@newer
def test_silent_router_does_not_affect_the_others(topology: Topology, measured: Measured) -> None:
    topology.network.routers["bird"].suspend()
    bird, *others = topology.peerings
    wait_for(lambda: not topology.balancer.sessions()[bird.peer.address].established, lambda: topology.balancer.log)
    topology.announce(VIP)
    wait_for(lambda: all(topology.routes(each) == each.holds([VIP]) for each in others), lambda: topology.balancer.log)
    assert any("hold timer expired" in text for text in topology.balancer.alerts()), topology.balancer.alerts()
    topology.network.routers["bird"].resume()
    measured.add("router silent, then back", topology.held(VIP), "not measured")
    sessions = topology.balancer.sessions()
    assert [sessions[each.peer.address].entered[SessionState.ESTABLISHED] for each in topology.peerings] == [2, 1, 1]


@newer
def test_thousand_vips_reach_three_routers(topology: Topology, measured: Measured) -> None:
    network = IPv4Network("203.0.112.0/22")
    many = [Announcement(vip, number % 7) for number, vip in enumerate(list(network)[:1000])]
    topology.announce(*many)
    # The routers are slow to list a thousand routes.
    measured.add("1,000 VIPs sent", topology.times(lambda peering: _sent(topology, peering) == 1000, str), "1.6")
    topology.held(*many)
    topology.announce(VIP)
    measured.add(
        "1,000 VIPs withdrawn", topology.times(lambda peering: _sent(topology, peering) == 1, str), "not measured"
    )
    topology.held(VIP)


@newer
def test_established_sessions_cost_little_cpu_time(topology: Topology, measured: Measured) -> None:
    processes = {"daemon": topology.balancer.pid, **dict(zip(("exabgp", "relay"), _processes(topology), strict=True))}
    before = {name: _cpu_seconds(pid) for name, pid in processes.items()}
    select.select([], [], [], 5)  # CPU time is measured over a span of time
    spent = {name: (_cpu_seconds(pid) - before[name]) / 5 for name, pid in processes.items()}
    measured.add("idle: part of a CPU", spent, "0.002")
    assert sum(spent.values()) < 0.1


def _processes(topology: Topology) -> tuple[int, int]:
    """Return the process IDs of ExaBGP and of the relay."""
    (exabgp,) = children(topology.balancer.pid)
    (relay,) = children(exabgp)
    return exabgp, relay


@contextmanager
def _paused(topology: Topology) -> Iterator[None]:
    """Stop the daemon, ExaBGP and the relay as a pause of the machine does; the relay runs again first."""
    processes = (topology.balancer.pid, *_processes(topology))
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)


def _pause(topology: Topology, seconds: float) -> None:
    with _paused(topology):
        select.select([], [], [], seconds)


def _wait_for_end(processes: Iterable[int]) -> None:
    """Wait until these processes have ended; another process may reap them."""
    wait_for(
        lambda: {_state(pid) for pid in processes} <= {"", "Z"}, lambda: f"{[*map(_state, processes)]}, wanted none"
    )


def _state(pid: int) -> str:
    try:
        return _stat(pid)[0]
    except OSError:
        return ""


def _back(topology: Topology, kinds: Sequence[str] = KINDS) -> Mapping[str, float]:
    """Wait until every session is established for the second time and every router holds both VIPs."""

    def done(peering: Peering) -> bool:
        session = topology.balancer.sessions()[peering.peer.address]
        return session.entered[SessionState.ESTABLISHED] == 2 and topology.routes(peering) == peering.holds([VIP, VIP6])

    return topology.times(done, lambda peering: str(topology.balancer.sessions()[peering.peer.address]), kinds=kinds)


def _sent(topology: Topology, peering: Peering) -> int:
    return len(topology.balancer.sessions()[peering.peer.address].on_wire)


def _cpu_seconds(pid: int) -> float:
    return (int(_stat(pid)[11]) + int(_stat(pid)[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
