"""DNSQuery: query a name server for the addresses of a host at an interval; the response code decides.

The host is chosen at random from those configured. The record type follows the server's address family: A for an IPv4
server, AAAA for an IPv6 one. A response without records passes. A check that is inconclusive because of a local error is
retried once immediately, then at the next interval. The first failure after a success is diagnosed by the same query
over TCP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from pybal.checks.dns import DNSCheck, DNSCheckOverTCP
from pybal.checks.dns_wire import Question, RecordType, question
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.config.convert import boolean, hostname, some
from pybal.config.option import option, required
from pybal.core.model import Address, Report
from pybal.monitors.base import Samples
from pybal.monitors.diagnosis import Diagnosis, FollowUps
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval, IntervalMonitor
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import duration_series

_SERIES = duration_series("DNSQuery")


@dataclass(frozen=True, slots=True)
class DNSQuerySettings(Interval):
    """Query a name server for the A or AAAA records of a host name."""

    hostnames: tuple[str, ...] = required(
        (),
        some(hostname, "a host name"),
        help="host name to query, or a list from which each query takes one at random",
    )
    fail_on_nxdomain: bool = option(
        False, boolean, help="NXDOMAIN, the response that the name does not exist, fails the check"
    )


class DNSQueryFactory(Factory[DNSQuerySettings]):
    """Creates the monitors of one service, which share its queries."""

    @override
    def _prepare(self) -> None:
        self.questions = {
            version: tuple(question(name, kind) for name in self.settings.hostnames)
            for version, kind in ((4, RecordType.A), (6, RecordType.AAAA))
        }
        """Queries for each IP version of a server."""

    def check(
        self, kind: type[DNSCheck], target: Target, question: Question, done: Callable[[DNSCheck, Result], None]
    ) -> DNSCheck:
        """Return a check of a server."""
        return kind(
            self.engine,
            target,
            self.settings.timeout,
            done,
            question=question,
            random=self.random,
            fail_on_nxdomain=self.settings.fail_on_nxdomain,
        )


class DNSQuery(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_diagnosis", "_factory", "_questions", "_seconds", "_target")

    name = "DNSQuery"

    def __init__(self, factory: DNSQueryFactory, host: str, address: Address, report: Callable[[Report], None]) -> None:
        del host
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._factory = factory
        self._questions = factory.questions[address.version]
        self._target = Target.of(address, factory.port)
        self._check = factory.check(DNSCheck, self._target, self._questions[0], self._done)
        self._diagnosis = Diagnosis(factory.engine, self._history.add)
        self._seconds: list[float | None] = [None, None]

    def samples(self) -> Samples:
        return _SERIES, tuple(self._seconds)

    @override
    def stop(self) -> None:
        super().stop()
        self._check.cancel()
        self._diagnosis.stop()

    @override
    def run(self) -> None:
        check = self._check
        if check.running:
            return
        if len(self._questions) > 1:
            check.question = self._factory.random.choice(self._questions)
        check.start()

    def _done(self, check: DNSCheck, result: Result) -> None:
        verdict, factory = result.verdict, self._factory
        self._history.add(factory.engine.now, result, check.question.text)
        if verdict is INCONCLUSIVE:
            self.retry()
            return
        self._retried = False
        self._seconds[verdict is FAILED] = result.duration
        if verdict is PASSED:
            self._diagnosis.succeeded = True
            self.passed(factory.engine.now)
        else:
            self._diagnosis.failed(self._by_tcp(check.question))
            self.failed(result.text, f"{result.phase} {result.cause}", factory.engine.now)

    def _by_tcp(self, question: Question) -> FollowUps:
        check = self._factory.check(DNSCheckOverTCP, self._target, question, self._diagnosis.done)
        yield f"by TCP {question.text}", check


KIND = Kind(
    "DNSQuery",
    DNSQuerySettings,
    duration="Duration of the last query, by result",
    monitor=DNSQuery,
    factory=DNSQueryFactory,
)
