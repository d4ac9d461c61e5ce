"""TCPConnect on real sockets: only the connection, and bytes sent and expected on it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.tcpconnect import TCPConnectSettings
from tests.harness.monitor_on_clock import MonitorOnClock
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer, Peer, saying
from tests.harness.stepped_reactor import run

PLAIN = TCPConnectSettings(interval=0.05, timeout=0.4)
BANNER = TCPConnectSettings(expect=b"220 ", interval=0.05, timeout=0.4)
PING = TCPConnectSettings(send=b"PING\r\n\r\n", expect=b"PONG", interval=0.05, timeout=0.4)
ANY = TCPConnectSettings(send=b"PING\r\n\r\n", interval=0.05, timeout=0.4)
KINDS = pytest.mark.parametrize("settings", [PLAIN, BANNER, PING], ids=["connect", "expect", "send"])
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
SENDS = "pybal_monitor_tcpconnect_request_duration_seconds"

Act = Callable[[Peer], object]


def half_close(peer: Peer) -> None:
    peer.transport.loseWriteConnection()


def after(seconds: float, peer: Peer, act: Act) -> None:
    reactor: Any = peer.transport.reactor  # Twisted declares too narrow a type
    reactor.callLater(seconds, act, peer)


def first(
    settings: TCPConnectSettings,
    connected: Act = lambda _peer: None,
    asked: Act = lambda _peer: None,
    host: str = "127.0.0.1",
) -> tuple[bool, str]:
    """Return the reason of the first report about a server that acts like this."""

    async def main(reactor: EPollReactor) -> tuple[bool, str]:
        async with MonitoredServer(reactor, host) as setup:
            setup.server.connected, setup.server.asked = connected, asked
            setup.monitor(settings)
            report = await setup.report()
            setup.stop_monitors()
            await setup.until(lambda: all(peer.closed for peer in setup.server.peers))
            await setup.pause(0.03)
            return report.up, report.reason

    return run(main)


class TestUp:
    @HOSTS
    def test_connection_is_up_and_sends_nothing(self, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor, host) as setup:
                monitor = setup.monitor(PLAIN)
                await setup.until(lambda: monitor.up_results >= 3)
                assert (monitor.up, monitor.name, monitor.down_results) == (True, "TCPConnect", 0)
                assert not any(peer.received for peer in setup.server.peers)
                seconds = {sample.labels[0][1]: sample.value for sample in samples_of(monitor)}
                assert seconds.keys() == {"successful"}
                assert seconds["successful"] > 0
                assert {sample.metric for sample in samples_of(monitor)} == {SENDS}

        run(main)

    @HOSTS
    def test_expected_bytes_are_accepted_unsolicited(self, host: str) -> None:
        assert first(BANNER, saying(b"220 mail.example ESMTP\r\n"), host=host) == (True, "")

    @HOSTS
    def test_expected_bytes_are_accepted_after_sending(self, host: str) -> None:
        assert first(PING, asked=saying(b"+PONG\r\n"), host=host) == (True, "")

    def test_expected_bytes_are_accepted_in_pieces(self) -> None:
        def pieces(peer: Peer) -> None:
            for delay, piece in enumerate((b"-LOADING\r\nPO", b"PO", b"N", b"G")):
                after(delay / 50, peer, saying(piece))

        assert first(PING, asked=pieces) == (True, "")

    def test_expected_bytes_are_accepted_with_the_close(self) -> None:
        def answer(peer: Peer) -> None:
            peer.say(b"PONG")
            peer.close()

        assert first(PING, asked=answer) == (True, "")

    def test_any_answer_is_accepted_without_expect(self) -> None:
        assert first(ANY, asked=saying(b"-ERR\r\n")) == (True, "")

    def test_long_text_is_sent_completely(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            text = bytes(range(256)) * 20_000 + b"\r\n\r\n"
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(b"PONG")
                setup.monitor(TCPConnectSettings(send=text, expect=b"PONG", timeout=15))
                assert (await setup.report()).up
                assert setup.server.peers[0].received == text

        run(main)

    def test_port_option_sets_the_port(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(TCPConnectSettings(port=setup.server.port), port=1)
                assert (await setup.report()).up

        run(main)


class TestDown:
    @KINDS
    @HOSTS
    def test_refused_connection_is_down(self, settings: TCPConnectSettings, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor, host) as setup:
                await setup.server.stop()
                setup.monitor(settings)
                report = await setup.report()
                assert (report.up, report.reason) == (False, "connect: refused")

        run(main)

    @KINDS
    def test_hanging_connection_is_down(self, settings: TCPConnectSettings) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                    taken.connect(full.getsockname())
                    setup.monitor(settings, port=full.getsockname()[1])
                    report = await setup.report()
                    assert (report.up, report.reason) == (False, "connect: no response for 400 ms")
                    setup.stop_monitors()

        run(main)

    @HOSTS
    def test_silence_is_down(self, host: str) -> None:
        up, reason = first(PING, host=host)
        assert not up
        assert re.match(r"answer: 0\.\d s without a byte \(connected in ", reason)

    @HOSTS
    def test_slow_drip_is_down_at_the_timeout(self, host: str) -> None:
        with MonitorOnClock(replace(PING, timeout=4.0), host) as on_clock:
            _, peer = on_clock.accept()
            with peer:
                while not on_clock.reports:
                    peer.send(b".")
                    on_clock.pass_time(0.1)
                [(up, reason)] = [(report.up, report.reason) for report in on_clock.reports]
                assert not up
                assert re.fullmatch(
                    r"answer: (3[89]|4[01]) bytes without 'PONG' in 4\.[01] s, still arriving \(connected in 0 ms\)",
                    reason,
                )

    @HOSTS
    def test_garbage_is_down(self, host: str) -> None:
        up, reason = first(PING, asked=saying(b"-ERR unknown command\r\n"), host=host)
        assert not up
        assert reason.startswith("answer: 22 bytes without 'PONG', then nothing for ")

    @HOSTS
    def test_endless_garbage_is_down_after_64_kib(self, host: str) -> None:
        outcome = first(PING, asked=saying(b"PON" * 100_000), host=host)
        assert outcome == (False, "answer: 65536 bytes without 'PONG'")

    def test_expected_bytes_after_64_kib_are_ignored(self) -> None:
        at_the_end = b"." * 65532 + b"PONG"
        assert first(PING, asked=saying(at_the_end)) == (True, "")
        assert first(PING, asked=saying(b"." + at_the_end)) == (False, "answer: 65536 bytes without 'PONG'")

    @pytest.mark.parametrize("end", [half_close, Peer.close])
    @HOSTS
    def test_close_before_the_answer_is_down(self, end: Act, host: str) -> None:
        assert first(PING, asked=end, host=host) == (False, "answer: connection closed before an answer")

    @pytest.mark.parametrize("end", [half_close, Peer.close])
    def test_close_within_the_answer_is_down(self, end: Act) -> None:
        def act(peer: Peer) -> None:
            peer.say(b"PON")
            end(peer)

        assert first(PING, asked=act) == (False, "answer: connection closed after 3 bytes without 'PONG'")

    @HOSTS
    def test_reset_is_down(self, host: str) -> None:
        assert first(PING, asked=Peer.reset, host=host) == (False, "answer: reset before an answer")

    def test_restarted_server_is_up_again(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(PLAIN)
                assert (await setup.report()).up
                await setup.server.stop()
                assert not (await setup.report()).up
                setup.server.listen(reactor, setup.host)
                assert (await setup.report()).up
                assert (monitor.up_transitions, monitor.down_transitions) == (2, 1)

        run(main)


def test_half_closed_connection_is_up() -> None:
    assert first(PLAIN, half_close) == (True, "")


def test_frozen_loop_is_inconclusive() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(TCPConnectSettings(expect=b"220", timeout=5, interval=60))
            await setup.until(lambda: setup.server.peers)
            setup.skipped += 20
            await setup.until(lambda: setup.engine.inconclusive)
            assert (monitor.up, setup.reports) == (None, [])
            setup.server.connected = saying(b"220 again, immediately\r\n")
            assert (await setup.report()).up

    run(main)
