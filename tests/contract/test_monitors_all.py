"""The contract of every kind of monitor, with scripted and real servers, unshared and shared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.base import Monitor
from pybal.monitors.kinds import KINDS
from tests.harness.kind_servers import REAL, SCRIPTED, KindServer
from tests.harness.real_monitors import without_times
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer, SharedMonitoredServer
from tests.harness.stepped_reactor import run

SETUPS = pytest.mark.parametrize("setup_type", [MonitoredServer, SharedMonitoredServer], ids=["own", "shared"])
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


class Checked:
    """A monitor in a setup, not started yet, with the server that it checks."""

    def __init__(self, kind: str, setup: MonitoredServer, server: KindServer) -> None:
        self.kind = kind
        self.setup = setup
        self.server = server

    def start(self) -> Monitor:
        return self.setup.monitor(self.server.settings, port=self.server.port)

    async def refuse(self) -> None:
        await self.server.refuse(self.setup)

    async def recover(self) -> None:
        await self.server.recover(self.setup)


Test = Callable[[Checked], Awaitable[None]]


class KindCase:
    """A kind and its server: runs the coroutine of a test."""

    def __init__(self, kind: str, server: KindServer) -> None:
        self.kind = kind
        self.server = server

    def run(
        self,
        test: Test,
        setup_type: type[MonitoredServer] = MonitoredServer,
        host: str = "127.0.0.1",
        *,
        hang: bool = False,
    ) -> None:
        @asynccontextmanager
        async def opened(setup: MonitoredServer) -> AsyncIterator[Checked]:
            state = self.server.hang if hang else self.server.open
            async with state(setup):
                yield Checked(self.kind, setup, self.server)
                setup.stop_monitors()

        async def main(reactor: EPollReactor) -> None:
            async with setup_type(reactor, host) as setup, opened(setup) as checked:
                await test(checked)

        with self.server.environment():
            run(main)


@pytest.fixture(params=KINDS)
def scripted(request: pytest.FixtureRequest, tmp_path: Path) -> KindCase:
    assert request.param in SCRIPTED, f"tests/harness/kind_servers.py: add a server for {request.param} to SCRIPTED"
    return KindCase(request.param, SCRIPTED[request.param](tmp_path))


@pytest.fixture(params=[(kind, real) for kind in KINDS for real in (False, True) if not real or kind in REAL], ids=str)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> KindCase:
    kind, real = request.param
    table = REAL if real else SCRIPTED
    assert kind in table, f"tests/harness/kind_servers.py: add a server for {kind} to SCRIPTED"
    return KindCase(kind, table[kind](tmp_path))


def test_tables_of_servers_have_no_unknown_kind() -> None:
    assert (SCRIPTED.keys() | REAL.keys()) <= KINDS.keys()


@SETUPS
@HOSTS
def test_healthy_server_is_up(case: KindCase, setup_type: type[MonitoredServer], host: str) -> None:
    async def test(checked: Checked) -> None:
        monitor = checked.start()
        assert monitor.up_results == 0
        report = await checked.setup.report()
        assert report.up, report.reason
        assert (monitor.up, monitor.up_transitions, monitor.down_transitions) == (True, 1, 0)
        assert monitor.up_results >= 1

    case.run(test, setup_type, host)


@SETUPS
@HOSTS
def test_refusing_server_is_down_with_phase_and_reason(
    scripted: KindCase, setup_type: type[MonitoredServer], host: str
) -> None:
    async def test(checked: Checked) -> None:
        await checked.refuse()
        monitor = checked.start()
        report = await checked.setup.report()
        assert (report.up, report.reason) == (False, checked.server.refused)
        assert (monitor.up, monitor.down_transitions, monitor.up_results) == (False, 1, 0)
        assert report.at <= checked.setup.reactor.seconds()

    scripted.run(test, setup_type, host)


@SETUPS
def test_silent_server_is_down_in_bounded_time(scripted: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        checked.start()
        report = await checked.setup.report()
        expected = without_times(checked.server.silent)
        assert (report.up, without_times(report.reason)) == (not expected, expected)

    scripted.run(test, setup_type, hang=True)


@SETUPS
def test_counters_are_0_without_samples_before_the_first_result(
    scripted: KindCase, setup_type: type[MonitoredServer]
) -> None:
    async def test(checked: Checked) -> None:
        monitor = checked.start()
        assert (monitor.up_results, monitor.down_results) == (0, 0)
        assert (monitor.up_transitions, monitor.down_transitions) == (0, 0)
        assert list(samples_of(monitor)) == []
        names = [(metric, each) for metric, labels in monitor.samples()[0].metrics for each in labels]
        assert len(set(names)) == len(names)
        assert {metric for metric, _ in names} <= KINDS[checked.kind].help.keys()

    scripted.run(test, setup_type)


@SETUPS
def test_name_is_that_in_pybal_conf(scripted: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        assert checked.start().name == checked.kind

    scripted.run(test, setup_type)


@SETUPS
def test_start_reports_nothing(scripted: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        await checked.refuse()
        checked.start()
        assert checked.setup.reports == []

    scripted.run(test, setup_type)


@SETUPS
def test_stopped_monitor_reports_nothing(case: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        monitor = checked.start()
        await checked.setup.report()
        monitor.stop()
        reported = len(checked.setup.reports)
        await checked.refuse()
        await checked.setup.pause(0.4)
        assert len(checked.setup.reports) == reported

    case.run(test, setup_type)


@SETUPS
def test_stop_during_a_check_releases_everything(scripted: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        monitor = checked.start()
        await checked.setup.until(lambda: checked.setup.engine.in_flight or monitor.up)
        monitor.stop()
        assert checked.setup.engine.in_flight == 0

    scripted.run(test, setup_type, hang=True)


@SETUPS
def test_monitor_stopped_in_the_report_of_another_is_silent(
    scripted: KindCase, setup_type: type[MonitoredServer]
) -> None:
    async def test(checked: Checked) -> None:
        setup = checked.setup
        setup.reported = setup.stop_monitors
        for _ in range(20):
            checked.start()
        setup.skipped += 1.0  # the first checks of all start in one turn of the loop
        await setup.report()
        await setup.pause(0.2)
        assert len(setup.reports) == 1
        assert sum(monitor.up_results for monitor in setup.monitors) == 1

    scripted.run(test, setup_type)


@SETUPS
def test_recovered_server_is_up_again(case: KindCase, setup_type: type[MonitoredServer]) -> None:
    async def test(checked: Checked) -> None:
        monitor, setup = checked.start(), checked.setup
        assert (await setup.report()).up
        await checked.refuse()
        assert not (await setup.report()).up
        await checked.recover()
        report = await setup.report()
        while not report.up:  # changed causes may be reported first
            report = await setup.report()
        assert (monitor.up_transitions, monitor.down_transitions) == (2, 1)

    case.run(test, setup_type)
