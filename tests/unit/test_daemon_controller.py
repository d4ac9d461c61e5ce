"""The controller of one service, with a fake source and fake monitors, on a Clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from random import Random

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pybal.core import decision
from pybal.core.model import Address, Alert, IPProtocol, Member, Placement, Service
from pybal.daemon.controller import Controller
from pybal.resolve import LookupFailed, LookupResult, Resolver
from pybal.sources.base import SourceError
from tests.harness.fake_services import FakeMonitorFactory, FakeSource

VIP = ip_address("10.2.1.1")
ADDRESSES = {f"web{i}": ip_address(f"10.0.0.{i}") for i in range(1, 10)}


class ControllerOnClock:
    """A controller with its fake parts; ``wants`` are the wanted sets of its service."""

    def __init__(self, *, vip: str = "10.2.1.1", monitored: bool = True, tunneling: bool = False) -> None:
        self.clock = Clock()
        self.names: dict[str, Address | LookupFailed] = dict(ADDRESSES)
        self.source = FakeSource("file:///pool")
        self.factory = FakeMonitorFactory("Fake")
        self.wants: list[dict[str, int]] = []
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
        """Run the loop until nothing more is due."""
        for _ in range(4):
            self.clock.advance(0)

    def deliver(self, *members: Member) -> None:
        self.source.listed(members)
        self.turn()

    def start(self, *hosts: str) -> None:
        """Start with these servers, all up."""
        self.controller.start({})
        self.deliver(*(Member(host) for host in hosts))
        for host in hosts:
            self.factory.running[host].make_report(up=True)

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
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_a_server_that_goes_down_leaves_the_kernel_and_returns_when_it_is_up_again() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.factory.running["web2"].make_report(up=False, reason="status: HTTP 500, wanted 200")
    assert service.wants[-1] == {"10.0.0.1": 10}
    service.factory.running["web2"].make_report(up=True)
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_nothing_is_wanted_of_the_kernel_before_the_source_has_delivered_a_list() -> None:
    service = ControllerOnClock()
    service.controller.start({VIP: 10})
    service.turn()
    assert service.wants == []


def test_a_restart_wants_what_the_kernel_already_holds_at_every_moment_until_checks_say_otherwise() -> None:
    service = ControllerOnClock()
    held = {ADDRESSES["web1"]: 10, ADDRESSES["web2"]: 10, ADDRESSES["web3"]: 10}
    service.controller.start(held)
    service.deliver(*(Member(host) for host in ("web1", "web2", "web3")))
    assert service.wants == [{"10.0.0.1": 10, "10.0.0.2": 10, "10.0.0.3": 10}]


def test_a_restart_while_the_resolver_is_down_takes_nothing_out_of_the_kernel() -> None:
    service = ControllerOnClock()
    for host in ("web1", "web2"):
        service.names[host] = LookupFailed("SERVFAIL", definite=False)
    service.controller.start({ADDRESSES["web1"]: 7, ADDRESSES["web2"]: 8})
    service.deliver(Member("web1"), Member("web2"))
    assert service.wants == [{"10.0.0.1": 7, "10.0.0.2": 8}]
    assert [alert.kind for alert in service.alerts()] == ["unresolved", "unresolved"]


def test_an_unresolved_server_does_not_keep_the_others_from_serving() -> None:
    service = ControllerOnClock()
    service.names["web2"] = LookupFailed("SERVFAIL", definite=False)
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    service.factory.running["web1"].make_report(up=True)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_a_changed_weight_is_wanted_and_touches_no_monitor() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    monitor = service.factory.running["web1"]
    service.deliver(Member("web1", 25), Member("web2"))
    assert service.wants[-1] == {"10.0.0.1": 25, "10.0.0.2": 10}
    assert service.factory.running["web1"] is monitor


def test_a_disabled_server_leaves_the_kernel_and_is_still_watched() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web1", enabled=False), Member("web2"))
    assert service.wants[-1] == {"10.0.0.2": 10}
    assert sorted(service.factory.running) == ["web1", "web2"]


def test_a_removed_server_leaves_the_kernel_and_its_monitors_end() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.deliver(Member("web2"))
    assert service.wants[-1] == {"10.0.0.2": 10}
    assert list(service.factory.running) == ["web2"]
    assert [host for host, _ in service.controller.monitors()] == ["web2"]


def test_a_changed_address_is_followed_in_one_step_and_watched_anew() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    before = len(service.wants)
    service.names["web1"] = ip_address("10.0.1.1")
    service.clock.advance(120)
    service.turn()
    assert service.wants[before:] == [{"10.0.1.1": 10, "10.0.0.2": 10}]
    assert str(service.factory.running["web1"].address) == "10.0.1.1"
    assert len(service.factory.running) == 2


def test_an_address_of_the_other_family_is_refused_without_tunneling(lines: list[str]) -> None:
    service = ControllerOnClock(vip="2001:db8::1")
    service.controller.start({})
    service.deliver(Member("10.0.0.1"))
    assert service.factory.running == {}
    assert "Server 10.0.0.1: 10.0.0.1 cannot serve 2001:db8::1 without tunneling" in lines


def test_an_address_of_the_other_family_is_served_through_a_tunnel() -> None:
    service = ControllerOnClock(vip="2001:db8::1", tunneling=True)
    service.controller.start({})
    service.deliver(Member("10.0.0.1"))
    service.factory.running["10.0.0.1"].make_report(up=True)
    assert service.wants[-1] == {"10.0.0.1": 10}


def test_without_monitors_servers_count_as_up() -> None:
    service = ControllerOnClock(monitored=False)
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"))
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}


def test_a_report_that_changes_nothing_wants_nothing_of_the_kernel() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3")
    service.factory.running["web1"].make_report(up=False, reason="connect: refused")
    before = len(service.wants)
    service.factory.running["web1"].make_report(up=False, reason="connect: reset")
    assert len(service.wants) == before


def test_a_source_that_fails_keeps_the_list_and_is_an_alert(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.source.problem = "file:///pool: not there"
    service.source.last_success = service.clock.seconds()
    service.clock.advance(42)
    service.source.failed(SourceError("file:///pool: not there"))
    assert service.wants[-1] == {"10.0.0.1": 10, "10.0.0.2": 10}
    assert service.alerts() == [
        Alert("text", "source", "file:///pool: not there; the last good list of 2 servers serves on, good 42 s ago")
    ]
    assert lines[-1] == "file:///pool: not there; the last good list of 2 servers serves on"


def test_a_source_that_never_delivered_is_told_apart_from_one_that_fails_later() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    assert service.alerts() == [Alert("text", "source", "no list of servers yet")]
    service.source.problem = "file:///pool: not there"
    assert service.alerts() == [Alert("text", "source", "file:///pool: not there; no list of servers yet")]


def test_a_pool_with_fewer_enabled_servers_than_its_floor_is_an_alert() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    service.deliver(Member("web1"), *(Member(f"web{i}", enabled=False) for i in (2, 3, 4)))
    assert service.wants[-1] == {"10.0.0.1": 10}
    assert service.alerts() == [Alert("text", "disabled", "1 of 4 servers enabled, serving 1 of 4, floor 2, 0 forced")]


def test_two_hosts_at_one_address_are_an_alert() -> None:
    service = ControllerOnClock()
    service.names["web2"] = ADDRESSES["web1"]
    service.start("web1", "web2")
    assert service.wants[-1] == {"10.0.0.1": 10}
    assert service.alerts() == [Alert("text", "duplicate", "web1, web2 share the address 10.0.0.1: one destination")]


def test_a_monitor_that_stays_silent_is_an_alert_and_no_decision() -> None:
    service = ControllerOnClock()
    service.controller.start({ADDRESSES["web1"]: 10})
    service.deliver(Member("web1"))
    service.clock.advance(31)
    assert service.wants == [{"10.0.0.1": 10}]
    assert service.alerts() == [Alert("text", "unknown", "web1: nothing conclusive from Fake yet")]


def test_the_log_tells_cause_and_arithmetic_of_a_depool(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4")
    lines.clear()
    service.factory.running["web3"].make_report(up=False, reason="status: HTTP 500, wanted 200")
    assert lines == [
        "Monitoring instance Fake reports server web3 (enabled/up/pooled) down: status: HTTP 500, wanted 200",
        "serving 3 of 4, floor 2, 0 forced: web3 depooled",
    ]


def test_the_log_tells_cause_and_arithmetic_when_the_threshold_keeps_a_dead_server(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.factory.running["web1"].make_report(up=False, reason="connect: refused")
    lines.clear()
    service.factory.running["web2"].make_report(up=False, reason="connect: refused")
    assert lines == [
        "Monitoring instance Fake reports server web2 (enabled/up/pooled) down: connect: refused",
        "Could not depool server web2 because of too many down!",
        "serving 0 of 2, floor 1, 1 forced: web2 kept",
    ]
    assert service.controller.could_not_depool == 1
    assert service.controller.pool.servers["web2"].placement is Placement.FORCED


def test_the_log_tells_of_lists_in_the_words_that_tools_search_for(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert "New enabled server web1, weight 10" in lines
    assert "Server web1 (enabled/up/pooled) is up" in lines
    service.deliver(Member("web1", 5, enabled=False))
    assert "Merged disabled server web1, weight 5" in lines
    assert "Removing server web2 (no longer found in new configuration)" in lines


def test_20150613_a_check_that_many_servers_begin_to_fail_alike_is_said_to_be_the_suspect(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2", "web3", "web4", "web5", "web6")
    for number in (1, 2, 3):
        service.factory.running[f"web{number}"].make_report(
            up=False, reason="status: HTTP 301, wanted 200", at=2.0 * number
        )
    told = '3 of 6 servers began to fail Fake with "status: HTTP 301, wanted 200" within 4 s'
    assert lines[-1] == told
    assert service.alerts() == [Alert("text", "suspect-check", told)]
    service.factory.running["web4"].make_report(up=False, reason="status: HTTP 301, wanted 200", at=8.0)
    assert sum("began to fail" in line for line in lines) == 1
    service.factory.running["web1"].make_report(up=True, at=12.0)
    service.factory.running["web2"].make_report(up=True, at=12.0)
    assert service.alerts() == []


def test_the_last_decisions_are_kept_as_they_were_logged(lines: list[str]) -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    service.clock.advance(5)
    before = service.clock.seconds()
    service.factory.running["web1"].make_report(up=False, reason="connect: refused")
    service.factory.running["web2"].make_report(up=False, reason="connect: refused")
    depooled, kept = list(service.controller.decisions)[-2:]
    assert (depooled.verb, depooled.hosts, depooled.at) == ("depooled", ("web1",), before)
    assert (kept.verb, kept.arithmetic) == ("kept", "serving 0 of 2, floor 1, 1 forced")
    assert {depooled.text, kept.text} <= set(lines)
    for _ in range(decision.KEPT_DECISIONS):
        service.factory.running["web1"].make_report(up=True)
        service.factory.running["web1"].make_report(up=False, reason="connect: refused")
    assert len(service.controller.decisions) == decision.KEPT_DECISIONS


def test_the_past_of_a_server_goes_with_it_and_another_address_begins_anew() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    assert list(service.controller.monitors_of("web1")) == [service.factory.running["web1"]]
    before = service.controller.monitors_of("web2")
    service.names["web2"] = ip_address("10.0.1.1")
    service.clock.advance(120)
    service.deliver(Member("web2"))
    assert service.controller.monitors_of("web1") == ()
    assert service.controller.monitors_of("web2") != before
    assert list(service.controller.monitors_of("web2")) == [service.factory.running["web2"]]


def test_many_decisions_of_one_kind_are_one_line(lines: list[str]) -> None:
    service = ControllerOnClock(monitored=False)
    for i in range(40):
        service.names[f"many{i}"] = ip_address(f"10.0.3.{i}")
    service.controller.start({})
    service.deliver(*(Member(f"many{i}") for i in range(40)))
    told = [line for line in lines if line.endswith(" pooled")]
    assert len(told) == 1
    assert told[0].endswith("many8, many9 and 30 more pooled")


def test_after_stop_nothing_runs_and_nothing_is_taken_from_the_kernel() -> None:
    service = ControllerOnClock()
    service.start("web1", "web2")
    before = list(service.wants)
    service.controller.stop()
    service.resolver.stop()
    assert not service.source.running
    assert service.factory.running == {}
    assert service.wants == before
    assert service.clock.getDelayedCalls() == []


def test_the_monitors_hurry_while_the_pool_is_at_its_floor() -> None:
    service = ControllerOnClock()
    service.controller.start({})
    service.deliver(Member("web1"), Member("web2"), Member("web3"))
    assert [monitor.hurried for monitor in service.factory.made] == [True, True, True]
    for monitor in service.factory.made:
        monitor.make_report(up=True)
    assert [monitor.hurried for monitor in service.factory.made] == [False, False, False]
    service.factory.running["web1"].make_report(up=False)
    assert [monitor.hurried for monitor in service.factory.made] == [True, True, True]
