"""TLS: complete a TLS handshake at an interval, and check when the certificate expires.

With ``tls.verify`` the chain is verified, and the host name if ``tls.name`` is set; without it any certificate is
accepted. The first failure after a success is diagnosed by a check that only connects.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import cast

from twisted.logger import Logger
from typing_extensions import override

from pybal.checks import tls
from pybal.checks.result import Result
from pybal.checks.socket_check import Target
from pybal.checks.tls_handshake import TLSCheck
from pybal.config.convert import boolean, integer, optional_hostname, optional_text
from pybal.config.errors import shown
from pybal.config.option import option
from pybal.config.options import Options
from pybal.core.model import Address, Report
from pybal.monitors.base import Samples, Series
from pybal.monitors.factory import Factory, MonitorRefusal
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import RESULTS, CheckDone, Periodic, TCPSettings, duration_metric
from pybal.runtime.file_values import FileValue, FileValues

EXPIRY = "pybal_monitor_tls_certificate_expiry_timestamp_seconds"
_SERIES = Series(((duration_metric("TLS"), RESULTS), (EXPIRY, ((),))))

_days = integer(0, 3650, "whole days")


def ca_refusal(ca: str, prefix: str) -> MonitorRefusal | None:
    """Return why the option ``ca`` cannot be applied, ``None`` if it can."""
    try:
        tls.verify_chains(tls.context(), ca, name=False)
    except OSError as error:
        found = f"{ca} ({error.strerror or error})"
        return MonitorRefusal(f"{prefix}ca", found, "a file of certificates in PEM format")
    return None


@dataclass(frozen=True, slots=True)
class TLSSettings(TCPSettings):
    """Complete a TLS handshake, optionally with a verified certificate."""

    name: str = option(
        "", optional_hostname, help="host name to send (SNI); with verify = yes the certificate must match it"
    )
    verify: bool = option(False, boolean, help="verify the chain of the certificate, and its host name if name is set")
    ca: str = option(
        "", optional_text, default_text="the CAs of the system", help="file with the trusted CAs, in PEM format"
    )
    warn_days: int = option(14, _days, help="log a warning if the certificate expires in less than this number of days")
    fail_days: int = option(
        0, _days, help="the check fails if the certificate expires in less than this number of days; 0 disables this"
    )

    def validate(self, options: Options, prefix: str) -> None:
        if self.ca and not self.verify:
            options.refuse(f"{prefix}ca", shown(self.ca), f"{prefix}verify = yes as well")
        if self.verify and not self.name:
            options.warn(
                f"{prefix}verify", "yes", f"{prefix}name as well; without it a certificate for any host is accepted"
            )

    @override
    def refusal(self, prefix: str) -> MonitorRefusal | None:
        return ca_refusal(self.ca, prefix) if self.verify else None

    @override
    def tls_context(self, files: FileValues) -> FileValue[ssl.SSLContext]:
        return tls.shared(files, verify=self.verify, ca=self.ca, name=bool(self.name))

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> TLSCheck:
        del host
        return TLSCheck(
            factory.engine,
            target,
            self.timeout,
            done,
            context=cast("FileValue[ssl.SSLContext]", factory.context),
            server_name=self.name,
            fail_days=self.fail_days,
            now=partial(datetime.now, UTC),
        )


class TLS(Periodic):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_host", "_tls", "_warn_days", "_warned")

    _log = Logger()

    def __init__(
        self, factory: Factory[TLSSettings], host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        super().__init__(factory, host, address, report)
        self._host = host
        self._tls = cast("TLSCheck", self._check)
        self._warn_days = factory.settings.warn_days
        self._warned = False

    @override
    def samples(self) -> Samples:
        """Return the durations and, once a certificate was received, the time at which it expires."""
        expires = self._tls.expires
        return _SERIES, (*self._seconds, expires.timestamp() if expires else None)

    @override
    def _done(self, check: object, result: Result) -> None:
        days = self._tls.days
        if days is not None:
            if days < self._warn_days and not self._warned:
                self._log_expiry(days)
            self._warned = days < self._warn_days
        super()._done(check, result)

    def _log_expiry(self, days: float) -> None:
        event = f"certificate expires in {days:.1f} days" if days > 0 else "certificate expired"
        self._log.warn("{text}", text=f"{self._host}: {event}", system=self._factory.log_system)


KIND = Kind(
    "TLS",
    TLSSettings,
    duration="Duration of the last handshake, by result",
    metrics={EXPIRY: "Time at which the server certificate expires, in Unix time"},
    monitor=TLS,
)
