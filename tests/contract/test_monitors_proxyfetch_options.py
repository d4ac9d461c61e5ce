"""ProxyFetch with options: what goes over the wire, and what is found in a response."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.pattern import Pattern
from pybal.config.settings import IdleConnectionSettings, Intervals, ProxyFetchSettings
from pybal.core.model import Report
from tests.harness.scripted_server import Peer, World, saying
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
URLS = ("http://a.example/x",)
QUICK = ProxyFetchSettings(URLS, timeout=2.0, interval=0.05)


def outcome(
    settings: ProxyFetchSettings, answer: Callable[[Peer], object], host: str = "127.0.0.1"
) -> tuple[Report, Peer]:
    """Return the first report of a server that answers so, and its end of the connection."""

    async def main(reactor: EPollReactor) -> tuple[Report, Peer]:
        async with World(reactor, host) as world:
            world.server.asked = answer
            world.monitor(settings)
            return await world.report(), world.server.peers[0]

    return run(main)


def sent(**options: object) -> bytes:
    report, peer = outcome(ProxyFetchSettings(URLS, interval=0.05, **options), saying(OK))  # type: ignore[arg-type]  # by name
    assert report.up
    return peer.received


def reason(answer: Callable[[Peer], object], **options: object) -> str:
    report, _ = outcome(ProxyFetchSettings(URLS, timeout=2.0, interval=0.05, **options), answer)  # type: ignore[arg-type]  # by name
    return report.reason


class TestTheWire:
    def test_a_header_host_of_its_own(self) -> None:
        assert sent(host="b.example:81") == (
            b"GET /x HTTP/1.0\r\nHost: b.example:81\r\nUser-Agent: Twisted PageGetter\r\n\r\n"
        )

    def test_headers_come_after_ours_and_replace_the_agent(self) -> None:
        assert sent(headers=(("X-A", "b c"), ("User-Agent", "pybal"))) == (
            b"GET /x HTTP/1.0\r\nHost: a.example\r\nX-A: b c\r\nUser-Agent: pybal\r\n\r\n"
        )

    def test_http_1_1_asks_for_the_end_of_the_connection(self) -> None:
        assert sent(http_version="1.1") == (
            b"GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Twisted PageGetter\r\nConnection: close\r\n\r\n"
        )

    def test_a_method_that_has_a_body_sends_an_empty_one(self) -> None:
        assert sent(method="POST") == (
            b"POST /x HTTP/1.0\r\nHost: a.example\r\nUser-Agent: Twisted PageGetter\r\nContent-Length: 0\r\n\r\n"
        )

    def test_a_port_of_its_own(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.server.asked = saying(OK)
                world.monitor(ProxyFetchSettings(URLS, interval=0.05, port=world.server.port), port=1)
                assert (await world.report()).up

        run(main)


class TestSource:
    @pytest.mark.parametrize(("host", "source"), [("127.0.0.1", IPv4Address("127.0.0.9")), ("::1", IPv6Address("::1"))])
    def test_the_connection_comes_from_there(self, host: str, source: IPv4Address | IPv6Address) -> None:
        report, peer = outcome(ProxyFetchSettings(URLS, interval=0.05, source=source), saying(OK), host)
        assert report.up
        assert peer.transport.getPeer().host == str(source)

    def test_an_address_that_is_not_ours_says_nothing_of_the_server(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(ProxyFetchSettings(URLS, interval=0.05, source=IPv4Address("192.0.2.77")))
                await world.until(lambda: world.engine.local_errors["EADDRNOTAVAIL"] >= 3)
                assert (world.reports, world.server.peers) == ([], [])

        run(main)


class TestStatuses:
    RANGES = ((200, 299), (404, 404))

    @pytest.mark.parametrize("status", [200, 299, 404])
    def test_any_of_them_will_do(self, status: int) -> None:
        answer = saying(b"HTTP/1.0 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        assert reason(answer, statuses=self.RANGES, http_status=500) == ""

    def test_another_is_told_with_all_that_were_wanted(self) -> None:
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
        ids=["at once", "in pieces", "in chunks"],
    )
    def test_what_is_wanted_is_found_over_the_borders_of_pieces(self, pieces: tuple[bytes, ...]) -> None:
        assert reason(saying(*pieces), body_regex=Pattern("^status: fine$")) == ""

    def test_what_is_not_found_is_told(self) -> None:
        answer = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nstatus: fine")
        assert reason(answer, body_regex=Pattern("fine!")) == "body: no match for 'fine!' in 12 bytes"

    def test_headers_are_no_body(self) -> None:
        answer = saying(b"HTTP/1.0 200 OK\r\nX: fine\r\nContent-Length: 2\r\n\r\nok")
        assert reason(answer, body_regex=Pattern("fine")) == "body: no match for 'fine' in 2 bytes"

    def test_a_match_does_not_stand_for_the_rest_of_the_body(self) -> None:
        def answer(peer: Peer) -> None:
            peer.say(b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nfine")
            peer.close()

        assert reason(answer, body_regex=Pattern("fine")) == "body: connection closed after 4 of 12 bytes"

    def test_the_next_check_searches_anew(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine")
                world.monitor(ProxyFetchSettings(URLS, interval=0.05, body_regex=Pattern("fine")))
                assert (await world.report()).up
                world.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nsick")
                assert (await world.report()).reason == "body: no match for 'fine' in 4 bytes"

        run(main)

    @pytest.mark.parametrize(
        "head", [b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"], ids=["told", "not told"]
    )
    def test_one_that_is_too_long_is_refused(self, head: bytes) -> None:
        assert reason(saying(head, b"x" * 11), max_body=10) == "body: more than 10 bytes"

    def test_one_that_is_just_short_enough_is_not(self) -> None:
        assert reason(saying(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n", b"x" * 10), max_body=10) == ""

    def test_none_is_waited_for_after_head(self) -> None:
        assert reason(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), method="HEAD") == ""


class TestIntervals:
    def test_one_failure_is_not_enough_where_three_are_wanted(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.server.asked = saying(OK)
                intervals = Intervals(fall=3, fast_interval=0.02, down_interval=0.03, jitter=0.2)
                monitor = world.monitor(ProxyFetchSettings(URLS, interval=0.1, intervals=intervals))
                assert (await world.report()).up
                world.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
                assert not (await world.report()).up
                assert monitor.down_results == 3
                world.server.asked = saying(OK)
                assert (await world.report()).up

        run(main)

    def test_an_idle_connection_that_comes_back_at_once_is_not_down_where_two_failures_are_wanted(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(IdleConnectionSettings(fall=2))
                assert (await world.report()).up
                await world.until(lambda: world.server.peers)
                world.server.peers[0].reset()
                await world.until(lambda: monitor.up_results == 2)
                assert (len(world.reports), monitor.down_results) == (1, 1)

        run(main)

    def test_an_idle_connection_that_does_not_come_back_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(IdleConnectionSettings(fall=2))
                assert (await world.report()).up
                await world.until(lambda: world.server.peers)
                await world.server.stop()
                assert (await world.report()).reason == "connect: refused"

        run(main)


def test_a_server_that_is_checked_with_all_options_at_once_leaves_nothing_behind() -> None:
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
            intervals=Intervals(2, 2, 0.01, 0.01, 0.5),
        ),
        saying(OK),
    )
    assert report.up
