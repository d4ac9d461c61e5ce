"""TCPConnect: connect to a server at an interval; optionally send bytes and expect others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pybal.checks.engine import Engine
from pybal.checks.result import Result
from pybal.checks.socket_check import Target, TCPCheck
from pybal.checks.tcpconnect import ExpectCheck
from pybal.config.settings import TCPConnectSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.periodic import Periodic


class TCPConnectFactory:
    """The options of one service."""

    name = "TCPConnect"

    def __init__(self, settings: TCPConnectSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self._settings = settings
        self._port = settings.port or service.port
        self._engine = engine
        self._random = random

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Periodic:
        """Return a monitor of the server at this address; the host name is not used."""
        del host
        target = Target.of(address, self._port)

        def check(done: Callable[[object, Result], None]) -> TCPCheck | ExpectCheck:
            settings = self._settings
            if not settings.send and not settings.expect:
                return TCPCheck(self._engine, target, settings.timeout, done)
            return ExpectCheck(self._engine, target, settings.timeout, done, send=settings.send, expect=settings.expect)

        return Periodic(self.name, self._settings, check, report, engine=self._engine, random=self._random)
