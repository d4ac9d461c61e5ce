"""TLS: complete a TLS handshake at an interval, and check when the certificate expires.

With ``tls.verify`` the chain is verified, and the host name if ``tls.name`` is set; without it any certificate is
accepted. The first failure after a success is diagnosed by a check that only connects.
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
    """The options and the TLS context of one service. Raises OSError if the file of ``tls.ca`` is invalid."""

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

    def log_expiry(self, host: str, days: float) -> None:
        """Log that a certificate expires soon, or has expired."""
        text = f"{host}: certificate expires in {days:.1f} days" if days > 0 else f"{host}: certificate expired"
        self._log.warn("{text}", text=text, system=self._system)


class TLS(Periodic):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_factory", "_host", "_tls", "_warned")

    def __init__(self, factory: TLSFactory, host: str, address: Address, report: Callable[[Report], None]) -> None:
        self._factory = factory
        self._host = host
        self._warned = False
        self._tls = factory.check(address, self._handshake_done)
        super().__init__(
            factory.name,
            factory.settings,
            lambda _done: self._tls,
            report,
            engine=factory.engine,
            random=factory.random,
            follow_ups=partial(tcp_only, factory.engine, Target.of(address, factory.port), factory.settings.timeout),
        )

    def samples(self) -> Iterator[Sample]:
        """Yield the durations and, once a certificate was received, the days until it expires."""
        yield from super().samples()
        days = self._tls.days
        if days is not None:
            yield Sample(DAYS, (), days)

    def _handshake_done(self, check: object, result: Result) -> None:
        days, limit = self._tls.days, self._factory.settings.warn_days
        if days is not None:
            if days < limit and not self._warned:
                self._factory.log_expiry(self._host, days)
            self._warned = days < limit
        self._done(check, result)
