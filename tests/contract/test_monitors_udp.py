"""UDP on real sockets: ICMP errors mean down, silence means up."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.core.model import Report
from pybal.monitors.udp import UDPSettings
from tests.harness.fake_dns_server import NameServer
from tests.harness.own_socket import cause_icmp_error, has_input
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer
from tests.harness.stepped_reactor import run

SETTINGS = UDPSettings(interval=0.1, icmp_timeout=0.2)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def silent(server: NameServer) -> NameServer:
    server.answers = lambda _datagram: []
    return server


@HOSTS
def test_silent_server_is_up(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
            silent(server)
            monitor = setup.monitor(SETTINGS, port=server.port)
            assert await setup.report() == Report(up=True, at=setup.engine.now)
            await setup.until(lambda: len(server.queries) >= 3)
            assert set(server.queries) == {b""}
            assert len(set(server.clients)) == 1
            assert (monitor.up, monitor.name, list(samples_of(monitor))) == (True, "UDP", [])

    run(main)


def test_server_is_not_up_before_the_timeout() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            silent(server)
            setup.monitor(replace(SETTINGS, interval=1.0), port=server.port)
            await setup.until(lambda: server.queries)
            await setup.pause(0.1)
            assert setup.reports == []
            assert (await setup.report()).up
            assert len(server.queries) == 1

    run(main)


def test_answers_are_ignored() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            server.answers = lambda _datagram: [b"garbage" * 100, b""] * 50
            monitor = setup.monitor(SETTINGS, port=server.port)
            await setup.until(lambda: monitor.up_results >= 3)
            assert monitor.down_results == 0
            silent(server)
            await setup.until(lambda: not has_input(server.clients[-1]))

    run(main)


@HOSTS
def test_closed_port_is_down_immediately(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
            await server.stop()
            monitor = setup.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
            report = await setup.report()
            assert (report.up, report.reason) == (False, "icmp: refused")
            assert (monitor.down_results, monitor.up_results) == (1, 0)

    run(main)


@HOSTS
def test_restarted_server_is_up_again(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
            silent(server)
            monitor = setup.monitor(SETTINGS, port=server.port)
            for _ in range(2):
                assert (await setup.report()).up
                await server.stop()
                assert (await setup.report()).reason == "icmp: refused"
                server.listen()
            assert (await setup.report()).up
            assert (monitor.up_transitions, monitor.down_transitions) == (3, 2)

    run(main)


def test_server_stays_down_for_the_icmp_timeout() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            silent(server)
            await server.stop()
            monitor = setup.monitor(replace(SETTINGS, icmp_timeout=0.6), port=server.port)
            down = await setup.report()
            server.listen()
            up = await setup.report()
            assert (down.up, up.up) == (False, True)
            assert up.at - down.at >= 0.6
            assert len(server.queries) >= 3
            assert monitor.up_results == 1

    run(main)


def test_server_is_not_up_after_the_icmp_timeout_alone() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            await server.stop()
            monitor = setup.monitor(replace(SETTINGS, icmp_timeout=0.01), port=server.port)
            await setup.until(lambda: monitor.down_results >= 4)
            assert [report.up for report in setup.reports] == [False]
            assert monitor.up_results == 0

    run(main)


def test_late_error_is_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            silent(server)
            setup.monitor(replace(SETTINGS, interval=3600.0, timeout=0.05), port=server.port)
            assert (await setup.report()).up
            await server.stop()
            cause_icmp_error(server.clients[-1])
            report = await setup.report()
            assert (report.up, report.reason) == (False, "icmp: refused")

    run(main)


def test_error_during_a_freeze_is_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            silent(server)
            monitor = setup.monitor(SETTINGS, port=server.port)
            assert (await setup.report()).up
            await server.stop()
            cause_icmp_error(server.clients[-1])
            setup.skipped = 60.0
            assert (await setup.report()).reason == "icmp: refused"
            assert monitor.up_transitions == 1
            assert setup.engine.inconclusive == 0

    run(main)


def test_local_error_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            silent(server)
            with monkeypatch.context() as patch:
                patch.setattr(setup.engine, "socket", full)
                monitor = setup.monitor(SETTINGS, port=server.port)
                await setup.until(lambda: setup.engine.inconclusive >= 2)
            assert (monitor.up, setup.reports, setup.engine.local_errors["EMFILE"] >= 2) == (None, [], True)
            assert (await setup.report()).up

    run(main)


def test_unsent_datagram_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.SocketType):
        def connect_ex(self, _address: object) -> int:
            return errno.ENOBUFS

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monkeypatch.setattr(setup.engine, "socket", Refusing)
            monitor = setup.monitor(SETTINGS, port=9)
            await setup.until(lambda: setup.engine.inconclusive >= 2)
            assert (monitor.up, setup.reports) == (None, [])
            assert setup.engine.local_errors["ENOBUFS"] >= 2

    run(main)
