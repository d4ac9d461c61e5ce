"""The history of monitors, and the follow-ups of a failure after a success, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.engine import FOLLOW_UPS
from pybal.checks.result import FAILED, PASSED
from pybal.monitors.base import Monitor
from pybal.monitors.kinds import KINDS
from pybal.monitors.proxyfetch import ProxyFetchSettings
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.scripted_server import MonitoredServer, Peer, follow_ups, frequent
from tests.harness.stepped_reactor import run

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
HALF = b"HTTP/1.0 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1043
URL, OTHER = "http://www.example/1", "http://other.example/2"


def proxyfetch(*urls: str, timeout: float = 0.3, interval: float = 0.05, check_all: bool = False) -> ProxyFetchSettings:
    return ProxyFetchSettings(urls or (URL,), interval=interval, timeout=timeout, check_all=check_all)


def saying(data: bytes) -> Callable[[Peer], None]:
    return lambda peer: peer.say(data)


def only_to_11(peer: Peer) -> None:
    peer.say(OK if b" HTTP/1.1\r\n" in peer.received and b"Connection: close" in peer.received else HALF)


def counted(monitor: Monitor) -> int:
    return monitor.up_results + monitor.down_results


@pytest.mark.parametrize("kind", KINDS)
def test_kind_records_each_result_with_its_time(kind: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))  # without listening
                monitor = setup.monitor(frequent(kind), port=bound.getsockname()[1])
                assert list(monitor.history()) == []
                await setup.until(lambda: counted(monitor))
            history = list(monitor.history())
            assert len(history) == counted(monitor)
            assert abs(history[-1].at - reactor.seconds()) < 20
            assert monitor.decided_at == history[-1].at
            assert monitor.patience >= 30
            verdict = PASSED if monitor.up else FAILED
            assert [(past.result.verdict, past.follow_up) for past in history] == [(verdict, False)] * len(history)
            assert all(past.result.phases and (monitor.up or past.result.reason) for past in history)

    run(main)


def test_passed_result_has_phases_bytes_and_url() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitor = setup.monitor(proxyfetch())
            await setup.report()
            past = next(iter(monitor.history()))
            assert (past.subject, past.result.verdict, past.result.received) == (URL, PASSED, len(OK))
            assert list(past.result.phases) == ["connect", "first byte", "headers", "body"]
            assert sum(past.result.phases.values()) == pytest.approx(past.result.duration, abs=1e-4)

    run(main)


def test_dns_result_has_size_and_query_over_udp_and_tcp() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            monitor = setup.monitor(frequent("DNSQuery"), port=server.port)
            await setup.report()
            past = next(iter(monitor.history()))
            size = len(answer(server.queries[0]))
            assert (past.subject, past.result.received) == ("www.example A", size)
            assert list(past.result.phases) == ["query"]
            server.answers = lambda query: [answer(query, truncated=True)]
            await setup.until(lambda: monitor.up_results >= 3)
            size = len(answer(server.queries[0], truncated=True))
            assert list(monitor.history())[-1].result.received == 2 + size  # over TCP, with its length

    run(main)


def test_2013_parsoid_half_answer_shows_the_slow_phase() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(HALF)
            monitor = setup.monitor(proxyfetch())
            await setup.report()
            past = next(iter(monitor.history()))
            assert past.result.received == len(HALF)
            assert list(past.result.phases) == ["connect", "first byte", "headers", "body"]
            assert past.result.phases["body"] > 0.15
            assert past.result.text.startswith("body: 1043 of 2000 bytes, then nothing for ")

    run(main)


class TestFirstFailure:
    def test_failure_is_followed_up_by_tcp_other_urls_and_http_11(self) -> None:
        def sick(peer: Peer) -> None:
            if b" /2 " in peer.received:
                peer.say(OK)
            else:
                only_to_11(peer)

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(proxyfetch(URL, OTHER))
                await setup.report()
                setup.server.asked = sick
                await setup.report()
                await setup.until(lambda: len(follow_ups(monitor)) == 3)
                assert follow_ups(monitor) == [("TCP only", "passed"), (OTHER, "passed"), (f"HTTP/1.1 {URL}", "passed")]
                assert setup.engine.follow_ups.taken == 0

        run(main)

    def test_follow_ups_are_not_counted(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(proxyfetch())
                await setup.report()
                setup.server.asked = only_to_11
                await setup.report()
                await setup.until(lambda: len(follow_ups(monitor)) == 2 and monitor.down_results >= 3)
                assert follow_ups(monitor) == [("TCP only", "passed"), (f"HTTP/1.1 {URL}", "passed")]
                history = [past for past in monitor.history() if not past.follow_up]
                assert counted(monitor) == len(history)
                assert [report.up for report in setup.reports] == [True, False]
                assert (monitor.up, monitor.up_transitions, monitor.down_transitions) == (False, 1, 1)

        run(main)

    def test_failure_is_followed_up_again_after_a_success(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(proxyfetch())
                for wanted in (2, 4):
                    setup.server.asked = saying(OK)
                    while not (await setup.report()).up:
                        pass
                    setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
                    await setup.report()
                    while len(follow_ups(monitor)) < wanted:
                        await setup.pause(0.02)
                assert follow_ups(monitor) == [("TCP only", "passed"), (f"HTTP/1.1 {URL}", "failed")] * 2

        run(main)

    def test_follow_ups_omit_other_urls_with_check_all(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.asked = saying(OK)
                monitor = setup.monitor(proxyfetch(URL, OTHER, check_all=True))
                await setup.report()
                setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
                await setup.report()
                await setup.until(lambda: len(follow_ups(monitor)) == 2)
                assert [subject for subject, _ in follow_ups(monitor)] == ["TCP only", f"HTTP/1.1 {URL}"]

        run(main)


def test_server_without_success_is_not_followed_up() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
            monitor = setup.monitor(proxyfetch())
            await setup.until(lambda: monitor.down_results >= 3)
            assert follow_ups(monitor) == []

    run(main)


def test_mass_failure_starts_at_most_the_limit_of_follow_ups() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitors = [setup.monitor(proxyfetch(timeout=2.0, interval=0.2)) for _ in range(40)]
            await setup.until(lambda: all(monitor.up for monitor in monitors))
            await setup.server.stop()  # every request takes long, because one server hangs
            with socket.create_server(("127.0.0.1", setup.server.port), backlog=0) as full, socket.socket() as taken:
                taken.connect(full.getsockname())
                await setup.until(lambda: all(monitor.up is False for monitor in monitors))
                assert (setup.engine.follow_ups.taken, setup.engine.follow_ups.waiting) == (FOLLOW_UPS, 0)
                setup.stop_monitors()
                assert setup.engine.follow_ups.taken == 0

    run(main)


def test_follow_ups_end_when_the_monitor_stops() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(OK)
            monitor = setup.monitor(proxyfetch(timeout=5.0))
            await setup.report()
            setup.server.asked = lambda peer: peer.say(b"HTTP/1.0 500 Oops\r\n\r\n") if _first(peer) else None
            await setup.report()
            await setup.until(lambda: len(follow_ups(monitor)) == 1)  # the next follow-up hangs
            monitor.stop()
            assert setup.engine.follow_ups.taken == 0
            await setup.pause(0.2)
            assert len(follow_ups(monitor)) == 1

    run(main)


def _first(peer: Peer) -> bool:
    """Return whether this is a request in HTTP/1.0."""
    return b" HTTP/1.0\r\n" in peer.received
