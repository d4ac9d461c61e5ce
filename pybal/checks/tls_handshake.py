"""The TLS check: a handshake, and how long the certificate is still good for."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Self

from pybal.checks.certificate import not_after
from pybal.checks.engine import Engine
from pybal.checks.result import NEVER, CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.checks.tls import TLSStream

_DAY = timedelta(days=1)


class TLSCheck(StreamCheck):
    """A check that passes when the handshake is done; the ``context`` says what is verified.

    It fails if the certificate ends in less than ``fail_days``, unless they are 0. ``expires`` is when the last
    certificate seen does, ``None`` before the first and if that cannot be read.
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
        context: ssl.SSLContext,
        server_name: str,
        fail_days: int,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(engine, target, timeout, done, context=context, server_name=server_name)
        self._fail_days = fail_days
        self._now = now
        self.expires: datetime | None = None

    def _secured(self, stream: TLSStream) -> bool:
        stream.flush()  # the server is not to take it for a handshake that was broken off
        try:
            self.expires = not_after(stream.certificate)
        except ValueError:
            self.expires = None
        if self._fail_days:
            self._judge()
        return True

    def _judge(self) -> None:
        days = self.days
        if days is None:
            raise CheckFailed(Phase.TLS, "the certificate has no end that can be read", "no end")
        if days < self._fail_days:
            ends = f"expires in {days:.1f} days" if days > 0 else f"expired {-days:.1f} days ago"
            raise CheckFailed(Phase.TLS, f"the certificate {ends}, wanted {self._fail_days}", "certificate expires")

    def _steps(self) -> Sequence[float]:
        steps = super()._steps()
        return (*steps[:1], NEVER, NEVER, NEVER) if steps else ()  # what is not the connection is the handshake

    @property
    def days(self) -> float | None:
        """How many days from now the last certificate seen ends, negative if it has."""
        return None if self.expires is None else (self.expires - self._now()) / _DAY
