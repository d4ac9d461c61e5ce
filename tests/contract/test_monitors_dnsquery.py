"""DNSQuery on real sockets: servers that answer, refuse, hang, lie, and send too much."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.checks.dns import DNSCheck
from pybal.checks.dns_wire import RecordType, question
from pybal.checks.result import PASSED, CheckOutcome
from pybal.checks.socket_check import Target
from pybal.core.model import Report
from pybal.monitors.base import Monitor
from pybal.monitors.dnsquery import DNSQuerySettings
from tests.harness.fake_dns_server import NameServer, answer, decoded
from tests.harness.own_socket import cause_icmp_error
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer
from tests.harness.stepped_reactor import run

SETTINGS = DNSQuerySettings(("www.example",), interval=0.05, timeout=0.3)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])

Answers = Callable[[bytes], list[bytes]]


def first_report(
    answers: Answers, settings: DNSQuerySettings = SETTINGS, host: str = "127.0.0.1"
) -> tuple[Report, NameServer]:
    """Return the first report about a server with this answer."""

    async def main(reactor: EPollReactor) -> tuple[Report, NameServer]:
        async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
            server.answers = answers
            setup.monitor(settings, port=server.port)
            return await setup.report(), server

    return run(main)


def durations(monitor: Monitor) -> dict[str, float]:
    return {dict(sample.labels)["result"]: sample.value for sample in samples_of(monitor)}


async def passed(setup: MonitoredServer, monitor: Monitor) -> None:
    """Wait for the next check to pass."""
    before = monitor.up_results
    await setup.until(lambda: monitor.up_results > before)


class TestQuery:
    @pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", dns.A), ("::1", dns.AAAA)])
    def test_query_requests_addresses_of_the_server_family(self, host: str, kind: int) -> None:
        report, server = first_report(lambda query: [answer(query)], host=host)
        assert report.up
        asked = decoded(server.queries[0])
        assert asked.queries == [dns.Query("www.example", kind, dns.IN)]
        assert (asked.recDes, asked.answer, asked.opCode, asked.answers) == (1, 0, 0, [])

    def test_queries_vary_name_and_id_and_keep_the_socket(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                setup.monitor(replace(SETTINGS, hostnames=("a.example", "b.example"), interval=0.02), port=server.port)
                await setup.until(lambda: len(server.queries) > 16)
                assert {str(decoded(query).queries[0].name) for query in server.queries} == {"a.example", "b.example"}
                assert len({decoded(query).id for query in server.queries}) > 10
                assert len(set(server.clients)) == 1

        run(main)


class TestAnswer:
    @HOSTS
    def test_answer_with_records_is_up(self, host: str) -> None:
        report, _ = first_report(lambda query: [answer(query)], host=host)
        assert (report.up, report.reason) == (True, "")

    def test_answer_without_records_is_up(self) -> None:
        report, _ = first_report(lambda query: [answer(query, records=())])
        assert report.up

    def test_answer_in_different_case_is_up(self) -> None:
        report, _ = first_report(
            lambda query: [answer(query, questions=[dns.Query("WWW.Example", dns.A, dns.IN)])],
        )
        assert report.up

    def test_nxdomain_is_up(self) -> None:
        report, _ = first_report(lambda query: [answer(query, dns.ENAME)])
        assert report.up

    def test_nxdomain_is_down_with_fail_on_nxdomain(self) -> None:
        report, _ = first_report(lambda query: [answer(query, dns.ENAME)], replace(SETTINGS, fail_on_nxdomain=True))
        assert (report.up, report.reason) == (False, "answer: NXDOMAIN for www.example A")

    @HOSTS
    @pytest.mark.parametrize(
        ("code", "name"),
        [(1, "FORMERR"), (2, "SERVFAIL"), (4, "NOTIMP"), (5, "REFUSED"), (9, "NOTAUTH"), (12, "RCODE 12")],
    )
    def test_error_code_is_down(self, code: int, name: str, host: str) -> None:
        report, _ = first_report(lambda query: [answer(query, code)], host=host)
        kind = "A" if host == "127.0.0.1" else "AAAA"
        assert (report.up, report.reason) == (False, f"answer: {name} for www.example {kind}")

    def test_error_code_is_down_without_the_question(self) -> None:
        report, _ = first_report(lambda query: [answer(query, dns.ESERVER, questions=[])])
        assert (report.up, report.reason) == (False, "answer: SERVFAIL for www.example A")

    def test_truncated_error_is_not_queried_over_tcp(self) -> None:
        report, server = first_report(lambda query: [answer(query, dns.EREFUSED, truncated=True)])
        assert report.reason == "answer: REFUSED for www.example A"
        assert server.streams == []

    def test_incomplete_answer_is_down(self) -> None:
        report, _ = first_report(lambda query: [answer(query)[:-3]])
        assert report.reason == "answer: malformed for www.example A: record 3 of 3 is truncated"


class TestForeignDatagrams:
    @pytest.mark.parametrize(
        "stray",
        [
            lambda query: answer(query, dns.ESERVER, number=decoded(query).id ^ 1),
            lambda query: answer(query, dns.ESERVER, questions=[dns.Query("web.example", dns.A, dns.IN)]),
            lambda query: answer(query, dns.ESERVER, questions=[dns.Query("www.example", dns.AAAA, dns.IN)]),
            lambda query: answer(query, dns.ENAME, questions=[]),
            lambda query: query,
            lambda _query: b"",
            lambda query: query[:2],
            lambda _query: b"garbage" * 100,
        ],
        ids=["other id", "other name", "other type", "no question", "echo", "nothing", "two bytes", "garbage"],
    )
    def test_foreign_datagram_is_ignored(self, stray: Callable[[bytes], bytes]) -> None:
        report, _ = first_report(lambda query: [stray(query), answer(query)])
        assert report.up
        report, _ = first_report(lambda query: [stray(query)])
        assert (report.up, report.reason) == (False, "query: 300 ms without an answer (1 to other queries)")

    def test_answer_is_found_in_a_flood_of_foreign_datagrams(self) -> None:
        report, _ = first_report(lambda query: [b"garbage"] * 100 + [answer(query)], replace(SETTINGS, timeout=5.0))
        assert report.up

    def test_late_answer_does_not_answer_the_next_query(self) -> None:
        late: list[bytes] = []

        def answers(query: bytes) -> list[bytes]:
            late.append(answer(query, dns.ESERVER))
            return late[-2:-1]

        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                server.answers = answers
                monitor = setup.monitor(replace(SETTINGS, timeout=0.1), port=server.port)
                await setup.until(lambda: monitor.down_results > 3)
                assert {report.reason.partition(" (")[0] for report in setup.reports} == {
                    "query: 100 ms without an answer"
                }

        run(main)

    def test_second_answer_after_the_result_is_ignored(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                monitor = setup.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
                assert (await setup.report()).up
                for code in (dns.OK, dns.ESERVER):
                    server.say(answer(server.queries[0], code))
                    await setup.pause(0.05)
                assert (monitor.up_results, monitor.down_results) == (1, 0)

        run(main)

    def test_second_answer_to_a_query_is_ignored(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                server.answers = lambda query: [answer(query), answer(query, dns.ESERVER), b"", answer(query)]
                monitor = setup.monitor(SETTINGS, port=server.port)
                await setup.until(lambda: len(server.queries) > 5)
                assert monitor.down_results == 0
                assert monitor.up_results <= len(server.queries)

        run(main)


class TestNoAnswer:
    @HOSTS
    def test_hanging_server_is_down_after_the_timeout(self, host: str) -> None:
        report, _ = first_report(lambda _query: [], host=host)
        assert (report.up, report.reason) == (False, "query: 300 ms without an answer")

    @HOSTS
    def test_closed_port_is_down_immediately(self, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
                await server.stop()
                monitor = setup.monitor(replace(SETTINGS, timeout=3600.0), port=server.port)
                report = await setup.report()
                assert (report.up, report.reason) == (False, "query: refused")
                assert 0 < durations(monitor)["failed"] < 10
                await setup.until(lambda: monitor.down_results > 3)
                assert len(setup.reports) == 1

        run(main)

    @HOSTS
    def test_restarted_server_is_up_with_the_next_check(self, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor, host) as server, MonitoredServer(reactor, host) as setup:
                monitor = setup.monitor(SETTINGS, port=server.port)
                assert (await setup.report()).up
                await server.stop()
                assert (await setup.report()).reason == "query: refused"
                failures = monitor.down_results
                server.listen()
                assert (await setup.report()).up
                assert monitor.down_results <= failures + 1

        run(main)

    def test_restart_between_two_checks_causes_no_failure(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
                monitor = setup.monitor(SETTINGS, port=server.port)
                for _ in range(3):
                    await passed(setup, monitor)
                    await server.stop()
                    server.listen()
                assert monitor.down_results == 0

        run(main)


def test_durations_exist_from_the_start_for_each_outcome() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            monitor = setup.monitor(SETTINGS, port=server.port)
            assert durations(monitor) == {}
            await setup.report()
            assert {sample.metric for sample in samples_of(monitor)} == {
                "pybal_monitor_dnsquery_request_duration_seconds"
            }
            assert durations(monitor).keys() == {"successful"}
            assert 0 < durations(monitor)["successful"] < 10
            server.answers = lambda _query: []
            await setup.report()
            assert 0.3 <= durations(monitor)["failed"] < 20

    run(main)


def test_checks_of_one_server_never_overlap() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            server.answers = lambda _query: []
            monitor = setup.monitor(replace(SETTINGS, interval=0.02, timeout=0.2), port=server.port)
            await setup.until(lambda: monitor.down_results >= 3)
            assert len(server.queries) <= 4

    run(main)


def test_local_error_is_inconclusive_and_retried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            with monkeypatch.context() as patch:
                patch.setattr(setup.engine, "socket", full)
                monitor = setup.monitor(replace(SETTINGS, interval=3600.0), port=server.port)
                await setup.until(lambda: setup.engine.inconclusive == 2)
                await setup.pause(0.2)
            assert setup.engine.inconclusive == 2
            assert (monitor.up, setup.reports, durations(monitor)) == (None, [], {})
            assert setup.engine.local_errors == {"EMFILE": 2}

    run(main)


def test_query_uses_another_socket_after_a_failure() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            server.answers = lambda _query: []
            monitor = setup.monitor(replace(SETTINGS, timeout=0.05), port=server.port)
            await setup.until(lambda: monitor.down_results >= 3)
            assert len(set(server.clients)) >= 3

    run(main)


def test_error_between_two_checks_does_not_fail_the_next() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            monitor = setup.monitor(SETTINGS, port=server.port)
            await passed(setup, monitor)
            await server.stop()
            cause_icmp_error(server.clients[-1])
            server.listen()
            await passed(setup, monitor)
            assert monitor.down_results == setup.engine.inconclusive == 0

    run(main)


def test_unread_error_of_the_last_check_does_not_fail_the_next() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            outcomes: list[CheckOutcome] = []
            check = DNSCheck(
                setup.engine,
                Target.of(IPv4Address("127.0.0.1"), server.port),
                5.0,
                lambda _check, result: outcomes.append(result.verdict),
                question=question("www.example", RecordType.A),
                random=Random(1),
                fail_on_nxdomain=False,
            )
            setup.engine.soon(check.start)
            await setup.until(lambda: outcomes)
            await server.stop()

            def start_with_an_error() -> None:
                cause_icmp_error(server.clients[-1])
                server.listen()
                check.start()

            setup.engine.soon(start_with_an_error)
            await setup.until(lambda: len(outcomes) == 2)
            assert outcomes == [PASSED, PASSED]
            assert len(set(server.clients)) == 2
            check.cancel()

    run(main)


def test_frozen_loop_is_inconclusive() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:
            server.answers = lambda _query: []
            monitor = setup.monitor(replace(SETTINGS, interval=3600, timeout=5.0), port=server.port)
            await setup.until(lambda: server.queries)
            setup.skipped = 10.0
            await setup.until(lambda: setup.engine.inconclusive)
            assert (monitor.up, monitor.down_results, setup.reports) == (None, 0, [])
            server.answers = lambda query: [answer(query)]
            assert (await setup.report()).up  # the check is retried once immediately

    run(main)


def test_answer_counts_when_the_loop_reads_it_late() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with NameServer(reactor) as server, MonitoredServer(reactor) as setup:

            def answers(query: bytes) -> list[bytes]:
                setup.skipped += 10.0
                return [answer(query)]

            server.answers = answers
            monitor = setup.monitor(replace(SETTINGS, interval=3600, timeout=5.0), port=server.port)
            assert (await setup.report()).up
            assert monitor.down_results == setup.engine.inconclusive == 0

    run(main)
