"""UDP: sends an empty datagram at intervals; an ICMP error that answers one means down.

A server is down at once, and stays down until ``icmp-timeout`` seconds have passed without an ICMP error and then a
datagram met none either. It is up only after a datagram that no error answered for a while (:data:`GRACE`), where
PyBal 1.15 took every server for up before it had sent anything. What the server answers does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

from pybal.checks.check import Target
from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, PASSED, Result
from pybal.checks.schedule import Seat
from pybal.checks.udp import UDPCheck
from pybal.config.settings import UDPSettings
from pybal.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.record import Record

GRACE = 3.5
"""Seconds that a datagram's error is waited for, and at most half the interval: that ARP and neighbour discovery found
nobody is known after 3."""


class UDPPlan:
    """The options of one service."""

    name = "UDP"

    def __init__(self, settings: UDPSettings, service: Service, *, engine: Engine, random: Random) -> None:
        del random
        self.settings = settings
        self.port = service.port
        self.engine = engine
        self.grace = min(GRACE, settings.interval / 2)

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> UDP:
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return UDP(self, address, report)


class UDP(Record):
    """Watches one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_erred_at", "_plan", "_seat")

    name = UDPPlan.name

    def __init__(self, plan: UDPPlan, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(report)
        self._plan = plan
        self._check = UDPCheck(plan.engine, Target.of(address, plan.port), plan.grace, self._done)
        self._erred_at = -math.inf
        self._seat: Seat | None = None

    def samples(self) -> Iterable[Sample]:
        return ()

    def start(self) -> None:
        self._seat = self._plan.engine.every(self._plan.settings.interval, self._turn)

    def stop(self) -> None:
        if self._seat is not None:
            self._plan.engine.leave(self._seat)
            self._seat = None
        self._check.cancel()

    def _turn(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: UDPCheck, result: Result) -> None:
        del check
        now = self._plan.engine.now
        self._note(now, result)
        if result.verdict is FAILED:
            self._erred_at = now
            self._failed(result.text, f"{result.phase} {result.cause}", now)
        elif result.verdict is PASSED and now - self._erred_at >= self._plan.settings.icmp_timeout:
            self._passed(now)
