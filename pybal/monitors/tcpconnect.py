"""TCPConnect: connect to a server at an interval; optionally send a request and expect a response."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from pybal.checks.socket_check import Target, TCPCheck
from pybal.checks.tcpconnect import ExpectCheck
from pybal.config.convert import octets
from pybal.config.option import option
from pybal.monitors.diagnosis import Done, FollowUps
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, TCPSettings


@dataclass(frozen=True, slots=True)
class TCPConnectSettings(TCPSettings):
    """Connect over TCP; optionally send a request and expect a response."""

    send: bytes = option(b"", octets, help=r"text to send, in quotes; \r, \n, \t, \0 and \xff stand for bytes")
    expect: bytes = option(
        b"",
        octets,
        help="text that must occur in the first 64 KiB of the response, written like send; without it any response to send passes",
    )

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> TCPCheck | ExpectCheck:
        del host
        if not self.send and not self.expect:
            return TCPCheck(factory.engine, target, self.timeout, done)
        return ExpectCheck(factory.engine, target, self.timeout, done, send=self.send, expect=self.expect)

    @override
    def follow_ups(self, factory: Factory[Interval], target: Target, done: Done) -> FollowUps:
        del factory, target, done
        return iter(())


KIND = Kind("TCPConnect", TCPConnectSettings, duration="Duration of the last check, by result")
