"""ProxyFetch: the exact bytes on the wire, and a phase and a reason for every answer."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.tls import TLSStream
from pybal.http.message import Response
from pybal.monitors.proxyfetch import DURATION, ProxyFetchSettings
from tests.harness.monitor_on_clock import MonitorOnClock
from tests.harness.own_socket import has_input
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer, Peer, saying
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


def settings(
    *urls: str,
    http_status: int = 200,
    timeout: float = 0.4,
    interval: float = 0.05,
    check_all: bool = False,
    max_failures: int = 0,
) -> ProxyFetchSettings:
    return ProxyFetchSettings(
        urls or ("http://www.example/",),
        http_status,
        check_all,
        max_failures,
        timeout=timeout,
        interval=interval,
    )


def closing_after(data: bytes) -> Callable[[Peer], None]:
    def answer(peer: Peer) -> None:
        peer.say(data)
        peer.close()

    return answer


def first_report(
    answer: Callable[[Peer], object], options: ProxyFetchSettings | None = None, *, on_connection: bool = False
) -> tuple[bool, str]:
    """Return the first report about a server with this answer."""

    async def main(reactor: EPollReactor) -> tuple[bool, str]:
        async with MonitoredServer(reactor) as setup:
            if on_connection:
                setup.server.connected = answer
            else:
                setup.server.asked = answer
            setup.monitor(options or settings())
            report = await setup.report()
            return report.up, report.reason

    return run(main)


class TestTheWire:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_request_equals_that_of_pybal_115(self, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor, host) as setup:
                setup.server.asked = saying(OK)
                setup.monitor(settings("http://en.wikipedia.org:8080/wiki/Main_Page?action=raw&x=%20"))
                assert (await setup.report()).up
                assert setup.server.peers[0].received == (
                    b"GET /wiki/Main_Page?action=raw&x=%20 HTTP/1.0\r\n"
                    b"Host: en.wikipedia.org\r\n"
                    b"User-Agent: Twisted PageGetter\r\n"
                    b"\r\n"
                )

        run(main)

    def test_connection_ignores_host_and_port_of_the_url(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                setup.monitor(settings("http://203.0.113.1:1/"))
                assert (await setup.report()).up
                assert setup.server.peers[0].transport.getPeer().host == "127.0.0.1"

        run(main)

    def test_t82747_ipv6_server_is_not_checked_over_ipv4(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor, "::1") as setup:
                setup.server.asked = saying(OK)
                setup.monitor(settings("http://127.0.0.1/"))
                assert (await setup.report()).up
                assert setup.server.peers[0].transport.getPeer().host == "::1"

        run(main)


class TestUp:
    @pytest.mark.parametrize(
        "pieces",
        [
            (OK,),
            tuple(OK[i : i + 1] for i in range(len(OK))),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",),
            (b"HTTP/1.1 100 Continue\r\n\r\n", OK),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 3000000\r\n\r\n", bytes(3000000)),
        ],
        ids=["in one piece", "byte by byte", "chunked", "100 first", "3 MB"],
    )
    def test_2013_parsoid_full_answer_on_an_open_connection_is_up(self, pieces: tuple[bytes, ...]) -> None:
        assert first_report(saying(*pieces), settings(timeout=10)) == (True, "")

    def test_answer_that_ends_by_closing_is_up(self) -> None:
        assert first_report(closing_after(b"HTTP/1.0 200 OK\r\n\r\nhello")) == (True, "")

    def test_half_close_after_the_answer_is_up(self) -> None:
        def answer(peer: Peer) -> None:
            peer.say(b"HTTP/1.0 200 OK\r\n\r\nhello")
            peer.transport.loseWriteConnection()

        assert first_report(answer) == (True, "")

    @pytest.mark.parametrize("wanted", [301, 302, 303])
    @pytest.mark.parametrize("status", [301, 302, 303])
    def test_redirect_is_accepted_and_not_followed(self, wanted: int, status: int) -> None:
        answer = saying(b"HTTP/1.0 %d Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status)
        assert first_report(answer, settings(http_status=wanted)) == (True, "")

    def test_configured_status_is_up(self) -> None:
        answer = saying(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        assert first_report(answer, settings(http_status=404)) == (True, "")


class TestDown:
    @pytest.mark.parametrize(
        ("status", "wanted"), [(500, 200), (301, 200), (204, 200), (200, 301), (200, 302), (304, 303)]
    )
    def test_unexpected_status_is_down(self, status: int, wanted: int) -> None:
        answer = saying(b"HTTP/1.0 %d Reason\r\nContent-Length: 0\r\n\r\n" % status)
        expected = (False, f"status: HTTP {status}, wanted {wanted}")
        assert first_report(answer, settings(http_status=wanted)) == expected

    def test_unexpected_status_is_down_before_the_body(self) -> None:
        answer = saying(b"HTTP/1.0 500 Oops\r\nContent-Length: 1000\r\n\r\nx")
        assert first_report(answer) == (False, "status: HTTP 500, wanted 200")

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "headers: connection closed before a response"),
            (b"HTTP/1.0 200 OK\r\n", "headers: connection closed after 17 bytes"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nab", "body: connection closed after 2 of 9 bytes"),
            (b"220 mail.example ESMTP ready\r\n", "headers: not HTTP/1: '220 mail.example ESM'"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n", "headers: bad content-length 'x'"),
        ],
    )
    def test_close_or_garbage_is_down(self, data: bytes, reason: str) -> None:
        assert first_report(closing_after(data)) == (False, reason)

    def test_close_before_the_request_is_down(self) -> None:
        up, reason = first_report(Peer.close, on_connection=True)
        assert not up
        assert reason in {"headers: connection closed before a response", "headers: reset before a response"}

    def test_reset_after_the_request_is_down(self) -> None:
        assert first_report(Peer.reset) == (False, "headers: reset before a response")

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_status_that_pybal_115_took_for_success_is_up(self, status: int) -> None:
        assert first_report(closing_after(b"HTTP/1.0 %d Fine\r\n\r\nok" % status))[0]

    @pytest.mark.parametrize("status", [203, 204, 206, 299])
    def test_other_2xx_status_is_down(self, status: int) -> None:
        assert not first_report(closing_after(b"HTTP/1.0 %d Fine\r\n\r\n" % status))[0]

    @pytest.mark.parametrize("coding", [b"identity", b"Identity", b""])
    def test_transfer_encoding_identity_is_no_coding(self, coding: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\nContent-Length: 2\r\n\r\n"
        assert first_report(saying(head + b"ok"))[0]  # the connection stays open

    @pytest.mark.parametrize(
        "pieces", [(b"HTTP/1.1 200 OK\r\n\r\n",), (b"HTTP/1.1 200 OK\r\n", b"\r\n", b"synced\r\n")]
    )
    def test_reset_ends_a_body_of_unknown_length(self, pieces: tuple[bytes, ...]) -> None:
        def answer(peer: Peer) -> None:
            for piece in pieces:
                peer.say(piece)
            peer.transport.reactor.callLater(0.05, peer.transport.abortConnection)  # type: ignore[attr-defined]

        assert first_report(answer)[0]

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsynced\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsy",
        ],
    )
    def test_reset_within_a_delimited_answer_is_down(self, data: bytes) -> None:
        def answer(peer: Peer) -> None:
            peer.say(data)
            peer.transport.reactor.callLater(0.05, peer.transport.abortConnection)  # type: ignore[attr-defined]

        up, reason = first_report(answer)
        assert (up, "reset" in reason) == (False, True)

    def test_reset_within_the_answer_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                answered: list[Peer] = []

                def answer(peer: Peer) -> None:
                    peer.transport.getHandle().sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nab")
                    answered.append(peer)

                setup.server.asked = answer
                setup.monitor(settings(timeout=10))
                await setup.until(lambda: answered)
                client = answered[0].transport.getPeer()
                await setup.until(lambda: not has_input((client.host, client.port)))
                answered[0].reset()
                assert (await setup.report()).reason == "body: reset after 2 of 9 bytes"

        run(main)


class TestTimeout:
    @pytest.mark.parametrize(
        ("data", "pattern"),
        [
            (b"", r"headers: 0\.[45] s without a byte \(connected in \d+ ms\)"),
            (b"HTTP/1.0 200 OK\r\n", r"headers: 17 bytes, then nothing for \d+ ms \(connected in \d+ ms\)"),
            (
                b"HTTP/1.0 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1043,
                r"body: 1043 of 2000 bytes, then nothing for \d+ ms \(connected in \d+ ms, HTTP 200 in \d+ ms\)",
            ),
            (
                b"HTTP/1.0 200 OK\r\n\r\nhello",
                r"body: 5 bytes of unknown length, then nothing for \d+ ms \(connected in \d+ ms, HTTP 200 in \d+ ms\)",
            ),
        ],
    )
    def test_timeout_reports_the_silence(self, data: bytes, pattern: str) -> None:
        with MonitorOnClock(settings()) as on_clock:
            _, peer = on_clock.accept()
            with peer:
                peer.send(data)
                while not on_clock.reports:
                    on_clock.pass_time(0.1)
                (report,) = on_clock.reports
                assert not report.up
                assert re.fullmatch(pattern, report.reason), report.reason

    def test_slow_drip_ends_at_the_timeout_of_the_check(self) -> None:
        with MonitorOnClock(settings(timeout=4.0)) as on_clock:
            _, peer = on_clock.accept()
            with peer:
                peer.send(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not on_clock.reports:
                    peer.send(b"x")
                    on_clock.pass_time(0.1)
                reason = on_clock.reports[0].reason
                assert re.match(
                    r"body: (3[89]|4[01]) of 100000 bytes in 4\.[01] s, still arriving \(connected", reason
                ), reason

    def test_repeated_failure_is_reported_once(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 2000\r\n\r\nx")
                monitor = setup.monitor(settings(timeout=0.05))
                await setup.until(lambda: monitor.down_results >= 3)
                assert len(setup.reports) == 1
                setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
                await setup.until(lambda: len(setup.reports) > 1)
                assert setup.reports[1].reason == "status: HTTP 500, wanted 200"
                assert monitor.down_transitions == 1

        run(main)


def test_failed_fetch_is_logged_with_url_and_seconds_once_per_cause(lines: list[str]) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
            monitor = setup.monitor(settings())
            await setup.until(lambda: monitor.down_results >= 3)
            assert len(lines) == 1
            assert re.fullmatch(
                r"Fetch failed \(http://\S+\), \d+\.\d{3} s: \S+, status: HTTP 500, wanted 200", lines[0]
            )
            setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            await setup.until(lambda: monitor.up)
            setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
            await setup.until(lambda: not monitor.up)
            assert len(lines) == 2

    run(main)


class TestSeveralUrls:
    URLS = ("http://a.example/1", "http://b.example/2", "http://c.example/3")

    def test_url_is_chosen_at_random(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(settings(*self.URLS, interval=0.01))
                await setup.until(lambda: monitor.up_results >= 40)
                paths = Counter(peer.received.split()[1] for peer in setup.server.peers)
                assert set(paths) == {b"/1", b"/2", b"/3"}
                assert len(setup.server.peers) <= monitor.up_results + 2

        run(main)

    def test_failed_url_is_in_the_reason(self) -> None:
        answer = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
        up, reason = first_report(answer, settings("http://a.example/", "http://a.example/"))
        assert (up, reason) == (False, "status: HTTP 500, wanted 200 at http://a.example/")

    @pytest.mark.parametrize(
        ("failing", "max_failures", "up"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False), (3, 3, True)]
    )
    def test_check_all_fetches_all_urls_and_allows_max_failures(
        self, failing: int, max_failures: int, up: bool
    ) -> None:
        def answer(peer: Peer) -> None:
            number = int(peer.received.split()[1][1:])
            peer.say(b"HTTP/1.0 500 Oops\r\n\r\n" if number <= failing else OK)

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = answer
                monitor = setup.monitor(settings(*self.URLS, check_all=True, max_failures=max_failures))
                report = await setup.report()
                assert report.up == up
                if not up:
                    assert report.reason.startswith(
                        f"{failing} of 3 URLs failed: status: HTTP 500, wanted 200 at http://a.example/1"
                    )
                assert {peer.received.split()[1] for peer in setup.server.peers} == {b"/1", b"/2", b"/3"}
                assert monitor.up_results + monitor.down_results == 1

        run(main)


class TestSamples:
    def test_samples_have_the_last_duration_by_result_and_url(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(settings("http://a.example/", "http://b.example/", check_all=True))
                assert list(samples_of(monitor)) == []
                await setup.report()
                samples = list(samples_of(monitor))
                assert [(sample.metric, sample.labels) for sample in samples] == [
                    (DURATION, (("result", "successful"), ("url", url)))
                    for url in ("http://a.example/", "http://b.example/")
                ]
                assert all(0 < sample.value < 20 for sample in samples)

        run(main)

    def test_url_listed_twice_has_one_series(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(settings("http://a.example/", "http://a.example/", check_all=True))
                await setup.report()
                assert len(list(samples_of(monitor))) == 1

        run(main)


def test_2020_05_25_unexpected_error_does_not_end_a_monitor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)

            def surprise(_data: bytes) -> int:
                raise LookupError("an unexpected key")

            with monkeypatch.context() as patched:
                patched.setattr("pybal.http.message.glance", surprise)
                monitor = setup.monitor(settings())
                assert (await setup.report()).reason == "headers: LookupError: an unexpected key"
            assert (await setup.report()).up
            assert monitor.up

    run(main)


def test_answer_is_released_before_the_next_check() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            setup.monitor(settings())
            assert (await setup.report()).up
            await setup.until(lambda: not setup.engine.in_flight)
            gc.collect()
            assert [kept for kept in gc.get_objects() if issubclass(type(kept), Response | TLSStream)] == []

    run(main)


def test_check_longer_than_the_interval_does_not_overlap() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            open_at_once: list[int] = []

            def count(_peer: Peer) -> None:
                open_at_once.append(sum(not peer.closed for peer in setup.server.peers))

            setup.server.asked = count
            monitor = setup.monitor(settings(interval=0.02, timeout=0.2))
            await setup.until(lambda: monitor.down_results >= 3)
            assert max(open_at_once) == 1

    run(main)


def test_t111899_first_checks_are_spread_over_a_second() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            times: list[float] = []

            def answer(peer: Peer) -> None:
                times.append(reactor.seconds())
                peer.say(OK)

            setup.server.asked = answer
            began = reactor.seconds()
            for _ in range(200):
                setup.monitor(settings(interval=60, timeout=10))
            await setup.until(lambda: len(setup.reports) == 200)
            assert len(times) <= 210  # the slots of a few fall into this second
            turns = len({round((time - began) * 100) for time in times})
            assert turns >= 10

    run(main)
