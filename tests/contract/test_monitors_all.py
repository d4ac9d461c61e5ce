"""What every kind of monitor promises, on real sockets, be it one service's own or shared."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.factory import MonitorSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from tests.harness.scripted_server import MonitoredServer, Peer, SharedMonitoredServer
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"

PROXYFETCH = ProxyFetchSettings(("http://www.example/",), interval=0.05, timeout=0.3)
IDLE = IdleConnectionSettings(timeout=0.3)
KINDS = pytest.mark.parametrize("settings", [PROXYFETCH, IDLE], ids=["ProxyFetch", "IdleConnection"])
SETUPS = pytest.mark.parametrize("setup_type", [MonitoredServer, SharedMonitoredServer], ids=["own", "shared"])
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def answer(peer: Peer) -> None:
    peer.say(OK)


@KINDS
@SETUPS
@HOSTS
def test_a_server_that_answers_is_up(setup_type: type[MonitoredServer], settings: MonitorSettings, host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor, host) as setup:
            setup.server.asked = answer
            monitor = setup.monitor(settings)
            assert [monitor.up] == [None]
            report = await setup.report()
            assert (report.up, report.reason) == (True, "")
            assert abs(report.at - reactor.seconds()) < 10
            assert (monitor.up, monitor.up_transitions, monitor.down_transitions) == (True, 1, 0)
            assert monitor.up_results >= 1

    run(main)


@KINDS
@SETUPS
@HOSTS
def test_a_server_that_refuses_is_down_with_phase_and_reason(
    setup_type: type[MonitoredServer], settings: MonitorSettings, host: str
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor, host) as setup:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
                bound.bind((host, 0))  # and does not listen
                monitor = setup.monitor(settings, port=bound.getsockname()[1])
                report = await setup.report()
            assert (report.up, report.reason) == (False, "connect: refused")
            assert (monitor.up, monitor.down_transitions, monitor.up_results) == (False, 1, 0)

    run(main)


@KINDS
@SETUPS
def test_a_connection_that_hangs_is_down_in_bounded_time(
    setup_type: type[MonitoredServer], settings: MonitorSettings
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                taken.connect(full.getsockname())
                setup.monitor(settings, port=full.getsockname()[1])
                report = await setup.report()
                assert (report.up, report.reason) == (False, "connect: no response for 300 ms")
                setup.monitors.pop().stop()

    run(main)


@KINDS
@SETUPS
def test_its_counters_and_samples_are_there_at_0_before_anything_happened(
    setup_type: type[MonitoredServer], settings: MonitorSettings
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            monitor = setup.monitor(settings)
            assert (monitor.up_results, monitor.down_results) == (0, 0)
            assert (monitor.up_transitions, monitor.down_transitions) == (0, 0)
            samples = list(monitor.samples())
            assert samples
            assert {sample.value for sample in samples} == {0}
            assert len({(sample.metric, sample.labels) for sample in samples}) == len(samples)

    run(main)


@KINDS
@SETUPS
def test_it_is_named_as_in_pybal_conf(setup_type: type[MonitoredServer], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            expected = "ProxyFetch" if isinstance(settings, ProxyFetchSettings) else "IdleConnection"
            assert setup.monitor(settings).name == expected

    run(main)


@KINDS
@SETUPS
def test_nothing_is_reported_from_within_start(setup_type: type[MonitoredServer], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                setup.monitor(settings, port=bound.getsockname()[1])
            assert setup.reports == []

    run(main)


@KINDS
@SETUPS
def test_nothing_is_reported_after_stop(setup_type: type[MonitoredServer], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            monitor = setup.monitor(settings)
            await setup.until(lambda: setup.server.peers)
            monitor.stop()
            reported = len(setup.reports)
            setup.server.peers[0].reset()
            await setup.pause(0.4)
            assert len(setup.reports) == reported

    run(main)


@KINDS
@SETUPS
def test_stopping_a_monitor_in_the_report_of_another_silences_it(
    setup_type: type[MonitoredServer], settings: MonitorSettings
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            setup.server.asked = answer
            setup.reported = setup.stop_monitors
            for _ in range(20):
                setup.monitor(settings)
            setup.engine._schedule._sweep_end = 0  # all in one turn
            await setup.report()
            await setup.pause(0.2)
            assert len(setup.reports) == 1
            assert sum(monitor.up_results for monitor in setup.monitors) == 1

    run(main)


@KINDS
@SETUPS
def test_stopping_closes_the_connection(setup_type: type[MonitoredServer], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            monitor = setup.monitor(settings)
            await setup.until(lambda: setup.server.peers)
            monitor.stop()
            await setup.until(lambda: setup.server.peers[0].closed)

    run(main)


@KINDS
@SETUPS
def test_a_server_that_comes_back_is_up_again(setup_type: type[MonitoredServer], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with setup_type(reactor) as setup:
            setup.server.asked = answer
            monitor = setup.monitor(settings)
            assert (await setup.report()).up
            await setup.server.stop()
            assert not (await setup.report()).up
            setup.server.listen(reactor, setup.host)
            report = await setup.report()
            while not report.up:  # other causes of being down may come first
                report = await setup.report()
            assert (monitor.up_transitions, monitor.down_transitions) == (2, 1)

    run(main)
