"""ICMP: send an echo request at an interval; a reply means up."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pybal.checks.engine import Engine
from pybal.checks.icmp import ICMPCheck
from pybal.checks.result import Result
from pybal.checks.socket_check import Target
from pybal.config.settings import ICMPSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.periodic import Periodic


class ICMPFactory:
    """The options of one service."""

    name = "ICMP"

    def __init__(self, settings: ICMPSettings, service: Service, *, engine: Engine, random: Random) -> None:
        del service
        self._settings = settings
        self._engine = engine
        self._random = random

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Periodic:
        """Return a monitor of the server at this address; the host name is not used."""
        del host
        target = Target.of(address, 0)

        def check(done: Callable[[object, Result], None]) -> ICMPCheck:
            return ICMPCheck(self._engine, target, self._settings.timeout, done, random=self._random)

        return Periodic(self.name, self._settings, check, report, engine=self._engine, random=self._random)
