"""gRPC: request the health of a service (grpc.health.v1) at an interval; SERVING means up.

With TLS any certificate is accepted; use the monitor TLS to check it. The first failure after a success is diagnosed by a
check that only connects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from urllib.parse import urlsplit

from pybal.checks import tls
from pybal.checks.engine import Engine
from pybal.checks.grpc import PROTOCOL, GRPCCheck
from pybal.checks.result import Result
from pybal.checks.socket_check import Target
from pybal.config.settings import GRPCSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.diagnosis import tcp_only
from pybal.monitors.periodic import Periodic


class GRPCFactory:
    """The options and the TLS context of one service."""

    name = "gRPC"

    def __init__(self, settings: GRPCSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self._settings = settings
        self._port = settings.port or service.port
        self._engine = engine
        self._random = random
        self._context = None
        if settings.tls:
            self._context = tls.context()
            self._context.set_alpn_protocols([PROTOCOL])

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Periodic:
        """Return a monitor of this server; the authority of its requests defaults to the host name and port."""
        settings = self._settings
        bracketed = f"[{host}]" if ":" in host else host
        authority = settings.authority or f"{bracketed}:{self._port}"
        target = Target.of(address, self._port)

        def check(done: Callable[[object, Result], None]) -> GRPCCheck:
            return GRPCCheck(
                self._engine,
                target,
                settings.timeout,
                done,
                service=settings.service,
                authority=authority,
                context=self._context,
                server_name=urlsplit(f"//{authority}").hostname or "",
            )

        follow_ups = partial(tcp_only, self._engine, target, settings.timeout)
        return Periodic(
            self.name, settings, check, report, engine=self._engine, random=self._random, follow_ups=follow_ups
        )
