"""One service, with a source and monitors that the test plays itself, and Twisted's Clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from random import Random

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pybal.core import decision
from pybal.core.model import Address, Alert, IPProtocol, Member, Placement, Report, Service
from pybal.daemon.controller import Controller
from pybal.monitors.base import Monitor, PastResult, Sample
from pybal.resolve import LookupFailed, LookupResult, Resolver
from pybal.sources.base import SourceError

VIP = ip_address("10.2.1.1")
ADDRESSES = {f"web{i}": ip_address(f"10.0.0.{i}") for i in range(1, 10)}


class PlayedSource:
    """A pool source whose lists come from the test."""

    differences = 0

    def __init__(self) -> None:
        self.problem: str | None = None
        self.last_success: float | None = None
        self.stopped = False

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        self.listed = listed
        self.failed = failed

    def stop(self) -> None:
        self.stopped = True


class PlayedMonitor:
    """A monitor whose reports come from the test."""

    name = "Played"
    passed_at = 0.0
    up_results = down_results = up_transitions = down_transitions = 0
    shared_by = ()
    urgent = False

    def __init__(self, host: str, address: Address, report: Callable[[Report], None]) -> None:
        self.host = host
        self.address = address
        self.report = report
        self.up: bool | None = None
        self.running = False

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent

    def samples(self) -> Iterable[Sample]:
        return ()

    def history(self) -> Iterable[PastResult]:
        return ()

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def says(self, *, up: bool, reason: str = "", at: float = 0.0) -> None:
        self.up = up
        self.report(Report(up, reason, at, reason))


class PlayedPlan:
    name = "Played"

    def __init__(self) -> None:
        self.made: list[PlayedMonitor] = []

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        self.made.append(PlayedMonitor(host, address, report))
        return self.made[-1]

    @property
    def running(self) -> dict[str, PlayedMonitor]:
        return {monitor.host: monitor for monitor in self.made if monitor.running}


class Rig:
    """A controller of one service, and all that surrounds it."""

    def __init__(self, *, vip: str = "10.2.1.1", monitored: bool = True, tunneling: bool = False) -> None:
        self.clock = Clock()
        self.names: dict[str, Address | LookupFailed] = dict(ADDRESSES)
        self.source = PlayedSource()
        self.plan = PlayedPlan()
        self.wants: list[dict[str, int]] = []
        self.service = Service(
            "text",
            IPProtocol.TCP,
            ip_address(vip),
            80,
            "wrr",
            monitors=("Played",) if monitored else (),
            tunneling=tunneling,
        )
        self.resolver = Resolver(self._lookup, self.clock, Random(1))
        self.controller = Controller(
            self.service,
            self.source,
            self.resolver,
            [self.plan] if monitored else [],
            want=self._want,
            clock=self.clock,
        )

    async def _lookup(self, host: str, version: int) -> LookupResult:
        answer = self.names[host]
        if isinstance(answer, LookupFailed):
            raise answer
        return LookupResult((answer,), 60.0)

    def _want(self, _service: Service, destinations: Mapping[Address, int]) -> None:
        self.wants.append({str(address): weight for address, weight in destinations.items()})

    def turn(self) -> None:
        """Let the loop go round until nothing more is due."""
        for _ in range(4):
            self.clock.advance(0)

    def lists(self, *members: Member) -> None:
        self.source.listed(members)
        self.turn()

    def starts_with(self, *hosts: str) -> None:
        """Start with these hosts, all up."""
        self.controller.start({})
        self.lists(*(Member(host) for host in hosts))
        for host in hosts:
            self.plan.running[host].says(up=True)

    def alerts(self) -> list[Alert]:
        return list(self.controller.alerts())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    told: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("system") == "text":
            told.append(str(event["text"]))

    globalLogPublisher.addObserver(observe)
    yield told
    globalLogPublisher.removeObserver(observe)


def test_servers_enter_the_kernel_at_their_first_up() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    assert rig.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_a_server_that_goes_down_leaves_the_kernel_and_returns_when_it_is_up_again() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.plan.running["web2"].says(up=False, reason="status: HTTP 500, wanted 200")
    assert rig.wants[-1] == {"10.0.0.1": 10}
    rig.plan.running["web2"].says(up=True)
    assert rig.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_nothing_is_wanted_of_the_kernel_before_the_source_has_delivered_a_list() -> None:
    rig = Rig()
    rig.controller.start({VIP: 10})
    rig.turn()
    assert rig.wants == []


def test_a_restart_wants_what_the_kernel_already_holds_at_every_moment_until_checks_say_otherwise() -> None:
    rig = Rig()
    held = {ADDRESSES["web1"]: 10, ADDRESSES["web2"]: 10, ADDRESSES["web3"]: 10}
    rig.controller.start(held)
    rig.lists(*(Member(host) for host in ("web1", "web2", "web3")))
    assert rig.wants == [{"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}]


def test_a_restart_while_the_resolver_is_down_takes_nothing_out_of_the_kernel() -> None:
    rig = Rig()
    for host in ("web1", "web2"):
        rig.names[host] = LookupFailed("SERVFAIL", definite=False)
    rig.controller.start({ADDRESSES["web1"]: 7, ADDRESSES["web2"]: 8})
    rig.lists(Member("web1"), Member("web2"))
    assert rig.wants == [{"10.0.0.1": 7, "10.0.0.2": 8}]
    assert [alert.kind for alert in rig.alerts()] == ["unresolved", "unresolved"]


def test_an_unresolved_server_does_not_keep_the_others_from_serving() -> None:
    rig = Rig()
    rig.names["web2"] = LookupFailed("SERVFAIL", definite=False)
    rig.controller.start({})
    rig.lists(Member("web1"), Member("web2"))
    rig.plan.running["web1"].says(up=True)
    assert rig.wants[-1] == {"10.0.0.1": 10}


def test_a_changed_weight_is_wanted_and_touches_no_monitor() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    monitor = rig.plan.running["web1"]
    rig.lists(Member("web1", 25), Member("web2"))
    assert rig.wants[-1] == {"10.0.0.1": 25, "10.0.0.2": 10}
    assert rig.plan.running["web1"] is monitor


def test_a_disabled_server_leaves_the_kernel_and_is_still_watched() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.lists(Member("web1", enabled=False), Member("web2"))
    assert rig.wants[-1] == {"10.0.0.2": 10}
    assert sorted(rig.plan.running) == ["web1", "web2"]


def test_a_removed_server_leaves_the_kernel_and_its_monitors_end() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.lists(Member("web2"))
    assert rig.wants[-1] == {"10.0.0.2": 10}
    assert list(rig.plan.running) == ["web2"]
    assert [host for host, _ in rig.controller.monitors()] == ["web2"]


def test_a_changed_address_is_followed_in_one_step_and_watched_anew() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    before = len(rig.wants)
    rig.names["web1"] = ip_address("10.0.1.1")
    rig.clock.advance(120)
    rig.turn()
    assert rig.wants[before:] == [{"10.0.1.1": 10, "10.0.0.2": 10}]
    assert str(rig.plan.running["web1"].address) == "10.0.1.1"
    assert len(rig.plan.running) == 2


def test_an_address_of_the_other_family_is_refused_without_tunneling(lines: list[str]) -> None:
    rig = Rig(vip="2001:db8::1")
    rig.controller.start({})
    rig.lists(Member("10.0.0.1"))
    assert rig.plan.running == {}
    assert "Server 10.0.0.1: 10.0.0.1 cannot serve 2001:db8::1 without tunneling" in lines


def test_an_address_of_the_other_family_is_served_through_a_tunnel() -> None:
    rig = Rig(vip="2001:db8::1", tunneling=True)
    rig.controller.start({})
    rig.lists(Member("10.0.0.1"))
    rig.plan.running["10.0.0.1"].says(up=True)
    assert rig.wants[-1] == {"10.0.0.1": 10}


def test_without_monitors_servers_count_as_up() -> None:
    rig = Rig(monitored=False)
    rig.controller.start({})
    rig.lists(Member("web1"), Member("web2"))
    assert rig.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_a_report_that_changes_nothing_wants_nothing_of_the_kernel() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2", "web3")
    rig.plan.running["web1"].says(up=False, reason="connect: refused")
    before = len(rig.wants)
    rig.plan.running["web1"].says(up=False, reason="connect: reset")
    assert len(rig.wants) == before


def test_a_source_that_fails_keeps_the_list_and_is_an_alert(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.source.problem = "file:///pool: not there"
    rig.source.last_success = rig.clock.seconds()
    rig.clock.advance(42)
    rig.source.failed(SourceError("file:///pool: not there"))
    assert rig.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}
    assert rig.alerts() == [
        Alert("text", "source", "file:///pool: not there; the last good list of 2 servers serves on, good 42 s ago")
    ]
    assert lines[-1] == "file:///pool: not there; the last good list of 2 servers serves on"


def test_a_source_that_never_delivered_is_told_apart_from_one_that_fails_later() -> None:
    rig = Rig()
    rig.controller.start({})
    assert rig.alerts() == [Alert("text", "source", "no list of servers yet")]
    rig.source.problem = "file:///pool: not there"
    assert rig.alerts() == [Alert("text", "source", "file:///pool: not there; no list of servers yet")]


def test_a_pool_with_fewer_enabled_servers_than_its_floor_is_an_alert() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2", "web3", "web4")
    rig.lists(Member("web1"), *(Member(f"web{i}", enabled=False) for i in (2, 3, 4)))
    assert rig.wants[-1] == {"10.0.0.1": 10}
    assert rig.alerts() == [Alert("text", "disabled", "1 of 4 servers enabled, serving 1 of 4, floor 2, 0 forced")]


def test_two_hosts_at_one_address_are_an_alert() -> None:
    rig = Rig()
    rig.names["web2"] = ADDRESSES["web1"]
    rig.starts_with("web1", "web2")
    assert rig.wants[-1] == {"10.0.0.1": 10}
    assert rig.alerts() == [Alert("text", "duplicate", "web1, web2 share the address 10.0.0.1: one destination")]


def test_a_monitor_that_stays_silent_is_an_alert_and_no_decision() -> None:
    rig = Rig()
    rig.controller.start({ADDRESSES["web1"]: 10})
    rig.lists(Member("web1"))
    rig.clock.advance(31)
    assert rig.wants == [{"10.0.0.1": 10}]
    assert rig.alerts() == [Alert("text", "unknown", "web1: nothing conclusive from Played yet")]


def test_the_log_tells_cause_and_arithmetic_of_a_depool(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2", "web3", "web4")
    lines.clear()
    rig.plan.running["web3"].says(up=False, reason="status: HTTP 500, wanted 200")
    assert lines == [
        "Monitoring instance Played reports server web3 (enabled/up/pooled) down: status: HTTP 500, wanted 200",
        "serving 3 of 4, floor 2, 0 forced: web3 depooled",
    ]


def test_the_log_tells_cause_and_arithmetic_when_the_threshold_keeps_a_dead_server(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.plan.running["web1"].says(up=False, reason="connect: refused")
    lines.clear()
    rig.plan.running["web2"].says(up=False, reason="connect: refused")
    assert lines == [
        "Monitoring instance Played reports server web2 (enabled/up/pooled) down: connect: refused",
        "Could not depool server web2 because of too many down!",
        "serving 0 of 2, floor 1, 1 forced: web2 kept",
    ]
    assert rig.controller.could_not_depool == 1
    assert rig.controller.pool.servers["web2"].placement is Placement.FORCED


def test_the_log_tells_of_lists_in_the_words_that_tools_search_for(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    assert "New enabled server web1, weight 10" in lines
    assert "Server web1 (enabled/up/pooled) is up" in lines
    rig.lists(Member("web1", 5, enabled=False))
    assert "Merged disabled server web1, weight 5" in lines
    assert "Removing server web2 (no longer found in new configuration)" in lines


def test_20150613_a_check_that_many_servers_begin_to_fail_alike_is_said_to_be_the_suspect(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2", "web3", "web4", "web5", "web6")
    for number in (1, 2, 3):
        rig.plan.running[f"web{number}"].says(up=False, reason="status: HTTP 301, wanted 200", at=2.0 * number)
    told = '3 of 6 servers began to fail Played with "status: HTTP 301, wanted 200" within 4 s'
    assert lines[-1] == told
    assert rig.alerts() == [Alert("text", "suspect-check", told)]
    rig.plan.running["web4"].says(up=False, reason="status: HTTP 301, wanted 200", at=8.0)
    assert sum("began to fail" in line for line in lines) == 1
    rig.plan.running["web1"].says(up=True, at=12.0)
    rig.plan.running["web2"].says(up=True, at=12.0)
    assert rig.alerts() == []


def test_the_last_decisions_are_kept_as_they_were_logged(lines: list[str]) -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    rig.clock.advance(5)
    before = rig.clock.seconds()
    rig.plan.running["web1"].says(up=False, reason="connect: refused")
    rig.plan.running["web2"].says(up=False, reason="connect: refused")
    depooled, kept = list(rig.controller.decisions)[-2:]
    assert (depooled.verb, depooled.hosts, depooled.at) == ("depooled", ("web1",), before)
    assert (kept.verb, kept.arithmetic) == ("kept", "serving 0 of 2, floor 1, 1 forced")
    assert {depooled.text, kept.text} <= set(lines)
    for _ in range(decision.KEPT):
        rig.plan.running["web1"].says(up=True)
        rig.plan.running["web1"].says(up=False, reason="connect: refused")
    assert len(rig.controller.decisions) == decision.KEPT


def test_the_past_of_a_server_goes_with_it_and_another_address_begins_anew() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    assert list(rig.controller.monitors_of("web1")) == [rig.plan.running["web1"]]
    before = rig.controller.monitors_of("web2")
    rig.names["web2"] = ip_address("10.0.1.1")
    rig.clock.advance(120)
    rig.lists(Member("web2"))
    assert rig.controller.monitors_of("web1") == ()
    assert rig.controller.monitors_of("web2") != before
    assert list(rig.controller.monitors_of("web2")) == [rig.plan.running["web2"]]


def test_many_decisions_of_one_kind_are_one_line(lines: list[str]) -> None:
    rig = Rig(monitored=False)
    for i in range(40):
        rig.names[f"many{i}"] = ip_address(f"10.0.3.{i}")
    rig.controller.start({})
    rig.lists(*(Member(f"many{i}") for i in range(40)))
    told = [line for line in lines if line.endswith(" pooled")]
    assert len(told) == 1
    assert told[0].endswith("many8, many9 and 30 more pooled")


def test_after_stop_nothing_runs_and_nothing_is_taken_from_the_kernel() -> None:
    rig = Rig()
    rig.starts_with("web1", "web2")
    before = list(rig.wants)
    rig.controller.stop()
    rig.resolver.stop()
    assert rig.source.stopped
    assert rig.plan.running == {}
    assert rig.wants == before
    assert rig.clock.getDelayedCalls() == []


def test_the_monitors_hurry_while_the_pool_is_at_its_floor() -> None:
    rig = Rig()
    rig.controller.start({})
    rig.lists(Member("web1"), Member("web2"), Member("web3"))
    assert [monitor.urgent for monitor in rig.plan.made] == [True, True, True]
    for monitor in rig.plan.made:
        monitor.says(up=True)
    assert [monitor.urgent for monitor in rig.plan.made] == [False, False, False]
    rig.plan.running["web1"].says(up=False)
    assert [monitor.urgent for monitor in rig.plan.made] == [True, True, True]
