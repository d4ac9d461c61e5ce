"""The controller of one service, with a fake source and fake monitors, on a Clock."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from typing import Any, cast
from weakref import ref

import pytest
import twisted

from pybal.core.events import Event
from pybal.core.history import KEPT_DECISIONS
from pybal.core.model import Address, Alert, IPProtocol, Member, Placement, Pool, Service, SuspectCheck
from pybal.core.steps import Steps
from pybal.core.transitions import Transition
from pybal.core.unreachable import why_unreachable
from pybal.daemon.controller import CORRELATED_SECONDS, GATHER_SECONDS, MOST_REPORTS, Controller
from pybal.daemon.pool_log import MOST_LINES
from pybal.journal.recorder import Tape
from pybal.resolve import LookupFailed, LookupResult, Resolver
from pybal.runtime.turns import Turns, Work
from pybal.sources.base import PoolState, SourceError
from tests.harness.fake_services import FakeMonitor, FakeMonitorFactory, FakeSource
from tests.harness.observed_faults import observed_faults
from tests.harness.opcodes import opcodes
from tests.harness.turning_clock import TurningClock

VIP = ip_address("10.2.1.1")
without_cycles_of_twisted = pytest.mark.skipif(
    twisted.__version__ < "23", reason="Twisted 22 makes a cycle of 14 objects for each coroutine"
)
ADDRESSES = {f"web{i}": ip_address(f"10.0.0.{i}") for i in range(1, 10)}


class TapeOfEvents(Tape):
    """Keeps the words of the events of a pool, in the order of their records."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def record(self, event: Event, before: Pool, after: Pool) -> None:
        self.events.append(f"{type(event).__name__}{' without effect' if after is before else ''}")

    def alert(self, alert: Alert) -> None:
        self.events.append(f"alert of {alert.service}: {alert.kind}: {alert.text}")

    def end(self) -> None:
        self.events.append("end")


class ControllerOnClock:
    """A controller with its fake parts; ``wants`` are the wanted sets, ``error`` is raised by the next.

    ``looked_up`` are the names in the order of their lookups, ``changed`` counts the announced changes of the pool.

    Each wanted set that lacks an address of ``stuck`` raises an exception, as a bug would.

    Work on the pool advances by one step per turn once ``slow`` is set.
    """

    def __init__(self, *, vip: str = "10.2.1.1", monitored: bool = True, tunneling: bool = False) -> None:
        self.slow, self._readings = False, 0
        self.clock = TurningClock()
        self.error: Exception | None = None
        self.stuck: set[str] = set()
        self.overridden: set[str] = set()
        self.looked_up: list[str] = []
        self.changed = 0
        self.tape = TapeOfEvents()
        self.turns = Turns(self.clock, now=self._now)
        self.names: dict[str, Address | LookupFailed] = dict(ADDRESSES)
        self.source = FakeSource("file:///pool")
        self.factory = FakeMonitorFactory("Fake")
        self.wants: list[dict[str, int]] = []
        self.amendments: list[dict[str, int | None]] = []
        self.service = Service(
            "text",
            IPProtocol.TCP,
            ip_address(vip),
            80,
            "wrr",
            monitors=("Fake",) if monitored else (),
            tunneling=tunneling,
        )
        self.resolver = Resolver(self._lookup, self.clock, Random(1))
        self.controller = Controller(
            self.service,
            self.source,
            self.resolver,
            [self.factory] if monitored else [],
            want=self._want,
            amend=self._amend,
            clock=self.clock,
            turns=self.turns,
            changed=self._count,
            tape=self.tape,
            refusal=why_unreachable,
            overridden=lambda _service: frozenset(self.overridden),
        )

    def _now(self) -> float:
        self._readings += self.slow
        return self.clock.seconds() + self._readings

    def _count(self) -> None:
        self.changed += 1

    async def _lookup(self, host: str, version: int) -> LookupResult:
        self.looked_up.append(host)
        answer = self.names[host]
        if isinstance(answer, LookupFailed):
            raise answer
        return LookupResult((answer,), 60.0)

    def _want(self, _service: Service, destinations: Mapping[Address, int]) -> Steps[Callable[[], None]]:
        def want() -> None:
            self._raise()
            self._use({str(address): weight for address, weight in destinations.items()})

        yield
        return want

    def _amend(self, _service: Service, changes: Mapping[Address, int | None]) -> Steps[Callable[[], None]]:
        def amend() -> None:
            self._raise()
            changed = {str(address): weight for address, weight in changes.items()}
            after = self.wants[-1] | changed
            self._use({address: weight for address, weight in after.items() if weight is not None})
            self.amendments.append(changed)

        yield
        return amend

    def _use(self, wanted: dict[str, int]) -> None:
        if lacking := self.stuck - wanted.keys():
            raise ValueError(f"without {min(lacking)}")
        self.wants.append(wanted)

    def _raise(self) -> None:
        error, self.error = self.error, None
        if error:
            raise error

    def turn(self) -> None:
        """Run the loop until nothing more is due and no report is gathered."""
        for _ in range(4):
            self.clock.advance(0)
        self.clock.pump([GATHER_SECONDS] * 2)

    def until_applied(self) -> Iterator[Pool]:
        """Yield the pool after each turn until all changes are applied."""
        assert self.controller.pending
        while self.controller.pending:
            yield self.controller.pool
            self.clock.turn()

    def deliver(self, *members: Member) -> None:
        self.source.listed(members)
        self.turn()

    def start(self, *hosts: str) -> None:
        """Start with these servers, all up."""
        self.controller.start({})
        self.deliver(*(Member(host) for host in hosts))
        for host in hosts:
            self.factory.running[host].make_report(up=True)
        self.turn()

    def report(self, host: str, *, up: bool, reason: str = "connect: refused", at: float = 0.0) -> None:
        """Make a report in a quiet pool."""
        self.factory.running[host].make_report(up=up, reason=reason, at=at)
        self.turn()

    def look_up(self) -> None:
        """Look up all names again, until the result waits to be applied."""
        self.clock.rightNow += 120.0
        for _ in range(100):
            if not self.controller.pending:
                self.clock.turn()
        assert self.controller.pending

    def move(self, host: str, address: str) -> None:
        """Let the name of a host get another address, and its monitors there start."""
        self.names[host] = ip_address(address)
        while self.controller.pool.servers[host].move is None:
            self.clock.advance(1.0)
        self.turn()

    def alerts(self) -> list[Alert]:
        return list(self.controller.alerts())


def test_servers_enter_the_kernel_at_their_first_up() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_server_leaves_the_kernel_when_down_and_returns_when_up() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.report("web2", up=False, reason="status: HTTP 500, wanted 200")
    assert service.wants[-1] == {"10.0.0.1": 10}
    service.report("web2", up=True)
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_controller_wants_nothing_before_the_first_list() -> None:
    service = ControllerOnClock()
    service.controller.start({VIP: 10})
    service.turn()
    assert service.wants == []


def test_restart_keeps_the_kernel_unchanged_until_checks_report() -> None:
    service = ControllerOnClock()
    held = {ADDRESSES["web1"]: 10, ADDRESSES["web2"]: 10, ADDRESSES["web3"]: 10}
    service.controller.start(held)
    service.deliver(*(Member(host) for host in ("web1", "web2", "web3")))
    assert service.wants == [{"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}]


def restarted_during_a_move() -> ControllerOnClock:
    """Return a controller after a restart; the kernel holds the previous address of web4."""
    service = ControllerOnClock()
    service.names["web4"] = ip_address("10.0.1.4")
    service.controller.start({ADDRESSES[f"web{number}"]: 10 for number in (1, 2, 3, 4)})
    service.deliver(*(Member(f"web{number}") for number in (1, 2, 3, 4)))
    return service


def test_restart_during_a_move_keeps_the_address_until_the_next_passes(lines: list[str]) -> None:
    service = restarted_during_a_move()
    assert service.wants == [{f"10.0.0.{number}": 10 for number in (1, 2, 3, 4)}]
    waiting = (
        "Server web4 is at 10.0.1.4, which IPVS did not hold; keeping what IPVS holds until 10.0.1.4 passes its checks"
    )
    assert [line for line in lines if "IPVS" in line] == [waiting]
    service.clock.advance(5.0)
    service.report("web4", up=False)
    text = "web4: address 10.0.1.4 was not in IPVS at the start, checking it for 5 s"
    assert [alert.text for alert in service.alerts() if alert.kind == "dns-move"] == [text]
    service.report("web4", up=True)
    assert service.wants[1:] == [{"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10, "10.0.1.4": 10}]
    assert "dns-move" not in {alert.kind for alert in service.alerts()}


def test_restart_during_a_move_leaves_the_address_to_the_floor() -> None:
    service = restarted_during_a_move()
    service.report("web4", up=False)
    service.clock.advance(service.controller.pool.service.dns_move_wait - 1.0)
    service.report("web1", up=True)
    service.report("web2", up=True)
    assert len(service.wants) == 1
    service.clock.advance(1.0)
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}


def test_restart_during_a_move_keeps_all_addresses_while_no_server_passes() -> None:
    service = restarted_during_a_move()
    service.clock.advance(service.controller.pool.service.dns_move_wait + 60.0)
    assert len(service.wants) == 1
    service.report("web1", up=True)
    assert len(service.wants) == 1
    service.report("web2", up=True)
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}


def test_restart_removes_nothing_when_the_resolver_fails() -> None:
    service = ControllerOnClock()
    for host in ("web1", "web2"):
        service.names[host] = LookupFailed("SERVFAIL", definite=False)
    service.controller.start({ADDRESSES["web1"]: 7, ADDRESSES["web2"]: 8})
    service.deliver(Member("web1"), Member("web2"))
    assert service.wants == [{"10.0.0.1": 7, "10.0.0.2": 8}]
    assert [alert.kind for alert in service.alerts()] == ["unresolved", "unresolved"]


def test_other_servers_are_pooled_when_one_is_unresolved() -> None:
    service = ControllerOnClock()
    service.names["web2"] = LookupFailed("SERVFAIL", definite=False)
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    service.report("web1", up=True)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_changed_weight_is_wanted_and_restarts_no_monitor() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    monitor = service.factory.running["web1"]
    service.deliver(Member("web1", 25), Member("web2"))
    assert service.wants[-1] == {"10.0.0.1": 25, "10.0.0.2": 10}
    assert service.factory.running["web1"] is monitor


def test_disabled_server_leaves_the_kernel_and_keeps_its_monitor() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web1", enabled=False), Member("web2"))
    assert service.wants[-1] == {"10.0.0.2": 10}
    assert sorted(service.factory.running) == ["web1", "web2"]


def test_removed_server_leaves_the_kernel_and_its_monitors_stop() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web2"))
    assert service.wants[-1] == {"10.0.0.2": 10}
    assert list(service.factory.running) == ["web2"]
    assert [host for host, _ in service.controller.monitors()] == ["web2"]


def test_changed_address_is_applied_in_one_step_with_new_monitors() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    before = len(service.wants)
    service.move("web1", "10.0.1.1")
    assert service.wants[before:] == []
    service.report("web1", up=False)
    assert service.wants[before:] == []
    service.report("web1", up=True)
    assert service.wants[before:] == [{"10.0.1.1": 10, "10.0.0.2": 10}]
    assert [str(monitor.address) for monitor in service.factory.made if monitor.running] == ["10.0.0.2", "10.0.1.1"]


def test_next_address_that_does_not_pass_counts_as_down(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.move("web1", "10.0.1.1")
    service.clock.advance(service.controller.pool.service.dns_move_wait - 1.0)
    began = "web1: address changes from 10.0.0.1 to 10.0.1.1, "
    assert [alert.text for alert in service.alerts() if alert.kind == "dns-move"] == [f"{began}checking it for 59 s"]
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}
    service.clock.advance(1.0)
    assert service.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10}
    assert [alert.text for alert in service.alerts() if alert.kind == "dns-move"] == [
        f"{began}not passed for 60 s; counting as down"
    ]
    assert "new address of web1 not passed for 60 s; the floor decides about it" in lines
    service.report("web1", up=True)
    assert service.wants[-1] == {"10.0.1.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}
    assert "dns-move" not in {alert.kind for alert in service.alerts()}


def test_next_addresses_that_pass_in_a_burst_take_over_together() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    for host in ("web1", "web2"):
        service.names[host] = ADDRESSES[host] + 256
    service.move("web3", "10.0.1.3")
    before = len(service.wants)
    for host in ("web1", "web2", "web3"):
        service.factory.running[host].make_report(up=True)
    service.turn()
    first = {"10.0.1.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}
    assert service.wants[before:] == [first, {"10.0.1.1": 10, "10.0.1.2": 10, "10.0.1.3": 10}]


def test_move_is_overdue_once_while_an_earlier_change_is_in_progress(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.move("web1", "10.0.1.1")
    service.clock.advance(service.controller.pool.service.dns_move_wait - 0.5)
    service.slow = True
    service.source.listed(tuple(Member(host, 20) for host in ("web1", "web2", "web3")))
    for _ in service.until_applied():
        service.clock.advance(0.5)
    assert [line for line in lines if "not passed for" in line] == [
        "new address of web1 not passed for 60 s; the floor decides about it"
    ]


def test_all_servers_stay_when_their_names_move_to_a_dead_address() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    for host in ("web1", "web2", "web3"):
        service.names[host] = ip_address("10.0.9.9")
    service.clock.advance(300)
    service.turn()
    service.clock.advance(300)
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}
    service.controller.stop()
    assert not service.factory.running


def test_address_of_the_other_family_is_ignored_without_tunneling(lines: list[str]) -> None:
    service = ControllerOnClock(vip="2001:db8::1")
    service.controller.start({})
    service.deliver(Member("10.0.0.1"))
    assert service.factory.running == {}
    assert (
        "Server 10.0.0.1: ignoring 10.0.0.1, not of the family of 2001:db8::1 (set tunneling = yes to use it)" in lines
    )


def test_address_that_no_server_can_have_is_ignored_with_an_alert(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.names["web2"] = ip_address("0.0.0.0")
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    assert list(service.factory.running) == ["web1"]
    text = "ignoring 0.0.0.0, the unspecified address"
    assert f"Server web2: {text}" in lines
    assert Alert("text", "unresolved", f"web2: {text}") in list(service.controller.alerts())
    service.deliver(Member("web1"))
    assert "unresolved" not in {alert.kind for alert in service.controller.alerts()}


def test_address_of_the_other_family_is_used_with_tunneling() -> None:
    service = ControllerOnClock(vip="2001:db8::1", tunneling=True)
    service.controller.start({})
    service.deliver(Member("10.0.0.1"))
    service.report("10.0.0.1", up=True)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_servers_count_as_up_without_monitors() -> None:
    service = ControllerOnClock(monitored=False)
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_report_without_effect_leaves_the_wanted_set_unchanged() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.report("web1", up=False, reason="connect: refused")
    before = len(service.wants)
    service.report("web1", up=False, reason="connect: reset")
    assert len(service.wants) == before


def test_failing_source_keeps_the_list_and_raises_an_alert(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.source.problem = "file:///pool: not there"
    service.source.last_success = service.clock.seconds()
    service.clock.advance(42)
    service.source.failed(SourceError("file:///pool: not there"))
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}
    assert service.alerts() == [
        Alert("text", "source", "file:///pool: not there; keeping the last good list (2 servers, read 42 s ago)")
    ]
    logged = "file:///pool: not there; keeping the last good list (2 servers)"
    assert (lines[-1], service.tape.events[-1]) == (logged, f"alert of text: source: {logged}")


def test_alert_about_a_problem_names_the_part_of_the_list_in_use(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.source.problem = "file:///pool: line 3: invalid"
    service.source.applied = "the rest of the list"
    service.source.failed(SourceError("file:///pool: line 3: invalid", applied="the rest of the list"))
    assert service.alerts() == [
        Alert("text", "source", "file:///pool: line 3: invalid; applying the rest of the list (2 servers)")
    ]
    assert lines[-1] == "file:///pool: line 3: invalid; applying the rest of the list (2 servers)"


def test_source_without_a_first_list_raises_an_alert() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    assert service.alerts() == [Alert("text", "source", "waiting for the first server list")]
    service.source.problem = "file:///pool: not there"
    assert service.alerts() == [Alert("text", "source", "file:///pool: not there; waiting for the first server list")]


def test_pool_with_fewer_enabled_servers_than_its_floor_raises_an_alert() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    service.deliver(Member("web1"), *(Member(f"web{i}", enabled=False) for i in (2, 3, 4)))
    assert service.wants[-1] == {"10.0.0.1": 10}
    assert service.alerts() == [
        Alert("text", "disabled", "only 1 of 4 servers enabled (serving 1 of 4, floor 2, 0 forced, 3 disabled)")
    ]


def test_pool_of_weight_0_raises_no_alert_about_disabled_servers() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web1", weight=0), Member("web2", weight=0))
    assert service.alerts() == []


@pytest.mark.parametrize(
    ("scheduler", "flags", "remedy"),
    [
        ("sh", (), "set scheduler-flag = sh-fallback"),
        ("sh", ("sh-port",), "set scheduler-flag = sh-fallback"),
        ("sh", ("sh-port", "sh-fallback"), ""),
        ("sh", ("flag-1",), ""),
        ("dh", (), "use another scheduler, such as mh"),
        ("mh", (), ""),
        ("wrr", (), ""),
    ],
)
def test_weight_0_raises_an_alert_when_the_scheduler_refuses_clients(
    scheduler: str, flags: tuple[str, ...], remedy: str
) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    configured = replace(service.controller.pool.service, scheduler=scheduler, scheduler_flags=flags)
    service.controller.change(configured, [service.factory])
    assert service.alerts() == []
    service.deliver(Member("web1", 0), Member("web2"), Member("web3"))
    text = f"the kernel refuses clients that {scheduler} maps to 1 server of weight 0; {remedy}"
    assert service.alerts() == ([Alert("text", "scheduler", text)] if remedy else [])


def test_hosts_with_one_address_raise_an_alert() -> None:
    service = ControllerOnClock()
    service.names["web2"] = ADDRESSES["web1"]
    service.start("web1", "web2")
    assert service.wants[-1] == {"10.0.0.1": 10}
    assert service.alerts() == [
        Alert("text", "duplicate", "web1, web2 have the same address 10.0.0.1; pooling it once")
    ]


def test_monitor_without_a_result_raises_an_alert_and_changes_nothing() -> None:
    service = ControllerOnClock()
    service.controller.start({ADDRESSES["web1"]: 10})
    service.deliver(Member("web1"))
    service.clock.advance(31)
    assert service.wants == [{"10.0.0.1": 10}]
    text = "web1: no conclusive result from Fake for 31 s (not checked yet)"
    assert service.alerts() == [Alert("text", "unknown", text)]


def test_monitor_that_was_up_raises_an_alert_until_its_next_result() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    (monitor,) = service.controller.monitors_of("web1")
    assert isinstance(monitor, FakeMonitor)
    monitor.decided_at = decided = service.clock.seconds()
    service.clock.advance(30)
    assert service.alerts() == []
    service.clock.advance(5)
    text = f"web1: no conclusive result from Fake for {service.clock.seconds() - decided:.0f} s (last up)"
    assert service.alerts() == [Alert("text", "unknown", text)]
    monitor.decided_at = service.clock.seconds()
    assert service.alerts() == []


def test_each_monitor_without_results_raises_an_alert() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    for host, age in (("web1", 10.0), ("web2", 2.0), ("web3", 5.0)):
        service.factory.running[host].decided_at = service.clock.seconds() - age
    service.clock.advance(40)
    assert sorted(alert.text.partition(":")[0] for alert in service.alerts()) == ["web1", "web2", "web3"]


def test_log_has_cause_and_arithmetic_of_a_depool(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    lines.clear()
    service.report("web3", up=False, reason="status: HTTP 500, wanted 200")
    assert lines == [
        "Monitoring instance Fake reports server web3 (enabled/up/pooled) down: status: HTTP 500, wanted 200",
        "serving 3 of 4, floor 2, 0 forced: web3 depooled",
    ]


def test_log_has_cause_and_arithmetic_when_a_down_server_is_kept(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.report("web1", up=False, reason="connect: refused")
    lines.clear()
    service.report("web2", up=False, reason="connect: refused")
    assert lines == [
        "Monitoring instance Fake reports server web2 (enabled/up/pooled) down: connect: refused",
        "Could not depool server web2 because of too many down!",
        "serving 0 of 2, floor 1, 1 forced: web2 kept",
    ]
    assert service.controller.could_not_depool == 1
    assert service.controller.pool.servers["web2"].placement is Placement.FORCED


def test_log_lines_about_lists_keep_the_words_of_pybal_115(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert "New enabled server web1, weight 10" in lines
    assert "Server web2 (enabled/partially up/not pooled) is up" in lines
    assert lines.count("[text] Initialization complete") == 1
    service.deliver(Member("web1", 5, enabled=False))
    assert "Merged disabled server web1, weight 5" in lines
    assert "[text] Removing server web2 (no longer found in new configuration)" in lines


def test_20150613_correlated_failures_are_logged_and_raise_an_alert(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4", "web5", "web6")
    for number in (1, 2, 3):
        service.report(f"web{number}", up=False, reason="status: HTTP 301, wanted 200", at=2.0 * number)
    text = '3 of 6 servers began to fail Fake with "status: HTTP 301, wanted 200" within 4 s'
    assert lines[-1] == text
    assert service.alerts() == [Alert("text", "suspect-check", text)]
    service.report("web4", up=False, reason="status: HTTP 301, wanted 200", at=8.0)
    assert sum("began to fail" in line for line in lines) == 1
    service.report("web1", up=True, at=12.0)
    service.report("web2", up=True, at=12.0)
    service.clock.advance(CORRELATED_SECONDS)
    assert service.alerts() == []


def test_last_decisions_are_kept_as_logged(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.clock.advance(5)
    before = service.clock.seconds()
    service.report("web1", up=False, reason="connect: refused")
    service.report("web2", up=False, reason="connect: refused")
    depooled, kept = list(service.controller.history.decisions)[-2:]
    assert depooled.reasons == ("down: Fake connect: refused",)
    assert kept.reasons == ("down, but needed to reach the floor: Fake connect: refused",)
    assert (depooled.verb, depooled.hosts, depooled.at) == ("depooled", ("web1",), before)
    assert (kept.verb, kept.arithmetic) == ("kept", "serving 0 of 2, floor 1, 1 forced")
    assert {depooled.text, kept.text} <= set(lines)
    for _ in range(KEPT_DECISIONS):
        service.report("web1", up=True)
        service.report("web1", up=False, reason="connect: refused")
    assert len(list(service.controller.history.decisions)) == KEPT_DECISIONS


def test_transitions_are_kept_until_the_host_leaves_the_list() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.report("web1", up=False, reason="connect: refused", at=5.0)
    service.report("web1", up=False, reason="timeout", at=6.0)
    assert service.controller.history.transitions("web2") == {}
    (log,) = service.controller.history.transitions("web1").values()
    assert list(log) == [Transition(5.0, False, "connect: refused", 6.0, "timeout")]
    service.deliver(Member("web1", 20), Member("web2"))
    service.report("web1", up=True, at=7.0)
    assert [one.up for one in service.controller.history.transitions("web1")["Fake"]] == [False, True]
    service.deliver(Member("web2"))
    assert service.controller.history.transitions("web1") == {}


def test_new_address_that_is_up_is_a_transition() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.report("web1", up=False, at=4.0)
    service.report("web2", up=False, at=5.0)  # stays pooled, and keeps its address until the next one has passed
    service.move("web2", "10.0.1.1")
    service.report("web2", up=True, at=9.0)
    assert [(one.at, one.up) for one in service.controller.history.transitions("web2")["Fake"]] == [
        (5.0, False),
        (9.0, True),
    ]


def test_monitors_of_a_server_are_replaced_when_its_address_changes() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert list(service.controller.monitors_of("web1")) == [service.factory.running["web1"]]
    before = service.controller.monitors_of("web2")
    service.move("web2", "10.0.1.1")
    service.report("web2", up=True)
    service.deliver(Member("web2"))
    assert service.controller.monitors_of("web1") == ()
    assert service.controller.monitors_of("web2") != before
    assert list(service.controller.monitors_of("web2")) == [service.factory.running["web2"]]


def test_many_decisions_of_one_kind_are_one_log_line(lines: list[str]) -> None:
    service = ControllerOnClock(monitored=False)
    for i in range(40):
        service.names[f"many{i}"] = ip_address(f"10.0.3.{i}")
    service.controller.start({})
    service.deliver(*(Member(f"many{i}") for i in range(40)))
    pooled = [line for line in lines if line.endswith(" pooled")]
    assert len(pooled) == 1
    assert pooled[0].endswith("many8, many9 and 30 more pooled")


def test_stop_ends_all_activity_and_leaves_the_kernel_unchanged() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    before = list(service.wants)
    service.controller.stop()
    service.resolver.stop()
    assert not service.source.running
    assert service.factory.running == {}
    assert service.wants == before
    assert service.clock.getDelayedCalls() == []


def test_monitors_are_urgent_when_the_pool_is_at_its_floor() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"), Member("web3"))
    assert [monitor.urgent for monitor in service.factory.made] == [True, True, True]
    for monitor in service.factory.made:
        monitor.make_report(up=True)
    service.turn()
    assert [monitor.urgent for monitor in service.factory.made] == [False, False, False]
    service.report("web1", up=False)
    assert [monitor.urgent for monitor in service.factory.made] == [True, True, True]


def test_first_report_in_a_quiet_pool_is_applied_immediately() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.factory.running["web2"].make_report(up=False)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_reports_of_a_burst_are_gathered_for_50_ms() -> None:
    service = ControllerOnClock()
    service.start(*(f"web{number}" for number in range(1, 9)))
    before = len(service.amendments)
    for number in (1, 2, 3):
        service.factory.running[f"web{number}"].make_report(up=False)
    service.clock.advance(GATHER_SECONDS * 0.9)
    assert service.amendments[before:] == [{"10.0.0.1": None}]
    service.clock.advance(GATHER_SECONDS * 0.1)
    assert service.amendments[before:] == [{"10.0.0.1": None}, {"10.0.0.2": None, "10.0.0.3": None}]


def test_burst_keeps_the_servers_that_single_reports_would_keep() -> None:
    service = ControllerOnClock()
    service.start(*(f"web{number}" for number in range(1, 9)))
    for number in range(1, 7):
        service.factory.running[f"web{number}"].make_report(up=False)
    service.turn()
    assert sorted(service.wants[-1]) == [f"10.0.0.{number}" for number in (5, 6, 7, 8)]


def test_list_is_applied_after_the_reports_before_it(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.factory.running["web1"].make_report(up=False)
    service.factory.running["web2"].make_report(up=True)
    service.factory.running["web1"].make_report(up=True)
    lines.clear()
    service.source.listed((Member("web2"), Member("web3")))
    assert [line.split(" (")[0] for line in lines] == [
        "Server web1",
        "serving 3 of 3, floor 2, 0 forced: web1 pooled",
        "[text] Removing server web1",
    ]


def test_large_burst_is_applied_before_50_ms() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.factory.running["web1"].make_report(up=True, at=1.0)
    service.factory.running["web2"].make_report(up=False)
    for number in range(2, MOST_REPORTS):
        service.factory.running["web1"].make_report(up=True, at=float(number))
    assert len(service.wants[-1]) == 2
    service.factory.running["web1"].make_report(up=True, at=0.0)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_report_at_a_former_address_is_ignored() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    former = service.factory.running["web2"]
    service.move("web2", "10.0.1.2")
    service.report("web2", up=True)
    former.make_report(up=False, reason="status: HTTP 500, wanted 200")
    service.turn()
    report = service.controller.pool.servers["web2"].reports["Fake"]
    assert report is not None
    assert report.up


def test_history_names_the_servers_that_a_list_removes() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.deliver(Member("web1"))
    *_, last = service.controller.history.decisions
    assert last.text == "serving 1 of 1, floor 1, 0 forced: web2, web3 removed"
    assert list(last.by_reason()) == ["no longer in the server list: web2, web3"]


def test_report_that_waits_for_a_change_of_the_address_is_ignored() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.report("web1", up=False)
    former, pool.slow = pool.factory.running["web1"], True
    pool.names["web1"] = ip_address("10.0.1.1")
    pool.look_up()
    former.make_report(up=True)
    for _ in pool.until_applied():
        pass
    server = pool.controller.pool.servers["web1"]
    assert (server.address, server.reports["Fake"]) == (ip_address("10.0.1.1"), None)
    assert "10.0.1.1" not in pool.wants[-1]


def test_report_that_waits_for_another_next_address_is_ignored() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.controller.change(replace(pool.service, dns_move_wait=600.0), [pool.factory])
    pool.move("web1", "10.0.1.1")
    former, pool.slow = pool.factory.running["web1"], True
    assert former.address == ip_address("10.0.1.1")
    pool.names["web1"] = ip_address("10.0.1.2")
    pool.look_up()
    former.make_report(up=True)
    for _ in pool.until_applied():
        pass
    server = pool.controller.pool.servers["web1"]
    assert server.move is not None
    assert (server.address, server.move.address) == (ADDRESSES["web1"], ip_address("10.0.1.2"))


def test_change_of_many_servers_is_a_few_lines_and_a_summary(lines: list[str]) -> None:
    service = ControllerOnClock()
    hosts = [f"10.1.{number // 200}.{number % 200 + 1}" for number in range(MOST_LINES + 70)]
    service.controller.start({})
    service.deliver(*map(Member, hosts))
    new = [line for line in lines if "new" in line.lower()]
    assert len(new) == MOST_LINES + 1
    assert (new[0], new[-1]) == ("New enabled server 10.1.0.1, weight 10", "70 more new servers")
    lines.clear()
    service.deliver(Member("web1"))
    assert "Removing 70 more servers (no longer found in new configuration)" in lines


def test_2000_names_are_followed_and_monitored() -> None:
    service = ControllerOnClock()
    hosts = [f"10.1.{number // 200}.{number % 200 + 1}" for number in range(2000)]
    service.controller.start({})
    service.deliver(*map(Member, hosts))
    for _ in range(10):
        service.turn()
    assert len(service.factory.running) == 2000
    service.deliver(*map(Member, hosts[:1000]))
    assert sorted(service.factory.running) == sorted(hosts[:1000])
    assert [host for host, _ in service.controller.monitors()] == hosts[:1000]


def test_new_scheduler_amends_the_goal_without_listing_it_again() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.controller.change(replace(service.service, scheduler="mh"), [service.factory])
    assert service.amendments[-1] == {}


@without_cycles_of_twisted
def test_server_that_leaves_the_list_leaves_no_garbage() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    gc.collect()
    pool.deliver(Member("web1"), Member("web2"))
    pool.factory.made.clear()
    assert gc.collect() == 0


def test_report_is_applied_after_an_exception() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.error = MemoryError()
    pool.report("web1", up=False)
    assert len(pool.wants[-1]) == 3
    pool.clock.advance(1.0)
    assert pool.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10}
    assert pool.controller.pool.servers["web1"].placement is Placement.OUT


def test_list_is_applied_entirely_or_not_at_all() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    before = pool.controller.pool
    pool.error = MemoryError()
    pool.source.listed((Member("web1"), Member("web2")))
    assert pool.controller.pool is before
    pool.clock.advance(1.0)
    assert pool.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_address_is_applied_after_an_exception() -> None:
    pool = ControllerOnClock()
    pool.controller.start({})
    pool.source.listed((Member("web1"),))
    pool.error = MemoryError()
    pool.turn()
    assert pool.factory.made == []
    pool.clock.advance(1.0)
    assert [monitor.host for monitor in pool.factory.made] == ["web1"]


def test_reports_that_wait_for_a_retry_are_the_last_of_each_monitor() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.error = MemoryError()
    pool.report("web1", up=False)
    pool.report("web1", up=True)
    pool.clock.advance(1.0)
    assert len(pool.wants[-1]) == 3


def test_list_that_takes_many_turns_is_applied_in_one_of_them() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    before, wants, pool.slow = pool.controller.pool, len(pool.wants), True
    pool.source.listed((Member("web1", 20), Member("web2", 20)))
    seen = [(each is before, len(pool.wants) - wants) for each in pool.until_applied()]
    assert len(seen) > 5
    assert set(seen) == {(True, 0), (False, 1)}
    assert pool.wants[-1] == {"10.0.0.1": 20, "10.0.0.2": 20}


def test_events_wait_for_a_list_in_progress_and_keep_their_order() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3", "web4")
    pool.slow = True
    pool.source.listed(tuple(Member(f"web{number}") for number in range(1, 5)))
    monitor = pool.factory.running["web1"]
    for up in (False, True, False):
        monitor.make_report(up=up)
    pool.controller.change(replace(pool.service, depool_threshold=0.6), [pool.factory])
    pool.source.listed((Member("web4"), Member("web3"), Member("web1"), Member("web2", 0)))
    for _ in pool.until_applied():
        pass
    assert [*pool.controller.pool.servers] == ["web4", "web3", "web1", "web2"]
    assert pool.controller.pool.service.depool_threshold == 0.6
    assert pool.wants[-1] == {"10.0.0.3": 10, "10.0.0.4": 10, "10.0.0.2": 0}


def test_lists_that_come_during_one_in_progress_are_applied_once() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    wants, pool.slow = len(pool.wants), True
    for weight in range(20, 30):
        pool.source.listed((Member("web1", weight), Member("web2"), Member("web3")))
    weights = [each.servers["web1"].member.weight for each in pool.until_applied()]
    assert set(weights) == {10, 20, 29}
    assert pool.wants[wants:] == [{"10.0.0.1": weight, "10.0.0.2": 10, "10.0.0.3": 10} for weight in (20, 29)]


def test_override_given_during_a_list_in_progress_is_applied_after_it() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.slow = True
    pool.source.listed((Member("web1", 20), Member("web2"), Member("web3")))
    pool.overridden.add("web1")
    pool.controller.apply_overrides()
    for _ in pool.until_applied():
        pass
    assert pool.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10}


def test_list_is_compared_with_the_first_one_while_that_is_in_progress() -> None:
    pool = ControllerOnClock()
    pool.slow = True
    pool.controller.start({ADDRESSES["web1"]: 10})
    first = (Member("web1"), Member("web2"), Member("web3", enabled=False))
    pool.source.listed(first)
    assert not pool.controller.pool.listed
    assert pool.source.pool() == PoolState(first, frozenset(("web1", "web2")))


def test_cost_of_the_state_for_a_list_does_not_grow_with_the_pool() -> None:
    def cost(size: int) -> int:
        pool = ControllerOnClock()
        pool.names = {f"web{number}": ip_address("10.1.0.0") + number for number in range(size)}
        pool.start(*pool.names)
        assert pool.source.pool().pooled == pool.names.keys()
        return opcodes(pool.source.pool)

    assert cost(1000) == cost(100)


def test_list_in_progress_is_applied_after_an_exception() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    before, pool.slow, pool.error = pool.controller.pool, True, MemoryError()
    pool.source.listed((Member("web1"), Member("web2")))
    pool.factory.running["web1"].make_report(up=False)
    while pool.error:
        pool.clock.turn()
    assert pool.controller.pool is before
    for _ in pool.until_applied():
        pass
    assert pool.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10}
    pool.clock.advance(1.0)
    assert not pool.controller.pending
    assert pool.wants[-1] == {"10.0.0.2": 10}


def test_result_that_always_fails_does_not_stop_the_others() -> None:
    pool = ControllerOnClock()
    pool.start(*ADDRESSES)
    pool.stuck = {"10.0.0.1"}
    with observed_faults(pool.clock) as faults:
        for host in ("web2", "web1", "web3"):
            pool.factory.running[host].make_report(up=False)
        pool.turn()
        assert pool.wants[-1].keys() == {f"10.0.0.{number}" for number in (1, *range(4, 10))}
        text = "text: applying the result of Fake for web1: internal error for 0 s (ValueError: without 10.0.0.1)"
        assert f"{text}; retrying (see the log)" in [alert.text for alert in faults.alerts()]
        pool.report("web4", up=False)
        assert "10.0.0.4" not in pool.wants[-1]
        pool.stuck.clear()
        pool.clock.pump([1.0] * 4)
        assert "10.0.0.1" not in pool.wants[-1]
        assert not [alert for alert in faults.alerts() if alert.text.startswith("text: applying")]


def test_result_that_fails_is_dropped_when_a_newer_one_comes() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.stuck = {"10.0.0.1"}
    pool.report("web1", up=False)
    pool.stuck.clear()
    pool.report("web1", up=True)
    pool.clock.pump([1.0] * 100)
    assert len(pool.wants[-1]) == 3
    assert pool.controller.pool.servers["web1"].placement is Placement.POOLED


def test_list_that_always_fails_is_replaced_by_the_next_one() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.stuck = {"10.0.0.1"}
    with observed_faults(pool.clock) as faults:
        pool.deliver(Member("web2"), Member("web3"))
        pool.report("web3", up=False)
        assert pool.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}
        pool.clock.pump([1.0] * 100)
        (text,) = (alert.text for alert in faults.alerts() if alert.text.startswith("text: applying"))
        assert text.startswith("text: applying the list: internal error for 100 s (ValueError: without 10.0.0.1, ")
        pool.deliver(Member("web1"), Member("web2", 20))
        assert pool.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 20}
        assert not [alert for alert in faults.alerts() if alert.text.startswith("text: applying")]


def test_address_that_fails_is_not_applied_after_a_newer_one() -> None:
    pool = ControllerOnClock(monitored=False)
    pool.controller.start({})
    pool.deliver(*map(Member, ("web1", "web2")))
    pool.stuck = {"10.0.0.1"}
    pool.names["web1"] = ip_address("10.0.0.11")
    pool.clock.pump([1.0] * 120)
    assert pool.wants[-1].keys() == {"10.0.0.1", "10.0.0.2"}
    pool.names["web1"] = ip_address("10.0.0.12")
    pool.clock.pump([1.0] * 120)
    pool.stuck.clear()
    pool.clock.pump([1.0] * 120)
    assert pool.wants[-1].keys() == {"10.0.0.12", "10.0.0.2"}
    assert "10.0.0.11" not in {address for want in pool.wants for address in want}


def test_list_in_progress_takes_turns_with_the_work_of_other_pools() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.slow = True
    others: list[int] = []

    def other_work() -> Iterator[None]:
        for number in range(1000):
            others.append(number)
            yield

    pool.turns.run(cast("Work", other_work()))
    pool.source.listed((Member("web1", 20), Member("web2")))
    turns = len(list(pool.until_applied()))
    assert 5 < len(others) <= turns // 2


def test_addresses_found_during_a_change_in_progress_are_one_event() -> None:
    pool = ControllerOnClock(monitored=False)
    pool.slow = True
    pool.controller.start({})
    pool.source.listed(tuple(map(Member, ADDRESSES)))
    pool.clock.settle()
    assert len(pool.wants[-1]) == len(ADDRESSES)
    assert len(pool.wants) <= 4


def test_list_in_progress_ends_with_the_service() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    wants, pool.slow = len(pool.wants), True
    pool.source.listed((Member("web1"), Member("web2")))
    pool.clock.turn()
    pool.controller.stop()
    pool.turn()
    assert not pool.controller.pending
    assert len(pool.wants) == wants


@without_cycles_of_twisted
def test_stopped_service_leaves_no_garbage() -> None:
    pool = ControllerOnClock()
    pool.start("web1", "web2", "web3")
    pool.report("web1", up=False)
    gc.collect()
    pool.controller.stop()
    pool.turn()
    pool.factory.made.clear()
    controller = ref(pool.controller)
    del pool.source.listed, pool.source.failed, pool.source.pool, pool.controller
    assert controller() is None
    assert gc.collect() == 0


def test_monitors_are_started_after_an_exception_of_one() -> None:
    pool = ControllerOnClock()
    pool.factory.errors = [MemoryError()]
    pool.controller.start({})
    pool.deliver(Member("web1"), Member("web2"), Member("web3"))
    pool.clock.advance(1.0)
    assert sorted(pool.factory.running) == ["web1", "web2", "web3"]
    assert all(monitor.running for monitor in pool.factory.running.values())


def test_names_are_followed_after_an_exception_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ControllerOnClock()
    follow, errors = pool.resolver.follow, [MemoryError()]

    def fail_once(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return follow(*arguments)

    monkeypatch.setattr(pool.resolver, "follow", fail_once)
    pool.controller.start({})
    pool.deliver(Member("web1"), Member("web2"))
    pool.clock.pump([1.0, 0.0, 0.0])
    assert sorted(pool.factory.running) == ["web1", "web2"]


def test_override_disables_a_server_and_its_end_returns_it() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.overridden.add("web1")
    service.controller.apply_overrides()
    service.turn()
    assert service.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10}
    assert service.controller.pool.servers["web1"].status == "disabled/up/not pooled"
    service.overridden.clear()
    service.controller.apply_overrides()
    service.turn()
    assert service.wants[-1] == {"10.0.0.2": 10, "10.0.0.3": 10, "10.0.0.1": 10}


def test_overridden_server_is_never_forced_in_nor_enabled_by_a_list() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.overridden.add("web1")
    service.controller.apply_overrides()
    for host in ("web2", "web3"):
        service.report(host, up=False)
    service.deliver(Member("web1", 20), Member("web2"), Member("web3"))
    servers = service.controller.pool.servers
    assert [server.placement for server in servers.values()] == [Placement.OUT, Placement.FORCED, Placement.FORCED]
    assert servers["web1"].member == Member("web1", 20, enabled=False, overridden=True)


def test_source_compares_a_new_list_with_members_without_overrides() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.overridden.add("web1")
    service.controller.apply_overrides()
    state = service.source.pool()
    assert state.members == (Member("web1"), Member("web2"))
    assert state.pooled == {"web2"}


def test_server_of_the_saved_list_is_unknown_before_the_first_list() -> None:
    service = ControllerOnClock()
    service.source.saved = (Member("web1", 5), Member("web2", enabled=False))
    service.controller.start({ADDRESSES["web1"]: 10})
    found = service.controller.server("web1")
    assert found is not None
    assert (found.member, found.status) == (Member("web1", 5), "enabled/down/not pooled")
    assert service.controller.server("web3") is None
    service.deliver(Member("web2"))
    assert service.controller.server("web1") is None
    assert service.controller.server("web2") is service.controller.pool.servers["web2"]


def test_events_are_recorded_in_order_also_without_effect_until_the_stop() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web1"), Member("web2"))
    service.report("web1", up=False)
    service.controller.stop()
    assert service.tape.events == [
        "Adopted without effect",
        "Listed",
        "Resolved",
        "Gathered",
        "Gathered",
        "Listed without effect",
        "Gathered",
        "end",
    ]


def test_change_of_the_pool_is_announced() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    before = service.changed
    service.report("web1", up=False)
    assert service.changed == before + 1
    service.report("web1", up=False)
    assert service.changed == before + 1


def test_new_settings_replace_the_monitors_of_present_and_next_addresses() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.move("web1", "10.0.1.1")
    other = FakeMonitorFactory("Fake")
    service.controller.change(service.service, [other])
    service.turn()
    assert service.factory.running == {}
    assert sorted(str(monitor.address) for monitor in other.made) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"]


def test_new_settings_look_names_up_again_only_for_another_tunneling() -> None:
    service = ControllerOnClock(vip="2001:db8::1")
    service.controller.start({})
    service.deliver(Member("web1"))
    assert service.factory.running == {}
    before = len(service.looked_up)
    service.controller.change(replace(service.service, scheduler="mh"), [service.factory])
    service.turn()
    assert len(service.looked_up) == before
    service.controller.change(replace(service.service, tunneling=True), [service.factory])
    service.turn()
    assert len(service.looked_up) == before + 1
    assert list(service.factory.running) == ["web1"]
    assert service.alerts() == []


def test_addresses_found_after_new_settings_are_applied_after_them() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.slow = True
    service.tape.events.clear()
    for number in range(10):
        service.controller.change(replace(service.service, depool_threshold=number / 10), [service.factory])
    service.names["web1"] = ip_address("10.0.1.1")
    service.clock.rightNow += 120.0
    for _ in range(5):
        service.clock.turn()
    service.controller.change(replace(service.service, tunneling=True), [service.factory])
    for _ in service.until_applied():
        pass
    assert [each.split()[0] for each in service.tape.events][-3:] == ["Resolved", "Reconfigured", "Resolved"]


def test_new_source_takes_over_with_its_first_list() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    first, second, third = service.source, FakeSource("file:///second"), FakeSource("file:///third")
    service.controller.change(service.service, [service.factory], second)
    service.controller.change(service.service, [service.factory], third)
    assert (first.running, second.running, third.running) == (True, False, True)
    third.problem = "file:///third: not there"
    text = "file:///third: not there; keeping the list of the previous source"
    assert service.alerts() == [Alert("text", "source", text, subject="next")]
    third.problem = None
    third.listed((Member("web2"), Member("web3")))
    service.turn()
    third.listed((Member("web2"),))
    service.turn()
    assert (first.running, third.running) == (False, True)
    assert [*service.controller.pool.servers] == ["web2"]
    third.problem = "file:///third: not there"
    text = "file:///third: not there; keeping the last good list (1 server)"
    assert service.alerts()[:1] == [Alert("text", "source", text)]


def test_stop_ends_a_source_that_has_not_taken_over() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    following = FakeSource("file:///next")
    service.controller.change(service.service, [service.factory], following)
    service.controller.stop()
    assert not following.running


def test_stop_ends_lookups_gathered_reports_and_searches() -> None:
    service = ControllerOnClock()
    service.start(*(f"web{number}" for number in range(1, 9)))
    for number in (1, 2, 3, 4):
        service.report(f"web{number}", up=False)
    service.factory.running["web1"].make_report(up=True)
    service.factory.running["web2"].make_report(up=True)
    wants, looked_up = len(service.wants), len(service.looked_up)
    service.controller.stop()
    assert service.clock.getDelayedCalls() == []
    service.clock.pump([60.0] * 10)
    assert (len(service.wants), len(service.looked_up)) == (wants, looked_up)


def test_override_before_the_first_list_is_no_list() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    service.overridden.add("web1")
    service.controller.apply_overrides()
    service.turn()
    assert not service.controller.pool.listed


def test_lists_that_wait_are_one_event() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.slow = True
    service.tape.events.clear()
    for weight in range(20, 30):
        service.source.listed((Member("web1", weight), Member("web2"), Member("web3")))
    for _ in service.until_applied():
        pass
    assert service.tape.events == ["Listed", "Listed"]


def test_list_in_progress_has_no_pooled_server_without_held_addresses() -> None:
    service = ControllerOnClock()
    service.slow = True
    service.controller.start({})
    service.source.listed((Member("web1"),))
    assert service.source.pool() == PoolState((Member("web1"),), frozenset())


@pytest.mark.parametrize(("held", "pooled"), [({ADDRESSES["web1"]: 10}, frozenset(("web1",))), ({}, frozenset())])
def test_unresolved_server_counts_as_pooled_with_held_addresses(
    held: dict[Address, int], pooled: frozenset[str]
) -> None:
    service = ControllerOnClock()
    service.names["web1"] = LookupFailed("SERVFAIL", definite=False)
    service.controller.start(held)
    service.deliver(Member("web1"))
    assert service.source.pool().pooled == pooled


def test_alert_about_an_unusable_address_ends_with_another_address() -> None:
    service = ControllerOnClock()
    service.names["web2"] = ip_address("0.0.0.0")
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    service.names["web2"] = ADDRESSES["web2"]
    service.clock.pump([60.0] * 4)
    assert "unresolved" not in {alert.kind for alert in service.alerts()}


def test_addresses_are_applied_after_the_reports_before_them() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.names["web3"] = ip_address("10.0.1.3")
    service.clock.rightNow += 120.0
    service.factory.running["web1"].make_report(up=False)
    service.factory.running["web2"].make_report(up=False)
    service.tape.events.clear()
    for _ in range(4):
        service.clock.turn()
    assert service.tape.events == ["Gathered", "Resolved"]


def test_settings_are_applied_after_the_reports_before_them() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.factory.running["web1"].make_report(up=False)
    service.factory.running["web2"].make_report(up=False)
    service.tape.events.clear()
    service.controller.change(replace(service.service, depool_threshold=0.1), [service.factory])
    assert service.tape.events == ["Gathered", "Reconfigured"]


def test_whole_set_is_wanted_after_an_exception() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    service.error = MemoryError()
    service.report("web1", up=False)
    amendments, wants = len(service.amendments), len(service.wants)
    service.report("web2", up=False)
    assert (len(service.amendments), len(service.wants)) == (amendments, wants + 1)
    assert sorted(service.wants[-1]) == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]


def test_correlated_failures_are_logged_once_and_over_when_all_recover(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start(*(f"web{number}" for number in range(1, 7)))
    for number in (1, 2, 3):
        service.report(f"web{number}", up=False, at=2.0 * number)
    service.report("web4", up=False, at=7.0)
    service.clock.advance(CORRELATED_SECONDS)
    assert [alert.kind for alert in service.alerts()] == ["suspect-check"]
    assert sum("began to fail" in line for line in lines) == 1
    for number in (1, 2, 3, 4):
        service.report(f"web{number}", up=True, at=12.0)
        service.clock.pump([CORRELATED_SECONDS] * 2)
    assert service.alerts() == []


def test_initialization_ends_after_the_first_list_and_its_lookups() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    service.controller.change(replace(service.service, depool_threshold=0.6), [service.factory])
    service.turn()
    assert not service.controller.initialized
    service.source.listed((Member("web1"),))
    assert service.controller.pool.listed
    assert not service.controller.initialized
    service.turn()
    assert service.controller.initialized


def test_settings_before_the_first_list_leave_the_kernel_unchanged() -> None:
    service = ControllerOnClock()
    service.controller.start({ADDRESSES["web1"]: 10})
    service.controller.change(replace(service.service, scheduler="mh"), [service.factory])
    service.turn()
    assert service.wants == []


@pytest.mark.parametrize("changed", [{"name": "www"}, {"tunneling": True}], ids=["name", "tunneling"])
def test_whole_set_is_wanted_for_another_name_or_tunneling(changed: dict[str, Any]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    amendments, wants = len(service.amendments), len(service.wants)
    service.controller.change(replace(service.service, **changed), [service.factory])
    assert (len(service.amendments), len(service.wants)) == (amendments, wants + 1)


def test_correlated_failures_are_ignored_with_suspect_check_off() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    service.controller.change(replace(service.service, suspect_check=SuspectCheck.OFF), [service.factory])
    for number in (1, 2, 3):
        service.report(f"web{number}", up=False)
    service.clock.pump([CORRELATED_SECONDS] * 2)
    assert "suspect-check" not in {alert.kind for alert in service.alerts()}


def test_proof_follows_the_changes_that_wait_and_is_made_once_at_a_time() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.slow = True
    proved: list[int] = []
    service.source.listed((Member("web1", 20), Member("web2")))
    service.controller.prove(lambda: proved.append(service.wants[-1]["10.0.0.1"]))
    service.controller.prove(lambda: proved.append(0))
    for _ in service.until_applied():
        pass
    assert proved == [20]
    service.controller.prove(lambda: proved.append(1))
    service.turn()
    assert proved == [20, 1]


def test_removal_of_many_servers_by_the_source_raises_an_alert() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.source.removal = "file:///pool: declares web3, web4 out of the pool, 2 servers left"
    assert service.alerts() == [Alert("text", "removed", service.source.removal)]
