"""DNSQuery: asks a server for the addresses of a host at intervals, and judges the code of the answer.

The host is a random one of those configured, the addresses are those of the server's own family: A of an IPv4 server,
AAAA of an IPv6 one. An answer without records is an answer. A check that came to nothing by our own fault is made once
more at once, and then waits for its turn. The first failure after a success is looked into: the same question by TCP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from pybal.checks.dns import DNSCheck, DNSCheckOverTCP
from pybal.checks.dns_wire import Question, RecordType, question
from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.config.settings import DNSQuerySettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.diagnosis import Diagnosis, FollowUps
from pybal.monitors.interval import IntervalMonitor

DURATION = "pybal_monitor_dnsquery_request_duration_seconds"


class DNSQueryFactory:
    """The questions of one service."""

    name = "DNSQuery"

    def __init__(self, settings: DNSQuerySettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = service.port
        self.engine = engine
        self.random = random
        self.questions = {
            version: tuple(question(name, kind) for name in settings.hostnames)
            for version, kind in ((4, RecordType.A), (6, RecordType.AAAA))
        }
        """By the version of IP of the server."""

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> DNSQuery:
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return DNSQuery(self, address, report)

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

    __slots__ = ("_check", "_diagnosis", "_plan", "_questions", "_seconds", "_target")

    name = DNSQueryFactory.name

    def __init__(self, plan: DNSQueryFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(plan.engine, plan.random, plan.settings, report)
        self._plan = plan
        self._questions = plan.questions[address.version]
        self._target = Target.of(address, plan.port)
        self._check = plan.check(DNSCheck, self._target, self._questions[0], self._done)
        self._diagnosis = Diagnosis(plan.engine, self._recent.add)
        self._seconds = [0.0, 0.0]

    def samples(self) -> Iterator[Sample]:
        yield Sample(DURATION, (("result", "successful"),), self._seconds[0])
        yield Sample(DURATION, (("result", "failed"),), self._seconds[1])

    def stop(self) -> None:
        super().stop()
        self._check.cancel()
        self._diagnosis.stop()

    def _turn(self) -> None:
        check = self._check
        if check.running:
            return
        if len(self._questions) > 1:
            check.question = self._plan.random.choice(self._questions)
        check.start()

    def _done(self, check: DNSCheck, result: Result) -> None:
        verdict, plan = result.verdict, self._plan
        self._recent.add(plan.engine.now, result, check.question.text)
        if verdict is INCONCLUSIVE:
            self._make_up()
            return
        self._repeated = False
        self._seconds[verdict is FAILED] = result.duration
        if verdict is PASSED:
            self._diagnosis.succeeded = True
            self._passed(plan.engine.now)
        else:
            self._diagnosis.failed(self._by_tcp(check.question))
            self._failed(result.text, f"{result.phase} {result.cause}", plan.engine.now)

    def _by_tcp(self, question: Question) -> FollowUps:
        check = self._plan.check(DNSCheckOverTCP, self._target, question, self._diagnosis.told)
        yield f"by TCP {question.text}", check
