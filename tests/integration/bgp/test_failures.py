"""Whatever fails, the routers soon hold no route that leads nowhere, and again what they should once it is over.

Every limit is several times what was measured: the machine is shared. What it took is printed at the end of the run.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from pybal.bgp.model import Announcement, SessionState
from tests.harness.bgp.balancer import children
from tests.harness.bgp.measured import Measured
from tests.harness.bgp.network import KINDS, Lab
from tests.harness.bgp.sessions import VIP, VIP6, Contact, Scene, contact
from tests.harness.daemon_process import wait_for

newer = pytest.mark.parametrize("python", ["exabgp5"], indirect=True, scope="module")
"""What takes long, or what ExaBGP has no part in, is tried with one version of it."""

PROMPT = ("bird", "frr")
"""GoBGP takes no connection in the 5 seconds after a session: it is waited for where ExaBGP is killed, and not each time."""

NEW = Announcement(ip_address("198.51.100.3"), 30)


def test_an_announcement_a_new_med_and_a_withdrawal_arrive(scene: Scene, measured: Measured) -> None:
    scene.announce(VIP, VIP6, NEW)
    measured.add("announce", scene.held(VIP, VIP6, NEW, within=5), "0.004")
    changed = Announcement(NEW.vip, 31)
    scene.announce(VIP, VIP6, changed)
    measured.add("another MED", scene.held(VIP, VIP6, changed, within=5), "0.004")
    scene.announce(VIP, VIP6)
    measured.add("withdraw", scene.held(VIP, VIP6, within=5), "0.004")


def test_a_stop_withdraws_everything_and_leaves_no_process(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    scene.balancer.stop()
    measured.add("stopped: withdrawn", scene.held(within=2), "0.07")
    _gone(processes)


def test_a_killed_daemon_takes_its_routes_and_processes_with_it(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    assert len(processes) == 2
    scene.balancer.kill()
    measured.add("daemon killed: gone", scene.held(within=2), "0.07")
    _gone(processes)


def test_a_suspended_daemon_has_its_routes_withdrawn_until_it_goes_on(scene: Scene, measured: Measured) -> None:
    scene.balancer.suspend()
    measured.add("daemon suspended: gone", scene.held(within=8), "2.5, the relay's deadline")
    scene.balancer.resume()
    measured.add("daemon resumed: back", scene.held(VIP, VIP6, kinds=PROMPT), "0.4")


@newer
def test_a_daemon_whose_loop_hangs_has_its_routes_withdrawn_until_it_goes_on(scene: Scene, measured: Measured) -> None:
    scene.balancer.hang(4)
    measured.add("loop hung: gone", scene.held(within=8), "2.5, the relay's deadline")
    measured.add("loop goes on: back", scene.held(VIP, VIP6, kinds=PROMPT), "1.1 of hanging left + 0.4")


def test_a_loop_that_hangs_shortly_costs_no_session(scene: Scene) -> None:
    scene.balancer.hang(1)
    scene.announce(VIP, NEW)  # taken once it goes on
    scene.held(VIP, NEW)
    assert [session.entered[SessionState.ESTABLISHED] for session in scene.balancer.sessions().values()] == [1, 1, 1]


def test_a_killed_exabgp_is_replaced_and_all_is_announced_again(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    os.kill(processes[0], signal.SIGKILL)
    measured.add("exabgp killed: back", _back(scene), "0.4; gobgp waits 6")
    _gone(processes)


@newer
def test_a_killed_relay_is_replaced_and_all_is_announced_again(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    os.kill(processes[1], signal.SIGKILL)
    measured.add("relay killed: back", _back(scene, PROMPT), "0.4")
    _gone(processes)


@newer
def test_routes_of_a_killed_exabgp_go_while_nobody_looks_after_it(scene: Scene, measured: Measured) -> None:
    exabgp, _ = _below(scene)
    scene.balancer.suspend()
    os.kill(exabgp, signal.SIGKILL)
    measured.add("exabgp killed: gone", scene.held(within=2), "0.06")


def test_routes_go_when_the_relay_is_killed_while_nobody_looks_after_it(scene: Scene, measured: Measured) -> None:
    _, relay = _below(scene)
    scene.balancer.suspend()
    os.kill(relay, signal.SIGKILL)
    measured.add("daemon suspended, relay killed: gone", scene.held(within=8), "2.5, the next relay's deadline")


@newer
def test_a_suspended_exabgp_is_replaced(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    os.kill(processes[0], signal.SIGSTOP)
    measured.add("exabgp suspended: back", _back(scene, PROMPT), "4.3 + 0.4")
    _gone(processes)


@newer
def test_a_suspended_relay_is_replaced_with_its_exabgp(scene: Scene, measured: Measured) -> None:
    processes = _below(scene)
    os.kill(processes[1], signal.SIGSTOP)
    measured.add("relay suspended: back", _back(scene, PROMPT), "3 + 0.4")
    _gone(processes)


@newer
def test_routers_drop_what_came_by_a_cut_cable_after_the_hold_time_and_have_it_back_once_it_is_mended(
    lab: Lab, python: str, tmp_path: Path, measured: Measured
) -> None:
    contacts = [contact(lab, kind, 1, hold_time=3) for kind in KINDS]
    with closing(Scene(lab, tmp_path, python, contacts)) as scene:
        scene.announce(VIP, VIP6)
        scene.held(VIP, VIP6)
        for kind in KINDS:
            lab.cut(kind)
        measured.add("cable cut, hold time 3: gone", scene.held(within=15), "3; bird sees the link go")
        sessions = scene.balancer.sessions
        wait_for(lambda: not any(each.established for each in sessions().values()), lambda: scene.balancer.log)
        for kind in KINDS:
            lab.mend(kind)
        measured.add("cable mended: back", _back(scene, PROMPT), "not measured")


@newer
def test_a_router_that_was_away_for_long_is_back_at_once(scene: Scene, measured: Measured) -> None:
    exabgp, _ = _below(scene)
    for router in scene.lab.routers.values():
        router.stop()
    wait_for(lambda: exabgp not in children(scene.balancer.pid), lambda: scene.balancer.log)
    assert [session.established for session in scene.balancer.sessions().values()] == [False, False, False]
    for each in scene.contacts:
        scene.start(each.kind)
    measured.add("routers away for 15 s: back", scene.held(VIP, VIP6, within=15), "1.3")


@newer
def test_a_router_that_falls_silent_costs_the_others_nothing(scene: Scene, measured: Measured) -> None:
    scene.lab.routers["bird"].suspend()
    bird, *others = scene.contacts
    wait_for(lambda: not scene.balancer.sessions()[bird.peer.address].established, lambda: scene.balancer.log)
    scene.announce(VIP)
    wait_for(lambda: all(scene.routes(each) == each.holds([VIP]) for each in others), lambda: scene.balancer.log)
    assert any("hold timer expired" in text for text in scene.balancer.alerts()), scene.balancer.alerts()
    scene.lab.routers["bird"].resume()
    measured.add("router silent, then back", scene.held(VIP), "not measured")
    sessions = scene.balancer.sessions()
    assert [sessions[each.peer.address].entered[SessionState.ESTABLISHED] for each in scene.contacts] == [2, 1, 1]


@newer
def test_a_thousand_vips_reach_three_routers(scene: Scene, measured: Measured) -> None:
    network = IPv4Network("203.0.112.0/22")
    many = [Announcement(vip, number % 7) for number, vip in enumerate(list(network)[:1000])]
    scene.announce(*many)
    # The routers take their time to say a thousand routes.
    measured.add("1,000 VIPs sent", scene.times(lambda contact: _sent(scene, contact) == 1000, str), "1.6")
    scene.held(*many)
    scene.announce(VIP)
    measured.add("1,000 VIPs withdrawn", scene.times(lambda contact: _sent(scene, contact) == 1, str), "not measured")
    scene.held(VIP)
    assert [session.repairs for session in scene.balancer.sessions().values()] == [0, 0, 0]


@newer
def test_established_sessions_cost_next_to_no_cpu_time(scene: Scene, measured: Measured) -> None:
    processes = {"daemon": scene.balancer.pid, **dict(zip(("exabgp", "relay"), _below(scene), strict=True))}
    before = {name: _cpu_seconds(pid) for name, pid in processes.items()}
    select.select([], [], [], 5)  # a span of time is what is looked at
    spent = {name: (_cpu_seconds(pid) - before[name]) / 5 for name, pid in processes.items()}
    measured.add("idle: part of a CPU", spent, "0.002")
    assert sum(spent.values()) < 0.1


def _below(scene: Scene) -> tuple[int, int]:
    """Return the processes of ExaBGP and of the relay."""
    (exabgp,) = children(scene.balancer.pid)
    (relay,) = children(exabgp)
    return exabgp, relay


def _gone(processes: Iterable[int]) -> None:
    """Wait until these have ended. Who reaps orphans is not our business."""
    wait_for(
        lambda: {_state(pid) for pid in processes} <= {"", "Z"}, lambda: f"{[*map(_state, processes)]}, wanted none"
    )


def _state(pid: int) -> str:
    try:
        return _stat(pid)[0]
    except OSError:
        return ""


def _back(scene: Scene, kinds: Sequence[str] = KINDS) -> Mapping[str, float]:
    """Wait until every session was established a second time and every router holds the VIPs of the scene."""

    def done(contact: Contact) -> bool:
        session = scene.balancer.sessions()[contact.peer.address]
        return session.entered[SessionState.ESTABLISHED] == 2 and scene.routes(contact) == contact.holds([VIP, VIP6])

    return scene.times(done, lambda contact: str(scene.balancer.sessions()[contact.peer.address]), kinds=kinds)


def _sent(scene: Scene, contact: Contact) -> int:
    return len(scene.balancer.sessions()[contact.peer.address].on_wire)


def _cpu_seconds(pid: int) -> float:
    return (int(_stat(pid)[11]) + int(_stat(pid)[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
