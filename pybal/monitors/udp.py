"""UDP: send an empty datagram at an interval; an ICMP error in response means down.

One error takes a server down. It stays down until ``icmp-timeout`` seconds have passed without an ICMP error and another
datagram has caused no error. A server is up only after a datagram without an error for ``timeout`` seconds (at most half
the interval), because ARP and neighbour discovery fail after 3 seconds; PyBal 1.15 assumed every server up before it had
sent anything. Responses of the server are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from pybal.checks.result import FAILED, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.checks.udp import UDPCheck
from pybal.config.convert import seconds
from pybal.config.option import option
from pybal.core.model import Address, Report
from pybal.monitors.base import NO_SAMPLES, Samples
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval, IntervalMonitor
from pybal.monitors.kind import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPSettings(Interval):
    """Send an empty datagram; an ICMP error in response means down."""

    timeout: float = option(
        3.5, seconds, help="time to wait for an ICMP error after a datagram, in seconds; at most half the interval"
    )
    icmp_timeout: float = option(
        20.0, seconds, help="minimum time that a server stays down after an ICMP error, in seconds"
    )


class UDP(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_erred_at", "_factory")

    name = "UDP"

    def __init__(
        self, factory: Factory[UDPSettings], host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        del host
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._factory = factory
        grace = min(factory.settings.timeout, factory.settings.interval / 2)
        self._check = UDPCheck(factory.engine, Target.of(address, factory.port), grace, self._done)
        self._erred_at = -math.inf

    def samples(self) -> Samples:
        return NO_SAMPLES

    @override
    def stop(self) -> None:
        super().stop()
        self._check.cancel()

    @override
    def run(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: UDPCheck, result: Result) -> None:
        del check
        now = self._factory.engine.now
        self._history.add(now, result)
        if result.verdict is FAILED:
            self._erred_at = now
            self.failed(result.text, f"{result.phase} {result.cause}", now)
        elif result.verdict is PASSED and now - self._erred_at >= self._factory.settings.icmp_timeout:
            self.passed(now)


KIND = Kind("UDP", UDPSettings, monitor=UDP)
