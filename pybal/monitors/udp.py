"""UDP: send an empty datagram at an interval; an ICMP error in response means down.

One error takes a server down. It stays down until ``icmp-timeout`` seconds have passed without an ICMP error and another
datagram has caused no error. A server is up only after a datagram without an error for ``timeout`` seconds (at most half
the interval), because ARP and neighbour discovery fail after 3 seconds; PyBal 1.15 assumed every server up before it had
sent anything. Responses of the server are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.checks.udp import UDPCheck
from pybal.config.settings import UDPSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.interval import IntervalMonitor


class UDPFactory:
    """The options of one service."""

    name = "UDP"

    def __init__(self, settings: UDPSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = service.port
        self.engine = engine
        self.random = random
        self.grace = min(settings.timeout, settings.interval / 2)

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> UDP:
        """Return a monitor of the server at this address; the host name is not used."""
        del host
        return UDP(self, address, report)


class UDP(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_erred_at", "_factory")

    name = UDPFactory.name

    def __init__(self, factory: UDPFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._factory = factory
        self._check = UDPCheck(factory.engine, Target.of(address, factory.port), factory.grace, self._done)
        self._erred_at = -math.inf

    def samples(self) -> Iterable[Sample]:
        return ()

    def stop(self) -> None:
        super().stop()
        self._check.cancel()

    def _run(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: UDPCheck, result: Result) -> None:
        del check
        now = self._factory.engine.now
        self._history.add(now, result)
        if result.verdict is FAILED:
            self._erred_at = now
            self._failed(result.text, f"{result.phase} {result.cause}", now)
        elif result.verdict is PASSED and now - self._erred_at >= self._factory.settings.icmp_timeout:
            self._passed(now)
