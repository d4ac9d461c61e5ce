"""UDP: sends an empty datagram at intervals; an ICMP error that answers one means down.

A server is down at once, and stays down until ``icmp-timeout`` seconds have passed without an ICMP error and then a
datagram met none either. It is up only after a datagram that no error answered within ``timeout``, and at most half the
interval, where PyBal 1.15 took every server for up before it had sent anything: that ARP and neighbour discovery found
nobody is known after 3 seconds. What the server answers does not matter.
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
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return UDP(self, address, report)


class UDP(IntervalMonitor):
    """Watches one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_erred_at", "_plan")

    name = UDPFactory.name

    def __init__(self, plan: UDPFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(plan.engine, plan.random, plan.settings, report)
        self._plan = plan
        self._check = UDPCheck(plan.engine, Target.of(address, plan.port), plan.grace, self._done)
        self._erred_at = -math.inf

    def samples(self) -> Iterable[Sample]:
        return ()

    def stop(self) -> None:
        super().stop()
        self._check.cancel()

    def _turn(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: UDPCheck, result: Result) -> None:
        del check
        now = self._plan.engine.now
        self._recent.add(now, result)
        if result.verdict is FAILED:
            self._erred_at = now
            self._failed(result.text, f"{result.phase} {result.cause}", now)
        elif result.verdict is PASSED and now - self._erred_at >= self._plan.settings.icmp_timeout:
            self._passed(now)
