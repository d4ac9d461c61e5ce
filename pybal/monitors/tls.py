"""TLS: makes a TLS handshake with a server at intervals, and watches when the certificate ends.

With ``tls.verify`` the chain is verified, and the name if ``tls.name`` is one; without, any certificate will do. The
first failure after a success is looked into: the connection alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random

from twisted.logger import Logger

from pybal.checks import tls
from pybal.checks.engine import Engine
from pybal.checks.result import Result
from pybal.checks.socket_check import Target
from pybal.checks.tls_handshake import TLSCheck
from pybal.config.settings import TLSSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.diagnosis import tcp_only
from pybal.monitors.periodic import Periodic

DAYS = "pybal_monitor_tls_days_to_expiry"


class TLSFactory:
    """The options of one service, and its one TLS context. Raises OSError if the file of ``tls.ca`` is of no use."""

    name = "TLS"

    _log = Logger()

    def __init__(self, settings: TLSSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = settings.port or service.port
        self.engine = engine
        self.random = random
        self.context = tls.context()
        if settings.verify:
            tls.verify(self.context, settings.ca, name=bool(settings.name))
        self._system = f"{service.name} {self.name}"

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> TLS:
        """Return a monitor of this server."""
        return TLS(self, host, address, report)

    def check(self, address: Address, done: Callable[[object, Result], None]) -> TLSCheck:
        """Return a check of the server at this address."""
        return TLSCheck(
            self.engine,
            Target.of(address, self.port),
            self.settings.timeout,
            done,
            context=self.context,
            server_name=self.settings.name,
            fail_days=self.settings.fail_days,
            now=partial(datetime.now, UTC),
        )

    def expiring(self, host: str, days: float) -> None:
        """Log that a certificate is about to end."""
        text = f"{host}: the certificate expires in {days:.1f} days" if days > 0 else f"{host}: the certificate expired"
        self._log.warn("{text}", text=text, system=self._system)


class TLS(Periodic):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_host", "_plan", "_tls", "_warned")

    def __init__(self, plan: TLSFactory, host: str, address: Address, report: Callable[[Report], None]) -> None:
        self._plan = plan
        self._host = host
        self._warned = False
        self._tls = plan.check(address, self._handshaken)
        super().__init__(
            plan.name,
            plan.settings,
            lambda _done: self._tls,
            report,
            engine=plan.engine,
            random=plan.random,
            follow_ups=partial(tcp_only, plan.engine, Target.of(address, plan.port), plan.settings.timeout),
        )

    def samples(self) -> Iterator[Sample]:
        """Yield what took how long, and when a certificate was seen the days that it has left at this moment."""
        yield from super().samples()
        days = self._tls.days
        if days is not None:
            yield Sample(DAYS, (), days)

    def _handshaken(self, check: object, result: Result) -> None:
        days, limit = self._tls.days, self._plan.settings.warn_days
        if days is not None:
            if days < limit and not self._warned:
                self._plan.expiring(self._host, days)
            self._warned = days < limit
        self._done(check, result)
