"""What every kind of monitor promises, on real sockets, be it one service's own or shared."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.settings import IdleConnectionSettings, MonitorSettings, ProxyFetchSettings
from tests.harness.scripted_server import Peer, SharedWorld, World
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"

PROXYFETCH = ProxyFetchSettings(("http://www.example/",), interval=0.05, timeout=0.3)
IDLE = IdleConnectionSettings(timeout=0.3)
KINDS = pytest.mark.parametrize("settings", [PROXYFETCH, IDLE], ids=["ProxyFetch", "IdleConnection"])
WORLDS = pytest.mark.parametrize("world_of", [World, SharedWorld], ids=["own", "shared"])
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def answer(peer: Peer) -> None:
    peer.say(OK)


@KINDS
@WORLDS
@HOSTS
def test_a_server_that_answers_is_up(world_of: type[World], settings: MonitorSettings, host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor, host) as world:
            world.server.asked = answer
            monitor = world.monitor(settings)
            assert [monitor.up] == [None]
            report = await world.report()
            assert (report.up, report.reason) == (True, "")
            assert abs(report.at - reactor.seconds()) < 10
            assert (monitor.up, monitor.up_transitions, monitor.down_transitions) == (True, 1, 0)
            assert monitor.up_results >= 1

    run(main)


@KINDS
@WORLDS
@HOSTS
def test_a_server_that_refuses_is_down_with_phase_and_reason(
    world_of: type[World], settings: MonitorSettings, host: str
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor, host) as world:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
                bound.bind((host, 0))  # and does not listen
                monitor = world.monitor(settings, port=bound.getsockname()[1])
                report = await world.report()
            assert (report.up, report.reason) == (False, "connect: refused")
            assert (monitor.up, monitor.down_transitions, monitor.up_results) == (False, 1, 0)

    run(main)


@KINDS
@WORLDS
def test_a_connection_that_hangs_is_down_in_bounded_time(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                taken.connect(full.getsockname())
                world.monitor(settings, port=full.getsockname()[1])
                report = await world.report()
                assert (report.up, report.reason) == (False, "connect: nothing for 300 ms")
                world.monitors.pop().stop()

    run(main)


@KINDS
@WORLDS
def test_its_counters_and_samples_are_there_at_0_before_anything_happened(
    world_of: type[World], settings: MonitorSettings
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            monitor = world.monitor(settings)
            assert (monitor.up_results, monitor.down_results) == (0, 0)
            assert (monitor.up_transitions, monitor.down_transitions) == (0, 0)
            samples = list(monitor.samples())
            assert samples
            assert {sample.value for sample in samples} == {0}
            assert len({(sample.metric, sample.labels) for sample in samples}) == len(samples)

    run(main)


@KINDS
@WORLDS
def test_it_is_named_as_in_pybal_conf(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            expected = "ProxyFetch" if isinstance(settings, ProxyFetchSettings) else "IdleConnection"
            assert world.monitor(settings).name == expected

    run(main)


@KINDS
@WORLDS
def test_nothing_is_reported_from_within_start(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                world.monitor(settings, port=bound.getsockname()[1])
            assert world.reports == []

    run(main)


@KINDS
@WORLDS
def test_nothing_is_reported_after_stop(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            monitor = world.monitor(settings)
            await world.until(lambda: world.server.peers)
            monitor.stop()
            reported = len(world.reports)
            world.server.peers[0].reset()
            await world.pause(0.4)
            assert len(world.reports) == reported

    run(main)


@KINDS
@WORLDS
def test_stopping_a_monitor_in_the_report_of_another_silences_it(
    world_of: type[World], settings: MonitorSettings
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            world.server.asked = answer
            world.reported = world.stop_monitors
            for _ in range(20):
                world.monitor(settings)
            world.engine._schedule._sweep_end = 0  # all in one turn
            await world.report()
            await world.pause(0.2)
            assert len(world.reports) == 1
            assert sum(monitor.up_results for monitor in world.monitors) == 1

    run(main)


@KINDS
@WORLDS
def test_stopping_closes_the_connection(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            monitor = world.monitor(settings)
            await world.until(lambda: world.server.peers)
            monitor.stop()
            await world.until(lambda: world.server.peers[0].closed)

    run(main)


@KINDS
@WORLDS
def test_a_server_that_comes_back_is_up_again(world_of: type[World], settings: MonitorSettings) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with world_of(reactor) as world:
            world.server.asked = answer
            monitor = world.monitor(settings)
            assert (await world.report()).up
            await world.server.stop()
            assert not (await world.report()).up
            world.server.listen(reactor, world.host)
            report = await world.report()
            while not report.up:  # other causes of being down may come first
                report = await world.report()
            assert (monitor.up_transitions, monitor.down_transitions) == (2, 1)

    run(main)
