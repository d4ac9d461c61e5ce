"""Requests to the HTTP listener, and the documents that clients and check_pybal read from it."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pybal.client.arguments import read_arguments
from pybal.client.reading import reading_command
from pybal.client.socket import NoReplyError
from pybal.core.model import Snapshot
from pybal.status.routes import Compression, RouteResponse
from tests.fuzz.documents import changed, document
from tests.fuzz.target import Fuzzed, choices, target
from tests.harness.observed_faults import observed_faults
from tests.harness.snapshots import SICK, pool, server, snapshot, status
from tests.harness.status_client import Client, FixedRoutes, factory
from tests.harness.turning_clock import TurningClock

REQUEST = b"GET /alerts HTTP/1.1\r\nHost: localhost\r\n\r\n"
CODES = frozenset((200, 400, 404, 405, 413, 414, 417, 421, 431, 501, 503, 505))
SMALL_ROUTES = FixedRoutes(RouteResponse(b"ok\n"))


@target(
    "pybal.status.listener",
    "pybal.status.connections",
    seeds=[
        choices(REQUEST * 2, 0, 9),
        choices(b"HEAD / HTTP/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip;q=0\r\n\r\n", 0, 0),
        choices(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 1, 3),
        choices(b"GET http://x/%ff?services=1&a HTTP/1.1\r\nHost: [::1]:9090\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 1),
        choices(b"\r\n\r\nGET\r\n" + b"x: y\r\n" * 5, 1, 4),
    ],
    words=("GET ", "HEAD ", " HTTP/1.1\r\n", "Host: ", "Content-Length: ", "Transfer-Encoding: chunked", "Connection: close", "Expect: 100-continue", "\r\n\r\n"),
)  # fmt: skip
def status_request(data: bytes) -> None:
    """Requests cut anywhere have the same responses, complete and of documented codes."""
    fuzzed = Fuzzed(data)
    real = fuzzed.flag()
    pieces = fuzzed.pieces()
    whole, split = _conversation([b"".join(pieces)], real=real), _conversation(pieces, real=real)
    assert whole == split


def _conversation(pieces: list[bytes], *, real: bool) -> list[int]:
    clock = TurningClock()
    with observed_faults(clock) as faults:
        client = Client(factory(clock, status(clock) if real else SMALL_ROUTES))
        received = b""
        for piece in pieces:
            if client.closed:
                break
            client.protocol.dataReceived(piece)
            clock.settle()
            received += client.received()
        clock.settle()
        received += client.received()
        codes = _codes(received)
        client.hang_up()
        for _ in range(400):
            clock.advance(1)
        assert not clock.getDelayedCalls()
        assert not list(faults.alerts()), list(faults.alerts())
    return codes


def _codes(received: bytes) -> list[int]:
    """Return the codes of a series of responses, with complete bodies."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head
        code = int(head[9:12])
        assert code in CODES, head
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if received and not received.startswith(b"HTTP/1."):
            assert len(received) >= size, head
            received = received[size:]
        found.append(code)
    return found


@target(
    "pybal.status.listener",
    seeds=[b"gzip", b"deflate, GZIP ; q=0.5", b"gzip;q=0.000, *", b"x-gzip;q=1", b"gzip;q=0 "],
    words=("gzip", ";q=0", ",", "identity"),
)
def accept_encoding(data: bytes) -> None:
    """A body is compressed if the client accepts it by name, and is the same then."""
    if re.search(rb"[\r\n]", data) or data != data.strip():
        return
    clock = TurningClock()
    routes = FixedRoutes(RouteResponse(iter((b"we", b"b")), compression=Compression.WHOLE))
    client = Client(factory(clock, routes))
    client.protocol.dataReceived(b"GET /x HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: " + data + b"\r\n\r\n")
    clock.settle()
    received = client.received()
    client.hang_up()
    for _ in range(400):
        clock.advance(1)
    if not received.startswith(b"HTTP/1.1 200 "):
        return
    head, _, body = received.partition(b"\r\n\r\n")
    compressed = b"content-encoding: gzip" in head.lower()
    if compressed:
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(body)
        assert unpacker.eof
    assert body == b"web"
    named = [coding.strip() for coding in data.lower().split(b",") if coding.split(b";")[0].strip() == b"gzip"]
    if not named:
        assert not compressed
    if any(re.fullmatch(rb"gzip(\s*;\s*q=(1|1\.0+|0\.\d*[1-9]\d*))?", coding) for coding in named[:1]):
        assert compressed
    if named and re.fullmatch(rb"gzip\s*;\s*q=0(\.0*)?", named[0]):
        assert not compressed


ODD = "a/b c\u00e9\"<>&'"
ROUTES_OF: dict[str, Snapshot] = {
    "odd": snapshot(pool(ODD, server("h\u00f6st<i>"), server("b"))),
    "sick": SICK,
}


@target(
    "pybal.status.routes",
    seeds=[
        *(choices(path, number % 2, number % 3) for number, path in enumerate((
            b"/", b"/alerts", b"/alerts/", b"/pools", b"/pools/web", b"/pools/web/a", b"/metrics", b"/v1/alerts/groups", b"/v1/pools/web/a/explain", b"/v1/ipvs/services",
            b"/v1/bgp", b"/v1/sources", b"/v1/config", b"/v1/loop", b"/v1/status", b"/v1/openapi.json", b"/page/bgp", b"/page/pools/web/a", b"/page/style.css", b"/v1/pools/web/history",
        ))),
        choices(f"/pools/{quote(ODD, safe='')}".encode(), 0, 0),
        choices(b"/pools/%ff%00/..//%2e", 1, 1),
    ],
    words=("/pools/", "/v1/", "/page/", "web", "%2f", "%00", "/explain", "/history", "%ff", quote(ODD, safe="")),
)  # fmt: skip
def status_route(data: bytes) -> None:
    """Any path has a response: JSON is valid, pages hold no markup from a name."""
    fuzzed = Fuzzed(data)
    as_json, shown = fuzzed.flag(), fuzzed.pick(tuple(ROUTES_OF))
    clock = TurningClock()
    response = status(clock, ROUTES_OF[shown]).answer(fuzzed.rest, as_json=as_json)
    assert response.code in (200, 404)
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    if response.content_type == b"application/json":
        json.loads(body)
    elif response.content_type.startswith(b"text/html"):
        assert b"<i>" not in body
        assert body.rstrip().endswith(b"</html>")
    else:
        body.decode()
    if response.code == 404:
        assert len(body) < 200


NAMES = (
    "level", "kind", "text", "service", "data", "alerts", "services", "age", "audit", "foreign", "problem", "interval", "verified", "drift", "audit_age",
    "key", "file", "sha256", "loaded", "changed", "last_reload", "accepted", "problems", "peers", "vips", "enabled", "state", "announced", "peer", "vip",
    "why", "detail", "last_error", "stale", "serving", "total", "groups", "listed", "pooled", "forced", "floor", "up", "unknown", "host", "reports",
)  # fmt: skip
ALERT = {
    "level": "critical",
    "kind": "pooled-down",
    "text": "2 servers",
    "service": "web",
    "data": {"alerts": 2},
    "age": 5.0,
}
VALID: dict[str, object] = {
    "alerts": [ALERT, {**ALERT, "level": "warning", "service": "", "age": None}],
    "ipvs-diff": {"audit": {"problem": None, "age": 1.0, "interval": 15.0}, "services": {"web": {"verified": False, "drift": ["-a"], "audit_age": None, "key": "k"}}, "foreign": ["x"]},
    "config": {"file": "f", "sha256": "5ca1e", "loaded": "2026", "changed": True, "last_reload": {"accepted": False, "problems": ["p"]}},
    "bgp": {"enabled": True, "peers": [{"peer": "10.0.0.1", "state": "IDLE"}], "vips": [{"vip": "10.0.0.2", "announced": False, "why": "below"}]},
    "sources": {"web": {"age": 5.0, "problem": None, "stale": False}},
    "compat": "OK - All pools are healthy\n",
}  # fmt: skip


@cache
def plugin() -> Any:
    """Return the shipped program as a module."""
    loader = SourceFileLoader("check_pybal", str(Path(__file__).parents[3] / "etc" / "icinga" / "check_pybal"))
    spec = spec_from_loader("check_pybal", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules["check_pybal"] = module  # its dataclasses look there
    loader.exec_module(module)
    return module


@target("pybal.client.views", seeds=[bytes([number]) for number in range(12)], longest=200)
def check_pybal(data: bytes) -> None:
    """Any document gives a state and printable lines of bounded length, or is unknown."""
    fuzzed = Fuzzed(data)
    program = plugin()
    name = fuzzed.pick(tuple(VALID))
    wild = fuzzed.number(4) == 3
    shown = document(fuzzed, NAMES) if wild else changed(fuzzed, VALID[name], NAMES)
    limits = program.Limits(
        *(program.Range(fuzzed.pick(("1", "2:", "~:5", "@1:3"))) if fuzzed.flag() else None for _ in range(2))
    )
    try:
        result = program.MODES[name].conclude(json.loads(json.dumps(shown)), limits)
    except program.UnknownError as error:
        result = program.Result(program.UNKNOWN, str(error))
    text = program.output(result)
    first, *lines = text.split("\n")
    assert len(lines) <= program.LINES + 1
    assert result.state in range(4)
    shown_part, _, figures = first.partition(" | ")
    assert "|" not in shown_part
    assert shown_part.isprintable()
    assert re.fullmatch(r"(\w+=[-+.0-9ea-z]*s?;[^ ;|]*;[^ ;|]*;\d*;?\d*( |$))*", figures), figures
    assert all(line.isprintable() and len(line) <= program.WIDTH + 20 for line in lines)


class Documents:
    """A daemon that returns these documents for every path."""

    def __init__(self, documents: Iterator[object]) -> None:
        self._documents = documents

    def text(self, _path: str) -> str:
        return str(next(self._documents))

    def document(self, _path: str) -> Any:
        return next(self._documents)


POOL = {
    "service": "web", "vip": "::1", "protocol": "tcp", "port": 80, "serving": 1, "total": 2, "pooled": 2, "forced": 1, "floor": 1, "up": 1, "unknown": 0, "enabled": 2,
    "listed": True,
    "servers": {"a": {"host": "a", "address": None, "weight": 1, "placement": "forced", "health": "down", "why": "w",
                      "reports": [{"monitor": "M", "up": False, "age": 5.0, "reason_age": 2.0, "reason": "r"}]}},
}  # fmt: skip
STATUS = {"alerts": [ALERT], "services": [POOL], "groups": [ALERT], "dry_run": False, "frozen": None}
BGP = {"vips": [{"vip": "10.0.0.1", "announced": False, "why": "below", "detail": "d", "graceful_shutdown": True}],
       "peers": [{"peer": "10.0.0.2", "state": "IDLE", "last_error": None, "announced": [], "wanted": 1}]}  # fmt: skip
COMMANDS: dict[tuple[str, ...], list[object]] = {
    ("pools",): [{"web": POOL}, [ALERT]],
    ("pools", "web"): [POOL, [ALERT]],
    ("alerts",): [[ALERT]],
    ("status", "--check"): [STATUS],
    ("preflight",): [STATUS, {"web": POOL}, VALID["ipvs-diff"], BGP, VALID["sources"]],
}


@cache
def _options(words: tuple[str, ...]) -> argparse.Namespace:
    return read_arguments(list(words))


@target(
    "pybal.client.views",
    "pybal.client.reading",
    "pybal.client.preflight",
    "pybal.client.terminal",
    seeds=[bytes([number]) for number in range(10)],
    longest=200,
)
def client_documents(data: bytes) -> None:
    """A command shows the documents of a daemon, or refuses those of another program."""
    fuzzed = Fuzzed(data)
    words = fuzzed.pick(tuple(COMMANDS))
    documents = [changed(fuzzed, each, NAMES) for each in COMMANDS[words]]
    options = _options(words)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            reading_command(options, Documents(iter(documents)), {})
        except NoReplyError as error:
            assert str(error)
    assert all(line.isprintable() for line in output.getvalue().splitlines())
