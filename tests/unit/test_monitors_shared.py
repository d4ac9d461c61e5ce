"""Checks that several services share: which ones, their reports, and when they end."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs

from pybal.checks.engine import Engine
from pybal.checks.result import PASSED, Result
from pybal.core.model import Address, IPProtocol, Report, Service
from pybal.monitors.base import Monitor, PastResult, Samples, Series
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.icmp import ICMPSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.shared import Sharing

FETCH = ProxyFetchSettings(("http://www.example/",))
HOST, ADDRESS = "web1", ip_address("10.0.0.1")
UP, DOWN = Report(up=True, at=1.0), Report(up=False, reason="connect: refused", at=2.0, cause="connect refused")


def service(name: str, port: int = 80) -> Service:
    return Service(name, IPProtocol.TCP, ip_address("10.2.1.1"), port, "wrr")


PLAYED: Samples = Series((("pybal_monitor_played", ((),)),)), (1.0,)


class ScriptedMonitor:
    """A monitor with scripted reports."""

    name = "ScriptedMonitor"
    passed_at = 0.0
    up: bool | None = None
    up_results, down_results, up_transitions, down_transitions = 5, 6, 7, 8
    shared_by = ()
    urgent = False

    def __init__(self, host: str, address: Address, say: Callable[[Report], None]) -> None:
        self.server = (host, address)
        self.say = say
        self.lived: list[str] = []

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent

    @property
    def decided_at(self) -> float:
        return 1.0

    @property
    def patience(self) -> float:
        return 30.0

    @property
    def next_check(self) -> float:
        return 3.0

    @property
    def needed(self) -> int:
        return 2

    def samples(self) -> Samples:
        return PLAYED

    def history(self) -> Iterable[PastResult]:
        return (PastResult(1.0, Result(PASSED, 0.1)),)

    def start(self) -> None:
        self.lived.append("start")

    def stop(self) -> None:
        self.lived.append("stop")


class ScriptedFactory:
    name = "ScriptedMonitor"

    def __init__(self, made: list[ScriptedMonitor]) -> None:
        self.made = made

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        self.made.append(ScriptedMonitor(host, address, report))
        return self.made[-1]


class SharingServices:
    """Services that share checks, and the real monitors created for them."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.engine = Engine(self.reactor, seconds=self.reactor.seconds)
        self.prepared: list[tuple[MonitorSettings, Service]] = []
        self.made: list[ScriptedMonitor] = []
        self.heard: list[tuple[str, Report]] = []
        self.reported: Callable[[str], object] = lambda _name: None
        self.kept: list[Monitor] = []
        """The started monitors, which a pool keeps: a collection of garbage would end them."""
        self.sharing = Sharing(self._prepare, self.engine)

    def _prepare(self, settings: MonitorSettings, of: Service) -> ScriptedFactory:
        self.prepared.append((settings, of))
        return ScriptedFactory(self.made)

    def monitor(
        self, of: Service, settings: MonitorSettings = FETCH, host: str = HOST, address: Address = ADDRESS
    ) -> Monitor:
        def report(report: Report) -> None:
            self.heard.append((of.name, report))
            self.reported(of.name)

        return self.sharing.factory(settings, of).monitor(host, address, report)

    def start(self, name: str) -> Monitor:
        monitor = self.monitor(service(name))
        self.kept.append(monitor)
        monitor.start()
        return monitor

    def pass_time(self) -> None:
        """Advance the time by a second."""
        for _ in range(100):
            self.reactor.advance(0.01)


@pytest.fixture
def services() -> Iterator[SharingServices]:
    services = SharingServices()
    services.engine.start()
    yield services
    services.engine.stop()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((service("a"), FETCH), (service("b"), FETCH)),
        ((service("a"), replace(FETCH, port=8080)), (service("b", 443), replace(FETCH, port=8080))),
        ((service("a"), ICMPSettings()), (service("b", 443), ICMPSettings())),
        ((service("a"), FETCH), (replace(service("b"), vip=ip_address("10.2.1.2"), scheduler="mh"), replace(FETCH))),
    ],
)
def test_checks_are_shared_when_all_settings_are_equal(
    services: SharingServices, one: tuple[Service, MonitorSettings], other: tuple[Service, MonitorSettings]
) -> None:
    first, second = services.monitor(*one), services.monitor(*other)
    first.start()
    second.start()
    assert services.prepared == [(one[1], one[0])]
    assert [(made.server, made.lived) for made in services.made] == [((HOST, ADDRESS), ["start"])]
    assert (list(first.shared_by), list(second.shared_by)) == (["a", "b"], ["a", "b"])


@pytest.mark.parametrize(
    ("port", "settings", "host", "address"),
    [
        (81, FETCH, HOST, ADDRESS),
        (80, replace(FETCH, port=81), HOST, ADDRESS),
        (80, replace(FETCH, interval=11.0), HOST, ADDRESS),
        (80, replace(FETCH, fall=2), HOST, ADDRESS),
        (80, replace(FETCH, host="other.example"), HOST, ADDRESS),
        (80, FETCH, "web1.example", ADDRESS),
        (80, FETCH, HOST, ip_address("10.0.0.2")),
        (80, ICMPSettings(), HOST, ADDRESS),
    ],
)
def test_checks_are_not_shared_when_anything_differs(
    services: SharingServices, port: int, settings: MonitorSettings, host: str, address: Address
) -> None:
    own = services.monitor(service("a"))
    other = services.monitor(service("b", port), settings, host, address)
    assert len(services.made) == 2
    assert (list(own.shared_by), list(other.shared_by)) == ([], [])


def test_services_receive_reports_in_order_of_creation(services: SharingServices) -> None:
    for name in "abc":
        services.start(name)
    services.made[0].say(DOWN)
    assert services.heard == [("a", DOWN), ("b", DOWN), ("c", DOWN)]


def test_unstarted_proxy_receives_no_report(services: SharingServices) -> None:
    services.start("a")
    services.monitor(service("b"))
    services.made[0].say(UP)
    assert services.heard == [("a", UP)]


class TestLateProxy:
    def test_late_proxy_receives_the_last_report_after_start(self, services: SharingServices) -> None:
        services.start("a")
        services.made[0].say(UP)
        services.made[0].say(DOWN)
        services.heard.clear()
        services.start("b")
        assert services.heard == []
        services.pass_time()
        assert services.heard == [("b", DOWN)]
        services.pass_time()
        assert services.heard == [("b", DOWN)]

    def test_late_proxy_receives_nothing_before_the_first_report(self, services: SharingServices) -> None:
        services.start("a")
        services.start("b")
        services.pass_time()
        assert services.heard == []

    def test_late_proxy_receives_only_a_newer_report(self, services: SharingServices) -> None:
        services.start("a")
        services.made[0].say(UP)
        services.start("b")
        services.made[0].say(DOWN)
        services.pass_time()
        assert services.heard == [("a", UP), ("a", DOWN), ("b", DOWN)]

    def test_late_proxy_receives_nothing_once_stopped(self, services: SharingServices) -> None:
        services.start("a")
        services.made[0].say(UP)
        services.start("b").stop()
        services.pass_time()
        assert services.heard == [("a", UP)]

    def test_late_proxy_receives_one_report_when_started_in_a_report(self, services: SharingServices) -> None:
        services.reported = lambda name: services.start("b") if name == "a" else None
        services.start("a")
        services.made[0].say(UP)
        services.pass_time()
        assert services.heard == [("a", UP), ("b", UP)]


class TestSharedMonitor:
    def test_shared_monitor_runs_until_the_last_proxy_stops(self, services: SharingServices) -> None:
        a, b = services.start("a"), services.start("b")
        a.stop()
        assert list(b.shared_by) == []
        services.made[0].say(UP)
        assert (services.made[0].lived, services.heard) == (["start"], [("b", UP)])
        b.stop()
        b.stop()
        assert services.made[0].lived == ["start", "stop"]

    def test_shared_monitor_is_created_again_after_the_last_stop(self, services: SharingServices) -> None:
        a = services.start("a")
        services.made[0].say(DOWN)
        a.stop()
        services.heard.clear()
        services.start("b")
        services.pass_time()
        assert [made.lived for made in services.made] == [["start", "stop"], ["start"]]
        assert services.heard == []

    def test_shared_monitor_is_kept_for_an_unstarted_proxy(self, services: SharingServices) -> None:
        a, b = services.start("a"), services.monitor(service("b"))
        a.stop()
        b.start()
        assert [made.lived for made in services.made] == [["start"]]

    def test_shared_monitor_stops_with_an_unstarted_proxy(self, services: SharingServices) -> None:
        services.monitor(service("a")).stop()
        assert [made.lived for made in services.made] == [["stop"]]

    def test_shared_monitor_can_stop_in_its_own_report(self, services: SharingServices) -> None:
        monitors = [services.start(name) for name in "abc"]

        def stop_all(_name: str) -> None:
            for monitor in monitors:
                monitor.stop()

        services.reported = stop_all
        services.made[0].say(DOWN)
        assert (services.heard, services.made[0].lived) == ([("a", DOWN)], ["start", "stop"])

    def test_shared_monitor_reports_to_others_when_one_raises(self, services: SharingServices) -> None:
        for name in "abc":
            services.start(name)
        services.reported = lambda name: 1 / 0 if name == "a" else None
        with capturedLogs() as logged:
            services.made[0].say(DOWN)
        assert services.heard == [("a", DOWN), ("b", DOWN), ("c", DOWN)]
        assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]

    def test_shared_monitor_provides_counters_samples_and_history(self, services: SharingServices) -> None:
        a, b = services.start("a"), services.start("b")
        services.made[0].up = True
        for one in (a, b):
            assert (one.name, one.up, one.up_results, one.down_results) == ("ScriptedMonitor", True, 5, 6)
            assert (one.up_transitions, one.down_transitions) == (7, 8)
            assert one.samples() == PLAYED
            assert [past.at for past in one.history()] == [1.0]


def test_factory_is_forgotten_when_unused(services: SharingServices) -> None:
    services.start("a").stop()
    services.made.clear()
    services.kept.clear()
    gc.collect()
    services.start("b")
    assert [of.name for _, of in services.prepared] == ["a", "b"]


def test_shared_monitor_is_urgent_while_one_service_is_urgent(services: SharingServices) -> None:
    a, b, c = services.start("a"), services.start("b"), services.start("c")
    a.set_urgent(True)
    b.set_urgent(True)
    a.set_urgent(False)
    assert services.made[0].urgent
    b.stop()
    assert not services.made[0].urgent
    c.set_urgent(True)
    assert services.made[0].urgent


def test_shared_monitor_leaves_no_garbage_after_the_last_stop(services: SharingServices) -> None:
    proxy = services.start("a")
    services.made[0].say(UP)
    gc.collect()
    proxy.stop()
    services.made.clear()
    del proxy
    assert gc.collect() == 0
