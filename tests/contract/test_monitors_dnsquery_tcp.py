"""DNSQuery on real sockets: answers too large for a datagram, queried again over TCP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.core.model import Report
from pybal.monitors.base import Monitor
from pybal.monitors.dnsquery import DNSQuerySettings
from tests.harness.fake_dns_server import NameServer, Stream, answer, decoded, framed
from tests.harness.own_socket import cause_icmp_error
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer, follow_ups
from tests.harness.stepped_reactor import run

SETTINGS = DNSQuerySettings(("www.example",), interval=0.05, timeout=0.3)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def by_tcp(asked: Callable[[Stream, bytes], object] | None, host: str = "127.0.0.1") -> tuple[Report, NameServer]:
    """Return the first report about a server with truncated datagrams; None: no TCP."""

    async def main(reactor: EPollReactor) -> tuple[Report, NameServer]:
        async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
            server.answers = lambda query: [answer(query, truncated=True)]
            if asked is None:
                await server.stop_tcp()
            else:
                server.asked_by_tcp = asked
            setup.monitor(SETTINGS, port=server.port)
            return await setup.report(), server

    return run(main)


def durations(monitor: Monitor) -> dict[str, float]:
    return {dict(sample.labels)["result"]: sample.value for sample in samples_of(monitor)}


class TestTruncatedAnswer:
    @HOSTS
    def test_truncated_answer_is_queried_again_over_tcp(self, host: str) -> None:
        asked: list[bytes] = []

        def by(stream: Stream, query: bytes) -> None:
            asked.append(query)
            stream.say(answer(query))

        report, server = by_tcp(by, host)
        assert report.up
        assert asked[0] == server.queries[0]

    def test_truncated_answer_over_tcp_is_accepted(self) -> None:
        report, _ = by_tcp(lambda stream, query: stream.say(answer(query, truncated=True)))
        assert report.up

    def test_answer_over_tcp_decides(self) -> None:
        report, _ = by_tcp(lambda stream, query: stream.say(answer(query, dns.ESERVER)))
        assert (report.up, report.reason) == (False, "answer: SERVFAIL for www.example A")

    def test_repeated_truncated_answer_causes_one_tcp_query(self) -> None:
        def by(stream: Stream, query: bytes) -> None:
            stream.server.say(answer(query, truncated=True))
            stream.server.say(answer(query, dns.ESERVER))
            stream.server.reactor.callLater(0.05, stream.say, answer(query))

        report, server = by_tcp(by)
        assert report.up
        assert len(server.streams) == 1

    def test_icmp_error_after_a_truncated_answer_is_ignored(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                waiting: list[tuple[Stream, bytes]] = []
                server.answers = lambda query: [answer(query, truncated=True)]
                server.asked_by_tcp = lambda stream, query: waiting.append((stream, query))
                monitor = setup.monitor(replace(SETTINGS, interval=3600.0, timeout=10.0), port=server.port)
                await setup.until(lambda: waiting)
                await server.stop()
                cause_icmp_error(server.clients[-1])
                await setup.pause(0.05)
                for stream, query in waiting:
                    stream.say(answer(query))
                assert (await setup.report()).up
                assert 0.05 <= durations(monitor)["successful"] < 10

        run(main)

    def test_answer_over_tcp_is_accepted_in_pieces(self) -> None:
        def by(stream: Stream, query: bytes) -> None:
            for number, octet in enumerate(framed(answer(query))):
                stream.server.reactor.callLater(number / 1000, stream.transport.write, bytes([octet]))

        report, _ = by_tcp(by)
        assert report.up

    def test_answer_over_tcp_to_another_query_is_down(self) -> None:
        def by(stream: Stream, query: bytes) -> None:
            stream.say(answer(query, dns.ESERVER, number=decoded(query).id ^ 1))
            stream.say(b"")
            stream.say(answer(query))

        report, _ = by_tcp(by)
        assert report.up

    @HOSTS
    def test_tcp_refused_is_down(self, host: str) -> None:
        report, _ = by_tcp(None, host)
        assert (report.up, report.reason) == (False, "connect: refused, over TCP after a truncated answer")

    def test_tcp_hanging_is_down_within_one_timeout(self) -> None:
        report, _ = by_tcp(lambda _stream, _query: None)
        assert not report.up
        assert report.reason.startswith("query: nothing in ")
        assert report.reason.endswith(" ms, over TCP after a truncated answer")
        assert int(report.reason.split()[3]) > 100

    def test_tcp_dripping_is_down_within_one_timeout(self) -> None:
        def by(stream: Stream, query: bytes) -> None:
            for number, octet in enumerate(framed(answer(query))):
                stream.server.reactor.callLater(number / 20, drip, stream, octet)

        def drip(stream: Stream, octet: int) -> None:
            if stream.transport.connected:
                stream.transport.write(bytes([octet]))

        async def main(reactor: EPollReactor) -> Report:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                server.answers = lambda query: [answer(query, truncated=True)]
                server.asked_by_tcp = by
                setup.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
                report = await setup.report()
                for call in reactor.getDelayedCalls():
                    if getattr(call, "func", None) is drip:
                        call.cancel()
                return report

        report = run(main)
        assert not report.up
        assert " bytes in " in report.reason
        assert report.reason.endswith(" ms, over TCP after a truncated answer")

    def test_tcp_closed_is_down(self) -> None:
        report, _ = by_tcp(lambda stream, _query: stream.transport.loseConnection())
        assert (report.up, report.reason) == (False, "query: connection closed, over TCP after a truncated answer")

    def test_tcp_reset_is_down(self) -> None:
        report, _ = by_tcp(lambda stream, _query: stream.transport.abortConnection())
        assert (report.up, report.reason) == (False, "query: reset, over TCP after a truncated answer")

    def test_tcp_garbage_is_down(self) -> None:
        report, _ = by_tcp(lambda stream, _query: stream.transport.write(b"HTTP/1.0 400 Bad Request\r\n\r\n"))
        assert not report.up
        assert report.reason.endswith(" ms, over TCP after a truncated answer")

    @pytest.mark.parametrize("when", ["asked", "truncated", "asked by TCP"])
    def test_stop_during_the_tcp_query_releases_everything(self, when: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                server.answers = lambda query: [answer(query, truncated=True)]
                server.asked_by_tcp = lambda _stream, _query: None
                monitor = setup.monitor(SETTINGS, port=server.port)
                if when == "truncated":
                    await setup.until(lambda: setup.engine.paused)
                else:
                    await setup.until(lambda: server.streams if when == "asked by TCP" else server.queries)
                monitor.stop()
                before = list(setup.reports)  # on a busy machine an earlier check may have timed out
                await setup.pause(0.05)
                assert setup.reports == before

        run(main)


class TestFirstFailure:
    def test_failure_is_followed_up_by_the_same_query_over_tcp(self) -> None:
        asked: list[str] = []

        def by(stream: Stream, query: bytes) -> None:
            asked.append(str(decoded(query).queries[0].name))
            stream.say(answer(query))

        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                server.asked_by_tcp = by
                monitor = setup.monitor(SETTINGS, port=server.port)
                assert (await setup.report()).up
                server.answers = lambda _query: []
                assert (await setup.report()).reason == "query: 300 ms without an answer"
                await setup.until(lambda: follow_ups(monitor))
                await setup.until(lambda: monitor.down_results >= 3)
                assert follow_ups(monitor) == [("by TCP www.example A", "passed")]
                assert (asked, monitor.up_results + monitor.down_results) == (
                    ["www.example"],
                    sum(not past.follow_up for past in monitor.history()),
                )
                assert setup.engine.follow_ups.taken == 0

        run(main)

    @pytest.mark.parametrize(
        ("by", "reason"),
        [
            (None, "connect: refused, over TCP"),
            (lambda stream, _query: stream.transport.loseConnection(), "query: connection closed, over TCP"),
            (lambda stream, query: stream.say(answer(query, dns.ESERVER)), "answer: SERVFAIL for www.example A"),
            (lambda _stream, _query: None, "query: nothing in all its time, over TCP"),
        ],
    )
    def test_follow_up_records_the_failure_over_tcp(
        self, by: Callable[[Stream, bytes], object] | None, reason: str
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                monitor = setup.monitor(SETTINGS, port=server.port)
                assert (await setup.report()).up
                server.answers = lambda _query: []
                if by is None:
                    await server.stop_tcp()
                else:
                    server.asked_by_tcp = by
                await setup.until(lambda: follow_ups(monitor))
                [result] = [past.result for past in monitor.history() if past.follow_up]
                assert re.sub(r"in \d.* m?s,", "in all its time,", result.text) == reason

        run(main)

    def test_follow_up_ends_when_the_monitor_stops(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                monitor = setup.monitor(replace(SETTINGS, timeout=5.0), port=server.port)
                assert (await setup.report()).up
                server.answers = lambda query: [answer(query, dns.ESERVER)]
                server.asked_by_tcp = lambda _stream, _query: monitor.stop()
                await setup.until(lambda: monitor.up is False)
                await setup.until(lambda: not setup.engine.follow_ups.taken)
                await setup.until(lambda: not server.streams[0].transport.connected)
                assert follow_ups(monitor) == []

        run(main)
