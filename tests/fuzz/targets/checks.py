"""Responses of checked servers: bytes for the parsers, and whole conversations for the checks."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckResponse

from pybal.checks import grpc_health, mysql, redis
from pybal.checks.command_output import LONGEST_LINE, last_line, lines
from pybal.checks.icmp import is_echo_reply
from pybal.checks.result import CheckFailed
from pybal.checks.tls_handshake import not_after
from pybal.config.expression import PatternError
from pybal.config.pattern import Pattern
from pybal.http.tls_errors import tls_reason
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.grpc import GRPCSettings
from pybal.monitors.mysql import MySQLSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.redis import RedisSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.tls import TLSSettings
from tests.fuzz.target import Fuzzed, choices, is_line, target
from tests.harness.clock_reactor import ClockReactor
from tests.harness.hostile_server import HostileServer, Talk
from tests.harness.http2_answers import SETTINGS, serving
from tests.harness.observed_faults import observed_faults

GREETING = b"\x4a\0\0\0\x0a8.0\0\1\0\0\0abcdefgh\0\xff\xf7" + bytes(48)


def failed(error: CheckFailed) -> str:
    """Return the reason of a failure, which is a line with a short cause."""
    is_line(str(error), 400)
    is_line(error.cause, 300)
    return str(error)


@target(
    "pybal.checks.mysql",
    seeds=[choices(GREETING, 9), choices(b"\x13\0\0\0\xff\x15\4#42000denied", 0), b"\7\0\0\1\0\0\0\2\0\0\0\0"],
)
def mysql_packets(data: bytes) -> None:
    """Packets are split in the same way wherever they are cut, and none is longer than the limit."""
    fuzzed = Fuzzed(data)
    pieces = fuzzed.pieces()
    whole, split = _packets([b"".join(pieces)]), _packets(pieces)
    assert whole == split
    for payload in whole:
        if isinstance(payload, str):
            continue
        assert 0 < len(payload) <= mysql.PAYLOAD_LIMIT
        with suppress(CheckFailed):
            capabilities = mysql.read_greeting(payload)
            assert 0 <= capabilities < 1 << 16
            made = mysql.login("pybal", capabilities)
            assert mysql.split(made) == (made[4:], b"")
        try:
            mysql.read_greeting(payload)
        except CheckFailed as error:
            failed(error)
        try:
            mysql.check_login(payload)
        except CheckFailed as error:
            failed(error)


def _packets(pieces: list[bytes]) -> list[bytes | str]:
    found: list[bytes | str] = []
    buffer = b""
    for piece in pieces:
        buffer += piece
        try:
            while (first := mysql.split(buffer)) is not None:
                payload, buffer = first
                found.append(payload)
        except CheckFailed as error:
            failed(error)  # its text has the bytes that had arrived
            return [*found, "refused"]
    return found


@target(
    "pybal.checks.redis",
    seeds=[
        choices(b"+PONG\r\n$13\r\nrole:master\r\n\r\n", 0),
        choices(b"-NOAUTH Authentication required.\r\n", 5),
        choices(b"$65537\r\n$-1\r\n$3\r\nabcd", 7),
        choices(b"$20\r\n# R\r\nrole:slave\r\nx\r\n\r\n", 0),
    ],
)
def redis_replies(data: bytes) -> None:
    """Replies are split in the same way wherever they are cut; an accepted reply survives its encoding."""
    fuzzed = Fuzzed(data)
    pieces = fuzzed.pieces()
    whole, split = _replies([b"".join(pieces)]), _replies(pieces)
    assert whole == split
    for reply in whole:
        if reply is None:
            continue
        for name in ("PING", "AUTH", "INFO"):
            for role in redis.Role:
                try:
                    redis.check(name, reply, role)
                except CheckFailed as error:
                    failed(error)
        if not reply.error and len(reply.text) <= redis.BULK_LIMIT:
            again = b"$%d\r\n%b\r\n" % (len(reply.text), reply.text)
            assert redis.split(again + b"x") == (reply, b"x")


def _replies(pieces: list[bytes]) -> list[redis.Reply | None]:
    found: list[redis.Reply | None] = []
    buffer = b""
    for piece in pieces:
        buffer += piece
        try:
            while (first := redis.split(buffer)) is not None:
                reply, buffer = first
                found.append(reply)
        except CheckFailed as error:
            failed(error)
            return [*found, None]
    return found


@target(
    "pybal.checks.grpc_health",
    seeds=[b"\0\0\0\0\2\x08\1", b"\0\0\0\0\0", b"\1\0\0\0\2\x08\1", b"\0\0\0\0\x0b\x08\2\x12\3abc\x1d\0\0\0\0"],
    longest=128,
)
def grpc_status(data: bytes) -> None:
    """A status is that of protobuf's own parser."""
    try:
        found = grpc_health.status(data)
    except ValueError as error:
        is_line(str(error), 100)
        return
    is_line(found, 40)
    is_line(grpc_health.code_name(data.decode("latin-1")), 120)
    theirs = HealthCheckResponse()
    with suppress(DecodeError):
        theirs.ParseFromString(data[5:])
        number = theirs.status % (1 << 64) if theirs.status < 0 else theirs.status
        # Protobuf keeps 32 bits of an enumeration.
        shown = grpc_health.STATUSES[number] if number < len(grpc_health.STATUSES) else f"status {number}"
        assert found == shown or int(found.removeprefix("status ")) >= 1 << 31
    assert grpc_health.request(found)[5:7] == b"\x0a" + bytes((len(found),))


@target(
    "pybal.checks.icmp",
    seeds=[b"\x45" + bytes(19) + bytes(8) + b"n" * 16 + b"\0", bytes(8) + b"n" * 16 + b"\1"],
    longest=128,
)
def icmp_packet(data: bytes) -> None:
    """Only a packet with our data is a reply; a second implementation agrees."""
    fuzzed = Fuzzed(data)
    ip_header, kind = fuzzed.flag(), fuzzed.pick((0, 129))
    packet, nonce = fuzzed.rest, b"n" * 16
    found = is_echo_reply(packet, kind, nonce, ip_header=ip_header)
    offset = (packet[0] & 15) * 4 if ip_header and packet else 0
    assert found == (packet[offset:][8:] == nonce and packet[offset] == kind)
    echo = bytes((kind,)) + bytes(7) + nonce
    assert is_echo_reply(echo, kind, nonce, ip_header=False)
    assert is_echo_reply(b"\x45" + bytes(19) + echo, kind, nonce, ip_header=True)


@target("pybal.checks.tls_handshake", seeds=[b"\x30\x03\2\1\1"], longest=2048)
def certificate(data: bytes) -> None:
    """The expiry of a certificate has a time zone, or cannot be parsed."""
    found = not_after(data)
    assert found is None or (isinstance(found, datetime) and found.tzinfo is not None)


@target("pybal.checks.command_output", seeds=[b"ok\n\n\xff\x1b[31mred\r\nlast \n \n", b"x" * 300])
def command_output(data: bytes) -> None:
    """The last line of a command is short and printable."""
    found = lines(data)
    assert all(line.isprintable() for line in found)
    last = last_line(data)
    assert last.isprintable()
    assert len(last) <= LONGEST_LINE
    assert bool(last) == bool(data.strip())
    assert not found or last in (found[-1], f"{found[-1][: LONGEST_LINE - 1]}…")


@target(
    "pybal.config.expression",
    "pybal.config.pattern",
    seeds=[
        choices(b"ab12\n\0^(a|b+)*[^c-e]{1,3}?\\d$", 3),
        choices(b"AB\0(?i)a.?(?:b|)\\x0a", 0),
        choices(b"x\0[]a-]\\W\\.{2,}", 1),
    ],
    longest=80,
    words=("(?i)", "(?:", "[^", "{1,2}", "{0}", "\\d", "\\W", "\\x61", "*?", "+?", "|", "^", "$", "]"),
)
def pattern_search(data: bytes) -> None:
    """A pattern finds what Python's expression finds, in a body cut anywhere."""
    fuzzed = Fuzzed(data)
    pieces = fuzzed.pieces()
    body, _, text = b"".join(pieces).partition(b"\0")
    try:
        pattern = Pattern(text.decode("latin-1"))
    except PatternError as error:
        is_line(ascii(str(error)), 200)
        return
    search = pattern.search()
    for piece in pieces:
        if b"\0" in piece:
            search.feed(piece[: piece.index(b"\0")])
            break
        search.feed(piece)
    found = search.end()
    again = pattern.search()
    again.feed(body)
    assert again.end() == found
    # Python takes exponential time for nested repetitions.
    if len(re.findall(rb"[*+?{]", text)) <= 4 and len(body) <= 16 and not re.search(rb"[0-9]{3}", text):
        with warnings.catch_warnings(action="ignore"):  # about sets that look nested
            assert found == bool(re.search(text, body))


@target("pybal.http.tls_errors", seeds=[b"WRONG_VERSION_NUMBER\0", b"Hostname mismatch.\1", b"\2", b"EE certificate\1"])
def tls_error(data: bytes) -> None:
    """Any error of TLS has a reason; another error has none."""
    fuzzed = Fuzzed(data)
    kind = fuzzed.number(3)
    text = fuzzed.rest.decode("latin-1")
    error = ssl.SSLCertVerificationError(text or "x") if kind == 1 else ssl.SSLError(1, text or "x")
    error.reason = text  # as ssl sets them
    if kind == 1:
        error.verify_message = text  # type: ignore[attr-defined]
    if kind == 2:
        assert not tls_reason(ValueError(text))
    elif text != ".":
        assert tls_reason(error)


def scripted(pieces: list[bytes], *, closes: bool) -> Callable[[], Talk]:
    """Return connections that send these pieces and then close, or remain silent."""

    def talk() -> Talk:
        yield b""
        for piece in pieces:  # noqa: UP028  # a list takes no bytes received
            yield piece
        while not closes:
            yield b""

    return talk


def conclusive(settings: MonitorSettings, data: bytes) -> None:
    """Run a check of a server that sends the data.

    It ends in time, with a line as its reason, and without an internal error.
    """
    fuzzed = Fuzzed(data)
    closes = fuzzed.flag()
    pieces = fuzzed.pieces()[:60]
    with observed_faults(ClockReactor()) as faults:
        server = HostileServer(settings, scripted(pieces, closes=closes))
        server.monitor.start()
        try:
            server.run(4.0)
        finally:
            server.__exit__(
                None, None, None
            )  # entering it would collect garbage first, which takes longer than the check
        assert not list(faults.alerts()), list(faults.alerts())
    for report in server.reports:
        if not report.up:
            is_line(report.reason, 500)
            is_line(report.cause, 400)
    assert len(server.reports) == 1, server.reports


@target(
    "pybal.checks.grpc",
    seeds=[choices(serving(), 0, 9), choices(SETTINGS, 1, 1), choices(b"HTTP/1.1 400 Bad\r\n\r\n", 0, 3)],
)
def check_grpc(data: bytes) -> None:
    """The frames of HTTP/2 that a gRPC server sends."""
    conclusive(GRPCSettings(timeout=1.0), data)


@target("pybal.checks.mysql", seeds=[choices(GREETING + b"\7\0\0\2\0\0\0\2\0\0\0", 0, 9)])
def check_mysql(data: bytes) -> None:
    """The packets that a MySQL server sends."""
    conclusive(MySQLSettings(timeout=1.0, user="pybal"), data)


@target("pybal.checks.redis", seeds=[choices(b"+PONG\r\n$13\r\nrole:master\r\n\r\n", 0, 9)])
def check_redis(data: bytes) -> None:
    """The replies that a Redis server sends."""
    conclusive(RedisSettings(timeout=1.0, role=redis.Role.MASTER), data)


@target("pybal.checks.tls", "pybal.checks.tls_handshake", seeds=[
    choices(b"\x15\x03\x03\x00\x02\x02\x28", 1, 9),
    choices(b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + bytes(32) + b"\x00\xc0\x2f\x00", 0, 3),
    choices(b"HTTP/1.1 400 Bad\r\n\r\n", 1, 0),
])  # fmt: skip
def check_tls(data: bytes) -> None:
    """The records that a TLS server sends."""
    conclusive(TLSSettings(timeout=1.0), data)


@target(
    "pybal.http.message",
    seeds=[choices(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0, 9)],
)
def check_http(data: bytes) -> None:
    """The response that a web server sends."""
    conclusive(ProxyFetchSettings(("http://www.test/",), timeout=1.0, body_regex=Pattern("o+k")), data)


@target("pybal.checks.tcpconnect", seeds=[choices(b"220 ready", 0, 9), choices(b"22", 1, 0)])
def check_tcp(data: bytes) -> None:
    """The greeting that a server sends."""
    conclusive(TCPConnectSettings(timeout=1.0, expect=b"220 ready"), data)
