"""Our own trouble is never the server's: out of descriptors, no route, frozen, a clock that steps."""

from __future__ import annotations

import errno
import resource
import socket

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks import socket_check as check_module
from pybal.config.settings import IdleConnectionSettings, ProxyFetchSettings
from tests.harness.scripted_server import Peer, World, saying
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def settings(timeout: float = 0.4, interval: float = 0.05) -> ProxyFetchSettings:
    return ProxyFetchSettings(("http://www.example/",), timeout=timeout, interval=interval)


def refusing(number: int) -> type[socket.SocketType]:
    """Return sockets whose connect() fails at once."""

    class Refusing(socket.SocketType):
        def connect_ex(self, _address: object) -> int:
            return number

    return Refusing


def test_descriptor_exhaustion_takes_no_server_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.server.asked = saying(OK)
            monitor = world.monitor(settings())
            assert (await world.report()).up
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            spare = socket.socket()
            lowest = spare.fileno()
            spare.close()
            await world.until(lambda: not world.engine.in_flight)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                await world.until(lambda: world.engine.local_errors["EMFILE"] >= 3)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            up_results = monitor.up_results
            await world.until(lambda: monitor.up_results > up_results)
            assert (monitor.up, monitor.down_results) == (True, 0)
            assert world.engine.inconclusive >= 3
            assert len(world.reports) == 1

    run(main)


@pytest.mark.parametrize(
    "number", [errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES, errno.EHOSTUNREACH, errno.ENOBUFS]
)
def test_local_connect_error_is_inconclusive(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "SocketType", refusing(number))

    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            monitor = world.monitor(settings())
            await world.until(lambda: world.engine.local_errors[errno.errorcode[number]] >= 2)
            assert (monitor.up, world.reports) == (None, [])

    run(main)


def test_checks_are_retried_once_during_a_local_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_module, "SocketType", refusing(errno.ENETUNREACH))

    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.monitor(settings(interval=60))
            await world.until(lambda: world.engine.checks >= 2)
            await world.pause(0.3)
            assert world.engine.checks <= 3

    run(main)


def test_freeze_takes_no_server_down_and_checks_again() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.server.asked = saying(OK)
            monitor = world.monitor(settings(timeout=5, interval=60))
            assert (await world.report()).up
            world.server.asked = saying()
            world.engine.again(monitor._timer)  # type: ignore[attr-defined]  # instead of waiting for a minute
            await world.until(lambda: world.engine.in_flight)
            world.skipped += 20
            await world.until(lambda: world.engine.inconclusive)
            world.server.asked = saying(OK)
            for peer in world.server.peers:
                if not peer.closed:
                    peer.say(OK)
            await world.until(lambda: monitor.up_results >= 2)
            assert (monitor.down_results, len(world.reports)) == (0, 1)

    run(main)


def test_answer_during_a_freeze_counts() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.server.asked = saying(OK)

            def freeze(_peer: Peer) -> None:
                world.skipped += 20
                saying(OK)(_peer)

            world.server.asked = freeze
            monitor = world.monitor(settings(timeout=5, interval=60))
            assert (await world.report()).up
            assert monitor.down_results == 0

    run(main)


def test_wall_clock_step_does_not_change_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.server.asked = saying(OK)
            monitor = world.monitor(settings(interval=0.1))
            await world.until(lambda: monitor.up_results >= 2)
            for stepped in (1.6e9, 1.8e9):
                clock = iter([stepped] * 1_000_000)
                monkeypatch.setattr("time.time", clock.__next__)
                began, wanted = reactor.seconds(), monitor.up_results + 3
                while monitor.up_results < wanted:
                    await world.pause(0.002)
                assert reactor.seconds() - began >= 0.15
            assert monitor.down_results == 0

    run(main)


def test_idle_connection_is_retried_after_a_local_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            with monkeypatch.context() as patched:
                patched.setattr(check_module, "SocketType", refusing(errno.EADDRNOTAVAIL))
                monitor = world.monitor(IdleConnectionSettings())
                await world.until(lambda: world.engine.local_errors["EADDRNOTAVAIL"])
                assert world.reports == []
            assert (await world.report()).up
            assert monitor.down_results == 0

    run(main)
