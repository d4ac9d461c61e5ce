"""UDP on real sockets: ICMP errors mean down, for a while; silence means up."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.settings import UDPSettings
from pybal.core.model import Report
from pybal.monitors.base import Monitor
from tests.harness.fake_dns_server import NameServer
from tests.harness.scripted_server import World
from tests.harness.stepped_reactor import run

SETTINGS = UDPSettings(interval=0.1, icmp_timeout=0.2)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def silent(server: NameServer) -> NameServer:
    server.answers = lambda _datagram: []
    return server


@HOSTS
def test_silent_server_is_up(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, World(reactor, host) as world:
            silent(server)
            monitor = world.monitor(SETTINGS, port=server.port)
            assert await world.report() == Report(up=True, at=world.engine.now)
            await world.until(lambda: len(server.queries) >= 3)
            assert set(server.queries) == {b""}
            assert len(set(server.clients)) == 1
            assert (monitor.up, monitor.name, list(monitor.samples())) == (True, "UDP", [])

    run(main)


def test_server_is_not_up_before_the_timeout() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            silent(server)
            world.monitor(replace(SETTINGS, interval=1.0), port=server.port)
            await world.until(lambda: server.queries)
            await world.pause(0.1)
            assert world.reports == []
            assert (await world.report()).up
            assert len(server.queries) == 1

    run(main)


def test_answers_are_ignored() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            server.answers = lambda _datagram: [b"garbage" * 100, b""] * 50
            monitor = world.monitor(SETTINGS, port=server.port)
            await world.until(lambda: monitor.up_results >= 3)
            assert monitor.down_results == 0
            silent(server)
            await world.until(lambda: not readable(monitor))

    run(main)


def readable(monitor: Monitor) -> bool:
    """Tell whether its socket holds anything unread."""
    try:
        monitor._check._socket.recv(1)  # type: ignore[attr-defined]  # a monitor of this kind has one
    except BlockingIOError:
        return False
    return True


@HOSTS
def test_closed_port_is_down_immediately(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, World(reactor, host) as world:
            await server.stop()
            monitor = world.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
            report = await world.report()
            assert (report.up, report.reason) == (False, "icmp: refused")
            assert (monitor.down_results, monitor.up_results) == (1, 0)

    run(main)


@HOSTS
def test_restarted_server_is_up_again(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, World(reactor, host) as world:
            silent(server)
            monitor = world.monitor(SETTINGS, port=server.port)
            for _ in range(2):
                assert (await world.report()).up
                await server.stop()
                assert (await world.report()).reason == "icmp: refused"
                server.listen()
            assert (await world.report()).up
            assert (monitor.up_transitions, monitor.down_transitions) == (3, 2)

    run(main)


def test_server_stays_down_for_the_icmp_timeout() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            silent(server)
            await server.stop()
            monitor = world.monitor(replace(SETTINGS, icmp_timeout=0.6), port=server.port)
            down = await world.report()
            server.listen()
            up = await world.report()
            assert (down.up, up.up) == (False, True)
            assert up.at - down.at >= 0.6
            assert len(server.queries) >= 3
            assert monitor.up_results == 1

    run(main)


def test_server_is_not_up_after_the_icmp_timeout_alone() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            await server.stop()
            monitor = world.monitor(replace(SETTINGS, icmp_timeout=0.01), port=server.port)
            await world.until(lambda: monitor.down_results >= 4)
            assert [report.up for report in world.reports] == [False]
            assert monitor.up_results == 0

    run(main)


def test_late_error_is_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            silent(server)
            world.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
            monitor = world.monitors[0]
            monitor._check.timeout = 0.05  # type: ignore[attr-defined]  # a monitor of this kind has one
            assert (await world.report()).up
            await server.stop()
            monitor._check._socket.send(b"")  # type: ignore[attr-defined]
            report = await world.report()
            assert (report.up, report.reason) == (False, "icmp: refused")

    run(main)


def test_error_during_a_freeze_is_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            silent(server)
            monitor = world.monitor(SETTINGS, port=server.port)
            assert (await world.report()).up
            await server.stop()
            monitor._check._socket.send(b"")  # type: ignore[attr-defined]  # a monitor of this kind has one
            world.skipped = 60.0
            assert (await world.report()).reason == "icmp: refused"
            assert monitor.up_transitions == 1
            assert world.engine.inconclusive == 0

    run(main)


def test_local_error_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, World(reactor) as world:
            silent(server)
            with monkeypatch.context() as patch:
                patch.setattr("pybal.checks.datagram.SocketType", full)
                monitor = world.monitor(SETTINGS, port=server.port)
                await world.until(lambda: world.engine.inconclusive >= 2)
            assert (monitor.up, world.reports, world.engine.local_errors["EMFILE"] >= 2) == (None, [], True)
            assert (await world.report()).up

    run(main)


def test_unsent_datagram_is_inconclusive() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.host = "255.255.255.255"  # connect() forbids it
            monitor = world.monitor(SETTINGS, port=9)
            await world.until(lambda: world.engine.inconclusive >= 2)
            assert (monitor.up, world.reports) == (None, [])
            assert world.engine.local_errors["EACCES"] >= 2

    run(main)
