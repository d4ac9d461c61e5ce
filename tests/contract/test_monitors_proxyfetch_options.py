"""ProxyFetch with options: the bytes on the wire, and the evaluation of a response."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.pattern import Pattern
from pybal.core.model import Report
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from tests.harness.scripted_server import MonitoredServer, Peer, saying
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
URLS = ("http://a.example/x",)
QUICK = ProxyFetchSettings(URLS, timeout=2.0, interval=0.05)


def outcome(
    settings: ProxyFetchSettings, answer: Callable[[Peer], object], host: str = "127.0.0.1"
) -> tuple[Report, Peer]:
    """Return the first report about a server with this answer, and the server side of the connection."""

    async def main(reactor: EPollReactor) -> tuple[Report, Peer]:
        async with MonitoredServer(reactor, host) as setup:
            setup.server.asked = answer
            setup.monitor(settings)
            return await setup.report(), setup.server.peers[0]

    return run(main)


def sent(**options: object) -> bytes:
    report, peer = outcome(ProxyFetchSettings(URLS, interval=0.05, **options), saying(OK))  # type: ignore[arg-type]  # by name
    assert report.up
    return peer.received


def reason(answer: Callable[[Peer], object], **options: object) -> str:
    report, _ = outcome(ProxyFetchSettings(URLS, timeout=2.0, interval=0.05, **options), answer)  # type: ignore[arg-type]  # by name
    return report.reason


class TestTheWire:
    def test_host_option_sets_the_host_header(self) -> None:
        assert sent(host="b.example:81") == (
            b"GET /x HTTP/1.0\r\nHost: b.example:81\r\nUser-Agent: Twisted PageGetter\r\n\r\n"
        )

    def test_headers_follow_the_defaults_and_replace_the_agent(self) -> None:
        assert sent(headers=(("X-A", "b c"), ("User-Agent", "pybal"))) == (
            b"GET /x HTTP/1.0\r\nHost: a.example\r\nX-A: b c\r\nUser-Agent: pybal\r\n\r\n"
        )

    def test_http_11_requests_connection_close(self) -> None:
        assert sent(http_version="1.1") == (
            b"GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Twisted PageGetter\r\nConnection: close\r\n\r\n"
        )

    def test_method_with_a_body_sends_an_empty_one(self) -> None:
        assert sent(method="POST") == (
            b"POST /x HTTP/1.0\r\nHost: a.example\r\nUser-Agent: Twisted PageGetter\r\nContent-Length: 0\r\n\r\n"
        )

    def test_port_option_sets_the_port(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                setup.monitor(ProxyFetchSettings(URLS, interval=0.05, port=setup.server.port), port=1)
                assert (await setup.report()).up

        run(main)


class TestSource:
    @pytest.mark.parametrize(("host", "source"), [("127.0.0.1", IPv4Address("127.0.0.9")), ("::1", IPv6Address("::1"))])
    def test_source_option_sets_the_local_address(self, host: str, source: IPv4Address | IPv6Address) -> None:
        report, peer = outcome(ProxyFetchSettings(URLS, interval=0.05, source=source), saying(OK), host)
        assert report.up
        assert peer.transport.getPeer().host == str(source)

    def test_source_that_is_not_local_is_inconclusive(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(ProxyFetchSettings(URLS, interval=0.05, source=IPv4Address("192.0.2.77")))
                await setup.until(lambda: setup.engine.local_errors["EADDRNOTAVAIL"] >= 3)
                assert (setup.reports, setup.server.peers) == ([], [])

        run(main)


class TestStatuses:
    RANGES = ((200, 299), (404, 404))

    @pytest.mark.parametrize("status", [200, 299, 404])
    def test_statuses_accept_any_in_their_ranges(self, status: int) -> None:
        answer = saying(b"HTTP/1.0 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        assert reason(answer, statuses=self.RANGES, http_status=500) == ""

    def test_status_outside_the_ranges_is_down_with_all_ranges(self) -> None:
        answer = saying(b"HTTP/1.0 301 X\r\nContent-Length: 0\r\n\r\n")
        assert reason(answer, statuses=self.RANGES) == "status: HTTP 301, wanted 200-299, 404"


class TestBodies:
    @pytest.mark.parametrize(
        "pieces",
        [
            (b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nstatus: fine",),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nstat", b"us: fi", b"ne"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nstat\r\n", b"8\r\nus: fine\r\n0\r\n\r\n"),
        ],
        ids=["in one piece", "in pieces", "in chunks"],
    )
    def test_body_regex_matches_across_pieces(self, pieces: tuple[bytes, ...]) -> None:
        assert reason(saying(*pieces), body_regex=Pattern("^status: fine$")) == ""

    def test_body_without_a_match_is_down(self) -> None:
        answer = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nstatus: fine")
        assert reason(answer, body_regex=Pattern("fine!")) == "body: no match for 'fine!' in 12 bytes"

    def test_body_regex_does_not_match_headers(self) -> None:
        answer = saying(b"HTTP/1.0 200 OK\r\nX: fine\r\nContent-Length: 2\r\n\r\nok")
        assert reason(answer, body_regex=Pattern("fine")) == "body: no match for 'fine' in 2 bytes"

    def test_body_must_be_complete_after_a_match(self) -> None:
        def answer(peer: Peer) -> None:
            peer.say(b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nfine")
            peer.close()

        assert reason(answer, body_regex=Pattern("fine")) == "body: connection closed after 4 of 12 bytes"

    def test_body_search_restarts_with_each_check(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine")
                setup.monitor(ProxyFetchSettings(URLS, interval=0.05, body_regex=Pattern("fine")))
                assert (await setup.report()).up
                setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nsick")
                assert (await setup.report()).reason == "body: no match for 'fine' in 4 bytes"

        run(main)

    @pytest.mark.parametrize(
        "head",
        [b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"],
        ids=["with length", "without length"],
    )
    def test_body_longer_than_max_body_is_down(self, head: bytes) -> None:
        assert reason(saying(head, b"x" * 11), max_body=10) == "body: more than 10 bytes"

    def test_body_of_max_body_is_up(self) -> None:
        assert reason(saying(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n", b"x" * 10), max_body=10) == ""

    def test_body_is_not_expected_after_head(self) -> None:
        assert reason(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), method="HEAD") == ""


class TestIntervals:
    def test_fall_requires_three_failures(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                settings = ProxyFetchSettings(
                    URLS, interval=0.1, fall=3, fast_interval=0.02, down_interval=0.03, jitter=0.2
                )
                monitor = setup.monitor(settings)
                assert (await setup.report()).up
                setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
                assert not (await setup.report()).up
                assert monitor.down_results == 3
                setup.server.asked = saying(OK)
                assert (await setup.report()).up

        run(main)

    def test_idle_connection_with_fall_2_survives_one_loss(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(IdleConnectionSettings(fall=2))
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)
                setup.server.peers[0].reset()
                await setup.until(lambda: monitor.up_results == 2)
                assert (len(setup.reports), monitor.down_results) == (1, 1)

        run(main)

    def test_idle_connection_with_fall_2_is_down_after_two_losses(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(IdleConnectionSettings(fall=2))
                assert (await setup.report()).up
                await setup.until(lambda: setup.server.peers)
                await setup.server.stop()
                assert (await setup.report()).reason == "connect: refused"

        run(main)


def test_check_with_all_options_releases_everything() -> None:
    report, _ = outcome(
        ProxyFetchSettings(
            URLS,
            interval=0.05,
            method="OPTIONS",
            http_version="1.1",
            headers=(("A", "b"),),
            statuses=((200, 200),),
            body_regex=Pattern("ok"),
            max_body=2,
            source=IPv4Address("127.0.0.2"),
            rise=2,
            fall=2,
            fast_interval=0.01,
            down_interval=0.01,
            jitter=0.5,
        ),
        saying(OK),
    )
    assert report.up
