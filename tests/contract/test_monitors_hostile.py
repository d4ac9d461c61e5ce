"""Every kind of monitor and hostile servers: the loop is never held, and the check ends with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pybal.config.pattern import Pattern
from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.grpc import GRPCSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import KINDS
from pybal.monitors.mysql import MySQLSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.redis import RedisSettings
from pybal.monitors.runcommand import RunCommandSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.tls import TLSSettings
from pybal.monitors.udp import UDPSettings
from tests.harness.certificates import self_signed
from tests.harness.fake_dns_server import answer, framed
from tests.harness.hostile_server import Datagrams, HostileServer, Talk, drip, flood, tls_flood
from tests.harness.http2_answers import SETTINGS, frame

HELD = 0.05
"""CPU seconds of one call of the engine, at most."""
TIMEOUT = 2.0

FETCH = ProxyFetchSettings(("http://www.test/",), timeout=TIMEOUT)
SECURE = ProxyFetchSettings(("https://www.test/",), timeout=TIMEOUT)
SEARCH = ProxyFetchSettings(("http://www.test/",), timeout=TIMEOUT, body_regex=Pattern("[ab]*a[ab]{100}c"))
GRPC = GRPCSettings(timeout=TIMEOUT)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO_REQUEST = b"\x16\x03\x03\x40\x00" + bytes(16384)
SERVER_HELLO = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + bytes(32) + b"\x00\xc0\x2f\x00"
GARBAGE = Random(1).randbytes(65536)
RESPONSE_HEADERS = frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc")
MYSQL_GREETING = b"\x25\0\0\0\x0a5.0\0" + bytes(32)

TCP: dict[str, tuple[MonitorSettings, Callable[[], Talk]]] = {
    "http headers": (FETCH, flood(HEAD, b"X-A: b\r\n")),
    "http short headers": (FETCH, flood(HEAD, b"a\n")),
    "http interim responses": (FETCH, flood(b"", b"HTTP/1.1 100 A\r\n\r\n")),
    "http body": (FETCH, flood(HEAD + b"\r\n", bytes(65536))),
    "http chunks of one byte": (FETCH, flood(CHUNKED, b"1\na\n")),
    "http chunk extensions": (FETCH, flood(CHUNKED, b"1;" + b"x" * 4000 + b"\r\na\r\n")),
    "http chunk size": (FETCH, flood(CHUNKED, b"0")),
    "http trailers": (FETCH, flood(CHUNKED + b"0\r\n", b"a:\r\n")),
    "http empty lines": (FETCH, flood(b"", b"\r\n")),
    "http garbage": (FETCH, flood(b"", GARBAGE)),
    "http drip of headers": (FETCH, drip(HEAD, b"X-A: b\r\n")),
    "http drip of chunks": (FETCH, drip(CHUNKED, b"1\r\na\r\n")),
    "http body for a pattern": (SEARCH, flood(HEAD + b"\r\n", bytes(Random(1).choices(b"ab", k=65536)))),
    "http chunks for a pattern": (SEARCH, flood(CHUNKED, b"1\na\n1\nb\n1\na\n")),
    "https hello requests": (SECURE, flood(b"", HELLO_REQUEST)),
    "https server hellos": (SECURE, flood(b"", SERVER_HELLO)),
    "https warnings": (SECURE, flood(b"", b"\x15\x03\x03\x00\x02\x01\x5a")),
    "https empty records": (SECURE, flood(b"", b"\x16\x03\x03\x00\x00")),
    "https certificate without end": (SECURE, flood(SERVER_HELLO + b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff", GARBAGE)),
    "https garbage": (SECURE, flood(b"", GARBAGE)),
    "https drip": (SECURE, drip(b"", HELLO_REQUEST)),
    "tls hello requests": (TLSSettings(timeout=TIMEOUT), flood(b"", HELLO_REQUEST)),
    "tls hello requests, a record each": (
        TLSSettings(timeout=TIMEOUT),
        flood(b"", b"\x16\x03\x03\x00\x04" + bytes(4)),
    ),
    "grpc hello requests": (GRPCSettings(timeout=TIMEOUT, tls=True), flood(b"", HELLO_REQUEST)),
    "grpc settings": (GRPC, flood(SETTINGS, SETTINGS)),
    "grpc many settings": (
        GRPC,
        flood(SETTINGS, frame(4, 0, 0, b"".join(n.to_bytes(2, "big") + b"\0\0\0\1" for n in range(10, 2740)))),
    ),
    "grpc pings": (GRPC, flood(SETTINGS, frame(6, 0, 0, bytes(8)))),
    "grpc window updates": (GRPC, flood(SETTINGS, frame(8, 0, 0, b"\0\0\0\1"))),
    "grpc unknown frames": (GRPC, flood(SETTINGS, frame(0x77, 0, 0, b""))),
    "grpc empty data": (GRPC, flood(SETTINGS + RESPONSE_HEADERS, frame(0, 0, 1, b""))),
    "grpc data": (GRPC, flood(SETTINGS + RESPONSE_HEADERS, frame(0, 0, 1, bytes(16384)))),
    "grpc continuations": (GRPC, flood(SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b""))),
    "grpc large headers": (GRPC, flood(SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b"\x82" * 16000))),
    "grpc header table sizes": (GRPC, flood(SETTINGS, frame(1, 4, 1, b"\x3f\xe1\x1f" * 5000 + b"\x88"))),
    "grpc pushes": (GRPC, flood(SETTINGS, frame(5, 4, 1, b"\0\0\0\2\x82\x87\x84\x41\1a"))),
    "grpc graceful ends": (GRPC, flood(SETTINGS, frame(7, 0, 0, b"\x7f\xff\xff\xff" + bytes(4)))),
    "grpc garbage": (GRPC, flood(b"", GARBAGE)),
    "grpc drip": (GRPC, drip(SETTINGS, SETTINGS)),
    "tcp data without the expected text": (
        TCPConnectSettings(timeout=TIMEOUT, expect=b"220 ready"),
        flood(b"", b"220 read", asked=False),
    ),
    "tcp drip": (TCPConnectSettings(timeout=TIMEOUT, expect=b"220 ready"), drip(b"", b"220 read")),
    "mysql packets": (
        MySQLSettings(timeout=TIMEOUT, user="pybal"),
        flood(MYSQL_GREETING + b"\1\0\0\2\0", b"\1\0\0\3\0", asked=False),
    ),
    "mysql greeting without end": (MySQLSettings(timeout=TIMEOUT), flood(b"\0\x10\0\0\x0a", b"5", asked=False)),
    "mysql garbage": (MySQLSettings(timeout=TIMEOUT), flood(b"", GARBAGE, asked=False)),
    "mysql drip": (MySQLSettings(timeout=TIMEOUT), drip(b"\0\x10\0\0\x0a", b"5")),
    "redis bulk string": (RedisSettings(timeout=TIMEOUT), flood(b"$65536\r\n", b"a")),
    "redis line": (RedisSettings(timeout=TIMEOUT), flood(b"+", b"a")),
    "redis garbage": (RedisSettings(timeout=TIMEOUT), flood(b"", GARBAGE)),
    "redis drip": (RedisSettings(timeout=TIMEOUT), drip(b"$65536\r\n", b"a")),
}
"""Servers that no check of TCP may pass."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path)


def fails(server: HostileServer, *, paced: bool = False) -> str:
    """Return the reason of the failure that the monitor reports in time."""
    with server:
        server.run(TIMEOUT + 2.0, paced=paced)
    assert [report.up for report in server.reports] == [False]
    assert server.longest_hold < HELD, server.reports
    return server.reports[0].reason


@pytest.mark.parametrize("name", TCP)
def test_hostile_server_holds_no_turn_and_is_down_with_a_reason(name: str) -> None:
    settings, talk = TCP[name]
    assert fails(HostileServer(settings, talk))


@pytest.mark.parametrize(
    ("settings", "unit", "protocol", "tickets"),
    [
        (SECURE, b"", "", 3000),
        (GRPCSettings(timeout=TIMEOUT, tls=True), b"", "h2", 3000),
        (SECURE, b"x", "", 2),
        (SECURE, b"X-A: b\r\n", "", 2),
        (SECURE, bytes(16384), "", 2),
    ],
    ids=["tickets", "tickets to gRPC", "records of a byte", "records of a header", "large records"],
)
def test_hostile_server_over_tls_holds_no_turn_and_is_down_with_a_reason(
    certificate: Path, settings: MonitorSettings, unit: bytes, protocol: str, tickets: int
) -> None:
    assert fails(HostileServer(settings, tls_flood(certificate, unit, protocol=protocol, tickets=tickets)))


def truncated(query: bytes) -> list[bytes]:
    return [answer(query, truncated=True)]


@pytest.mark.parametrize(
    ("datagrams", "talk"),
    [
        (lambda query: [answer(query, number=1)] * 1000, None),
        (lambda query: [GARBAGE[:60000]] * 100, None),
        (lambda query: [query[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + query[12:] + bytes(60000)] * 10, None),
        (truncated, flood(b"", bytes(65536))),
        (truncated, flood(b"", framed(bytes(12)))),
        (truncated, flood(b"\xff\xff", bytes(65536))),
        (truncated, drip(b"", b"\xff")),
    ],
    ids=["other numbers", "garbage", "many records", "empty messages", "short messages", "zeros", "drip"],
)
def test_hostile_dns_server_holds_no_turn_and_is_down_with_a_reason(
    datagrams: Datagrams, talk: Callable[[], Talk] | None
) -> None:
    settings = DNSQuerySettings(("www.test",), timeout=TIMEOUT)
    assert fails(HostileServer(settings, talk, datagrams))


@pytest.mark.parametrize(
    ("settings", "talk", "datagrams"),
    [
        (IdleConnectionSettings(), flood(b"", bytes(65536), asked=False), None),
        (UDPSettings(timeout=TIMEOUT), None, lambda _: [GARBAGE[:60000]] * 100),
    ],
    ids=["IdleConnection", "UDP"],
)
def test_flood_to_a_check_that_reads_nothing_holds_no_turn(
    settings: MonitorSettings, talk: Callable[[], Talk] | None, datagrams: Datagrams | None
) -> None:
    with HostileServer(settings, talk, datagrams) as server:
        server.run(TIMEOUT + 2.0, until_report=False)
    assert [report.up for report in server.reports] == [True]
    assert server.longest_hold < HELD


def test_flood_of_a_command_holds_no_turn_and_is_down_with_a_reason() -> None:
    assert fails(HostileServer(RunCommandSettings(command="/usr/bin/yes", timeout=TIMEOUT)), paced=True)


def test_kinds_all_have_a_hostile_server() -> None:
    """ICMP has none: the kernel answers, and the check reads datagrams like those of DNS and UDP."""
    tested = {type(settings) for settings, _ in TCP.values()}
    tested |= {DNSQuerySettings, IdleConnectionSettings, UDPSettings, RunCommandSettings}
    assert {name for name, kind in KINDS.items() if kind.settings not in tested} == {"ICMP"}
