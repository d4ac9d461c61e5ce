"""Local errors take no server down: descriptor exhaustion, a firewall, a freeze, a clock step."""

from __future__ import annotations

import errno
import resource
import socket

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from tests.harness.scripted_server import MonitoredServer, Peer, saying
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def settings(timeout: float = 0.4, interval: float = 0.05) -> ProxyFetchSettings:
    return ProxyFetchSettings(("http://www.example/",), timeout=timeout, interval=interval)


def refusing(number: int) -> type[socket.SocketType]:
    """Return sockets whose connect() fails immediately."""

    class Refusing(socket.SocketType):
        def connect_ex(self, _address: object) -> int:
            return number

    return Refusing


def test_descriptor_exhaustion_takes_no_server_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitor = setup.monitor(settings())
            assert (await setup.report()).up
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            spare = socket.socket()
            lowest = spare.fileno()
            spare.close()
            await setup.until(lambda: not setup.engine.in_flight)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                await setup.until(lambda: setup.engine.local_errors["EMFILE"] >= 3)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            up_results = monitor.up_results
            await setup.until(lambda: monitor.up_results > up_results)
            assert (monitor.up, monitor.down_results) == (True, 0)
            assert setup.engine.inconclusive >= 3
            assert len(setup.reports) == 1

    run(main)


@pytest.mark.parametrize(
    "number", [errno.EADDRNOTAVAIL, errno.EPERM, errno.ENOBUFS, errno.EMFILE, errno.ENETDOWN, errno.EAGAIN]
)
def test_local_connect_error_is_inconclusive(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monkeypatch.setattr(setup.engine, "socket", refusing(number))
            monitor = setup.monitor(settings())
            await setup.until(lambda: setup.engine.local_errors[errno.errorcode[number]] >= 2)
            assert (monitor.up, setup.reports) == (None, [])

    run(main)


def test_checks_are_retried_once_during_a_local_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monkeypatch.setattr(setup.engine, "socket", refusing(errno.ENOBUFS))
            setup.monitor(settings(interval=60))
            await setup.until(lambda: setup.engine.checks >= 2)
            await setup.pause(0.3)
            assert setup.engine.checks <= 3

    run(main)


def test_freeze_takes_no_server_down_and_checks_again() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitor = setup.monitor(settings(timeout=5, interval=60))
            assert (await setup.report()).up
            setup.server.asked = saying()
            setup.skip_to(60)
            await setup.until(lambda: setup.engine.in_flight)
            setup.skipped += 20
            await setup.until(lambda: setup.engine.inconclusive)
            setup.server.asked = saying(OK)
            for peer in setup.server.peers:
                if not peer.closed:
                    peer.say(OK)
            await setup.until(lambda: monitor.up_results >= 2)
            assert (monitor.down_results, len(setup.reports)) == (0, 1)

    run(main)


def test_answer_during_a_freeze_counts() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)

            def freeze(_peer: Peer) -> None:
                setup.skipped += 20
                saying(OK)(_peer)

            setup.server.asked = freeze
            monitor = setup.monitor(settings(timeout=5, interval=60))
            assert (await setup.report()).up
            assert monitor.down_results == 0

    run(main)


def test_wall_clock_step_does_not_change_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitor = setup.monitor(settings(interval=0.1))
            await setup.until(lambda: monitor.up_results >= 2)
            for stepped in (1.6e9, 1.8e9):
                clock = iter([stepped] * 1_000_000)
                monkeypatch.setattr("time.time", clock.__next__)
                began, wanted = reactor.seconds(), monitor.up_results + 3
                while monitor.up_results < wanted:
                    await setup.pause(0.002)
                assert reactor.seconds() - began >= 0.15
            assert monitor.down_results == 0

    run(main)


def test_idle_connection_is_retried_after_a_local_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            with monkeypatch.context() as patched:
                patched.setattr(setup.engine, "socket", refusing(errno.EADDRNOTAVAIL))
                monitor = setup.monitor(IdleConnectionSettings())
                await setup.until(lambda: setup.engine.local_errors["EADDRNOTAVAIL"])
                assert setup.reports == []
            assert (await setup.report()).up
            assert monitor.down_results == 0

    run(main)
