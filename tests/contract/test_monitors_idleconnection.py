"""IdleConnection: sends nothing, down when the connection is lost, up after a clean close."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.idle import HeldConnection
from pybal.checks.result import Phase
from pybal.checks.socket_check import Target
from pybal.monitors import idleconnection
from pybal.monitors.base import Monitor
from pybal.monitors.idleconnection import FAILED, LOST, IdleConnectionSettings, clean_pauses, socket_options
from tests.harness.own_socket import own_socket
from tests.harness.samples import Sample, samples_of
from tests.harness.scripted_server import MonitoredServer, Peer
from tests.harness.stepped_reactor import run

IDLE = IdleConnectionSettings()


@pytest.fixture
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the first pauses, and the duration of a short connection."""
    monkeypatch.setattr(idleconnection, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(idleconnection, "QUICKEST_RECONNECT", 0.1)


QUICK_RETRIES = pytest.mark.usefixtures("_quick_retries")
QUICK = IdleConnectionSettings(timeout_clean_reconnect=0.1, max_delay=0.2)


def counts(monitor: Monitor, metric: str) -> dict[str, float]:
    """Return the counters above 0, by reason."""
    return {
        sample.labels[0][1]: sample.value for sample in samples_of(monitor) if sample.metric == metric and sample.value
    }


def test_idle_connection_sends_nothing_and_discards_input() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.connected = lambda peer: peer.say(b"220 welcome\r\n" * 300_000)
            monitor = setup.monitor(IDLE)
            assert (await setup.report()).up
            await setup.until(lambda: setup.server.peers and not setup.server.peers[0].transport.dataBuffer)
            # Twisted's, and without a public name:
            await setup.until(lambda: not setup.server.peers[0].transport._tempDataBuffer)  # noqa: SLF001
            monitor.stop()
            await setup.until(lambda: setup.server.peers[0].closed)
            assert setup.server.peers[0].received == b""
            assert len(setup.reports) == 1

    run(main)


def test_endless_input_does_not_block_the_loop() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            chunk = bytes(1 << 20)

            def talk(peer: Peer) -> None:
                if not peer.closed:
                    if len(peer.transport.dataBuffer) < len(chunk):
                        peer.say(chunk)
                    reactor.callLater(0, talk, peer)

            setup.server.connected = talk
            monitor = setup.monitor(IDLE)
            await setup.report()
            for _ in range(20):
                await setup.pause(0.001)
            monitor.stop()
            await setup.until(lambda: setup.server.peers[0].closed)
            await setup.pause(0.01)

    run(main)


@pytest.mark.parametrize("said", [b"", bytes(20_000)], ids=["immediately", "after more than one read"])
def test_close_together_with_the_connection_is_detected(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybal.checks.idle._READ", 1000)

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            results: list[tuple[Phase, str]] = []
            with socket.create_server(("127.0.0.1", 0)) as listening:
                target = Target.of(IPv4Address("127.0.0.1"), listening.getsockname()[1])
                held = HeldConnection(
                    setup.engine, target, 5.0, lambda _held, result: results.append((result.phase, result.cause)), ()
                )

                def turn() -> None:
                    held.start()
                    with listening.accept()[0] as peer:
                        peer.sendall(said)

                setup.engine.soon(turn)
                await setup.until(lambda: len(results) == 2)
            assert results == [(Phase.CONNECT, ""), (Phase.IDLE, "closed")]

    run(main)


class TestKeepalive:
    @pytest.mark.parametrize(
        ("settings", "first", "then", "lost"),
        [
            (IDLE, range(5, 11), range(24, 31), 3),
            (IdleConnectionSettings(keepalive_idle=2, keepalive_interval=1, keepalive_retries=5), (1, 2), (1,), 5),
            (IdleConnectionSettings(keepalive=False), (7200,), (75,), 9),
        ],
    )
    def test_t119372_keepalive_options_are_set(
        self, settings: IdleConnectionSettings, first: Sequence[int], then: Sequence[int], lost: int
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(settings)
                await setup.report()
                await setup.until(lambda: setup.server.peers)
                client = setup.server.peers[0].transport.getPeer()
                tcp = socket.IPPROTO_TCP
                with own_socket((client.host, client.port)) as sock:
                    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == settings.keepalive
                    assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) in first
                    assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) in then
                    assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == lost

        run(main)

    def test_keepalive_probes_of_many_connections_are_spread(self) -> None:
        """Spread the probes.

        11,000 connections made within 6 s were all lost two minutes later: the probes overflowed
        net.core.netdev_max_backlog.
        """
        random = Random(1)
        connections = [socket_options(IDLE, random) for _ in range(11_000)]
        times = Counter((options[1][2], options[2][2]) for options in connections)
        assert {first for first, _ in times} == set(range(5, 11))
        assert {then for _, then in times} == set(range(24, 31))
        assert max(times.values()) < 11_000 / 30


class TimingOutSocket(socket.SocketType):
    """A socket that reports unanswered keepalive probes, as the kernel does, instead of received data."""

    def recv(self, *_arguments: object) -> bytes:
        raise OSError(errno.ETIMEDOUT, "Connection timed out")


@QUICK_RETRIES
class TestUnansweredProbes:
    """Raise the kernel's error for unanswered probes on a real connection that receives data."""

    @staticmethod
    async def lose(setup: MonitoredServer, monitor: Monitor) -> None:
        setup.server.peers[0].say(b"wakes the check")
        await setup.until(lambda: counts(monitor, LOST) == {"ConnectionLost": 1})

    def test_unanswered_probes_cause_a_reconnect_and_no_failure(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.socket = TimingOutSocket
                monitor = setup.monitor(QUICK)
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)
                await self.lose(setup, monitor)
                await setup.until(lambda: monitor.up_results == 2)
                assert [report.up for report in setup.reports] == [True]
                assert counts(monitor, FAILED) == {}

        run(main)

    def test_unanswered_probes_are_down_when_the_reconnect_fails(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.socket = TimingOutSocket
                monitor = setup.monitor(QUICK)
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)  # otherwise the listening socket would reset it
                await setup.server.refuse()
                await self.lose(setup, monitor)
                report = await setup.report()
                assert (report.up, report.reason) == (False, "connect: refused")

        run(main)


@QUICK_RETRIES
class TestLostConnection:
    def test_lost_connection_is_down_immediately_and_retried(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(QUICK)
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].reset()
                report = await setup.report()
                assert (report.up, report.reason) == (False, "idle: connection lost: reset")
                assert (await setup.report()).up
                assert counts(monitor, LOST) == {"ConnectionLost": 1}
                assert counts(monitor, FAILED) == {}

        run(main)

    def test_dead_server_is_reported_once_per_cause(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(QUICK)
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].reset()
                await setup.server.stop()
                reasons = {(await setup.report()).reason, (await setup.report()).reason}
                assert reasons == {"idle: connection lost: reset", "connect: refused"}
                await setup.until(lambda: monitor.down_results >= 7)
                assert len(setup.reports) == 3
                assert counts(monitor, FAILED) == {"ConnectionRefusedError": monitor.down_results - 1}
                setup.server.listen(reactor, setup.host)
                assert (await setup.report()).up

        run(main)

    @pytest.mark.parametrize("first", ["pause", "urgent"])
    def test_recovered_server_is_detected_soon_while_urgent(self, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(idleconnection, "FIRST_RETRY", 200.0)
        monkeypatch.setattr(idleconnection, "LONGEST_URGENT_PAUSE", 0.2)

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                await setup.server.stop()
                monitor = setup.monitor(IDLE)
                if first == "urgent":
                    monitor.set_urgent(True)
                assert not (await setup.report()).up
                if first == "pause":
                    monitor.set_urgent(True)
                await setup.until(lambda: monitor.down_results >= 3)
                setup.server.listen(reactor, setup.host)
                assert (await setup.report()).up

        run(main)


@QUICK_RETRIES
class TestCleanClose:
    def test_clean_close_reconnects_without_a_report(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(QUICK)
                await setup.report()
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].close()
                await setup.until(lambda: len(setup.server.peers) == 2)
                await setup.until(lambda: monitor.up_results == 2)
                assert len(setup.reports) == 1
                assert counts(monitor, LOST) == {}
                assert (monitor.up, monitor.down_results, monitor.up_transitions) == (True, 0, 1)

        run(main)

    def test_half_close_reconnects_without_a_report(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(QUICK)
                await setup.report()
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].transport.loseWriteConnection()
                await setup.until(lambda: setup.server.peers[0].closed)
                await setup.until(lambda: len(setup.server.peers) == 2)
                assert len(setup.reports) == 1

        run(main)

    def test_t337446_repeated_clean_closes_keep_the_pause(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                times: list[float] = []

                def close(peer: Peer) -> None:
                    times.append(reactor.seconds())
                    peer.close()

                setup.server.connected = close
                setup.monitor(IdleConnectionSettings(timeout_clean_reconnect=0.1, max_delay=0.3))
                await setup.until(lambda: len(times) == 6)
                pauses = [later - earlier for earlier, later in pairwise(times)]
                assert min(pauses) >= 0.07
                assert max(pauses[-2:]) >= 0.2
                assert len(setup.reports) == 1

        run(main)

    def test_clean_close_is_down_when_the_reconnect_fails(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(QUICK)
                await setup.report()
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].close()
                await setup.until(lambda: setup.server.peers[0].closed)
                await setup.server.stop()
                assert (await setup.report()).reason == "connect: refused"

        run(main)


def test_pause_after_clean_closes_is_bounded() -> None:
    def limits(settings: IdleConnectionSettings) -> tuple[float, float]:
        pauses = clean_pauses(settings, Random(1))
        first = pauses.following
        for _ in range(50):
            pauses.pause()
        return first, pauses.following

    assert limits(IdleConnectionSettings(timeout_clean_reconnect=3)) == (3, 30)
    assert limits(IdleConnectionSettings(timeout_clean_reconnect=0)) == (1, 10)
    assert limits(IdleConnectionSettings(timeout_clean_reconnect=3, max_delay=5)) == (3, 5)


def test_held_connection_is_a_continuing_result() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(IDLE)
            await setup.report()
            passed_at = monitor.decided_at
            await setup.pause(0.5)
            assert monitor.decided_at >= passed_at + 0.4
            setup.server.peers[0].transport.abortConnection()
            await setup.report()
            assert monitor.decided_at == list(monitor.history())[-1].at
            assert monitor.patience >= 3 * 30  # three attempts

    run(main)


def test_error_has_a_series_when_it_first_occurs() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(IDLE)
            await setup.report()
            assert list(samples_of(monitor)) == []
            await setup.until(lambda: setup.server.peers)
            setup.server.peers[0].transport.abortConnection()
            await setup.report()
            assert list(samples_of(monitor)) == [Sample(LOST, (("reason", "ConnectionLost"),), 1)]

    run(main)


def test_connection_lost_during_a_freeze_is_down() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.monitor(IDLE)
            assert (await setup.report()).up
            await setup.until(lambda: setup.server.peers)
            setup.skipped += 100
            setup.server.peers[0].reset()
            assert (await setup.report()).reason == "idle: connection lost: reset"

    run(main)
