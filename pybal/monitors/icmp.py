"""ICMP: send an echo request at an interval; a reply means up."""

from __future__ import annotations

from dataclasses import dataclass
from socket import AF_INET

from typing_extensions import override

from pybal.checks.icmp import ICMPCheck, echo_socket
from pybal.checks.socket_check import Target
from pybal.core.model import Service
from pybal.monitors.factory import Factory, MonitorRefusal
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, PeriodicSettings


@dataclass(frozen=True, slots=True)
class ICMPSettings(PeriodicSettings):
    """Send an echo request ("ping"); a reply means that the machine is up, not its service."""

    @override
    def port_of(self, service: Service) -> int:
        del service
        return 0

    @override
    def refusal(self, prefix: str) -> MonitorRefusal | None:
        del prefix
        try:
            echo_socket(AF_INET).close()
        except OSError as error:
            wanted = "CAP_NET_RAW, or our group in the sysctl net.ipv4.ping_group_range"
            return MonitorRefusal("monitors", f"ICMP ({error.strerror})", wanted)
        return None

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> ICMPCheck:
        del host
        return ICMPCheck(factory.engine, target, self.timeout, done, random=factory.random)


KIND = Kind("ICMP", ICMPSettings, duration="Duration of the last echo, by result")
