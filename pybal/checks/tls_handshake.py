"""The TLS check: a handshake, and the remaining lifetime of the certificate."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from socket import SocketType
from typing import Self, cast

from cryptography import x509
from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import NEVER, PASSED, CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.checks.tls import TLSStream
from pybal.runtime.file_values import FileValue

_DAY = timedelta(days=1)
REFUSAL_SECONDS = 0.25
"""The least time to wait for a refusal after a handshake of TLS 1.3."""


class TLSCheck(StreamCheck):
    """A check that passes when the handshake is complete; the ``context`` defines the verification.

    It fails if the certificate expires in less than ``fail_days``, unless they are 0. ``expires`` is the expiry of the last
    certificate, ``None`` before the first and if it cannot be parsed.
    """

    __slots__ = ("_fail_days", "_now", "expires")

    _waiting = Phase.TLS

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        context: FileValue[ssl.SSLContext],
        server_name: str,
        fail_days: int,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(engine, target, timeout, done, context=context, server_name=server_name)
        self._fail_days = fail_days
        self._now = now
        self.expires: datetime | None = None

    @override
    def _secured(self, stream: TLSStream) -> bool:
        stream.flush()  # send the last flight, or the server logs an aborted handshake
        self.expires = not_after(stream.certificate)
        if self._fail_days:
            self._check_expiry()
        if stream.version != "TLSv1.3":
            return True
        self._engine.hasten(self, max(REFUSAL_SECONDS, 2 * (self._secured_at - self._connected_at)))
        return False

    @override
    def _receive(self, stream: TLSStream | SocketType) -> bool:
        """Return whether the server has accepted the handshake.

        In TLS 1.3 it is complete for us before the server has seen a client certificate, or that we have none. A server that
        accepts usually sends session tickets, one that refuses an alert.
        """
        tls = cast("TLSStream", stream)  # this check has a context
        try:
            data = tls.recv(1)
        except BlockingIOError:
            if not tls.heard:
                raise
            return True
        if not data and not tls.heard:
            raise CheckFailed(Phase.TLS, "connection closed after the handshake", "connection closed")
        return True

    @override
    def expire(self) -> None:
        if self._tls is not None and self._tls.secured:
            self._passed()  # a server without session tickets
        else:
            super().expire()

    @override
    def _passed(self) -> None:
        duration = self._secured_at - self._started_at
        self._end(Result(PASSED, duration, self._phase, "", "", self._steps(), self._received))

    def _check_expiry(self) -> None:
        days = self.days
        if days is None:
            raise CheckFailed(Phase.TLS, "the expiry of the certificate cannot be parsed", "no end")
        if days < self._fail_days:
            ends = f"expires in {days:.1f} days" if days > 0 else f"expired {-days:.1f} days ago"
            raise CheckFailed(Phase.TLS, f"the certificate {ends}, wanted {self._fail_days}", "certificate expires")

    @override
    def _steps(self) -> Sequence[float]:
        steps = super()._steps()
        return (*steps[:1], NEVER, NEVER, NEVER) if steps else ()  # all time after the connection is the handshake

    @property
    def days(self) -> float | None:
        """The days until the last certificate expires, negative if it has expired."""
        return None if self.expires is None else (self.expires - self._now()) / _DAY


def not_after(certificate: bytes) -> datetime | None:
    """Return the expiry of a certificate in DER form, ``None`` if it cannot be parsed."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        # The attribute with a time zone came with cryptography 42; Debian 12 has 38.
        expiry = getattr(parsed, "not_valid_after_utc", None) or parsed.not_valid_after
    except (ValueError, x509.InvalidVersion):
        return None
    return expiry.replace(tzinfo=UTC)
