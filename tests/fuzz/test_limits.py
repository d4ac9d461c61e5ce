"""Time and memory of each parser at its limit of size, for inputs that are hard for it.

tests/property/test_streams_linear.py has those of HTTP, MySQL, Redis, DNS and patterns, tests/unit/test_config_limits.py that of
pybal.conf, tests/contract/test_monitors_hostile.py those of whole checks.
"""

from __future__ import annotations

import gc
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest

from pybal.bgp.exabgp import events
from pybal.bgp.notification import describe
from pybal.checks import grpc_health
from pybal.checks.command_output import KEPT, last_line
from pybal.checks.grpc import MESSAGE_LIMIT
from pybal.checks.icmp import is_echo_reply
from pybal.checks.tls_handshake import not_after
from pybal.config.keepalived.convert import convert
from pybal.config.keepalived.syntax import LARGEST as LARGEST_KEEPALIVED
from pybal.config.keepalived.syntax import SyntaxLimitError
from pybal.control.wire import LONGEST_REQUEST, RequestError, read_request
from pybal.http.echo import Secrets
from pybal.http.errors import ProtocolError
from pybal.ipvs.codec import decode_service
from pybal.ipvs.framing import answer, attribute, messages, outcome
from pybal.ipvs.ipvsadm_output import table
from pybal.monitors.kinds import KINDS
from pybal.resolve.servers import nameservers
from pybal.runtime.lines import LineSplitter, LineTooLong
from pybal.sources.base import SourceError
from pybal.sources.etcd import v2wire, v3wire
from pybal.sources.etcd.conftool import parse_value
from pybal.sources.etcd.responses import LARGEST as LARGEST_ETCD
from pybal.sources.file_poll import LARGEST as LARGEST_FILE
from pybal.sources.formats.entry import Refused
from pybal.sources.formats.text import Format, parsing
from pybal.sources.formats.yaml import LARGEST as LARGEST_YAML
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.source import LARGEST_EVENT, LARGEST_PAGE
from tests.fuzz.scratch import scratch_folder
from tests.harness.snapshots import status
from tests.harness.status_client import Client, factory
from tests.harness.turning_clock import TurningClock

HELD = 0.05
"""CPU seconds for which a parser may hold the loop."""
NOISE = 0.03
"""CPU seconds that a short measurement may take longer beside guests."""
ATTEMPTS = 2
REFUSALS = (
    SourceError,
    RequestError,
    Refused,
    LineTooLong,
    SyntaxLimitError,
    ProtocolError,
    ValueError,
    KeyError,
    struct.error,
)

Steps = Callable[[bytes], Iterable[object]]
Shape = tuple[bytes, bytes, bytes]
"""The beginning of an input, the part that fills it, and its end."""


class Limit(NamedTuple):
    """A parser in steps, its limit in bytes, and inputs.

    ``turns`` is false if it runs in a thread or a command. ``memory`` is the most memory for each byte.
    """

    steps: Steps
    size: int
    shapes: Sequence[Shape]
    turns: bool = True
    memory: float = 8.0


def once(call: Callable[[bytes], object]) -> Steps:
    """Return the steps of a parser that has one."""

    def steps(data: bytes) -> Iterator[object]:
        yield call(data)

    return steps


JSON: Sequence[Shape] = (
    (b'["', b"a", b'"]'), (b'["', b"\\u0041", b'"]'), (b'["', b"\xc3\xa9", b'"]'), (b"[", b"1", b"]"), (b"[1.", b"1", b"]"), (b"", b" ", b""),
    (b"", b"a ", b""), (b"", b"[", b""), (b"", b'{"a":', b""), (b"[", b"[],", b"[]]"), (b"{", b'"aaaaaaaa":1,', b'"":1}'), (b'{"', b"a", b'":1}'), (b"\xff\xfe", b"\0", b""),
)  # fmt: skip
HARD = (JSON[0], JSON[4], JSON[6], JSON[9])
"""The slowest of these inputs."""
NODE = b'{"metadata":{"name":"%s","resourceVersion":"1"}},'
KEY = b'{"key":"YQ==","value":"' + b"e30=" * 100 + b'","mod_revision":"1"},'
LEAF = b'{"key":"/p/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","value":"' + b"x" * 400 + b'","modifiedIndex":1},'


def exabgp_lines(data: bytes) -> Iterator[object]:
    """Feed pieces of the size of a read; each has at most 100 lines in one turn."""
    lines = LineSplitter(events.LONGEST_LINE, truncate=True)
    for at in range(0, len(data), 1 << 16):
        found = lines.feed(data[at : at + (1 << 16)])
        for count, line in enumerate(found, 1):
            events.read(line)
            if not count % 100:
                yield None
        yield None


def requests(data: bytes) -> Iterator[object]:
    """Send a request in reads of 16 KiB; yield after each turn of the loop."""
    clock = TurningClock()
    client = Client(factory(clock, status(clock)))
    for at in range(0, len(data), 1 << 14):
        if client.closed:
            break
        client.protocol.dataReceived(data[at : at + (1 << 14)])
        yield None
        while any(call.getTime() <= clock.seconds() for call in clock.calls):
            clock.turn()
            yield None
        client.received()
    client.hang_up()


def netlink(data: bytes) -> Iterator[object]:
    for message in messages(data):
        with suppress(*REFUSALS):
            outcome(message)
        with suppress(*REFUSALS):
            decode_service(answer(message))
    yield None


def guarded(data: bytes) -> Iterator[object]:
    guard = Secrets({"Authorization": "Bearer " + "ab" * 40}, ["ab" * 30 + "&<x"]).guarded(lambda _: None)
    for at in range(0, len(data), 1 << 14):
        yield guard(data[at : at + (1 << 14)])


def hosts(data: bytes) -> object:
    from pybal.resolve.system_file import SystemFile  # noqa: PLC0415
    from pybal.runtime.file_values import inline  # noqa: PLC0415
    from tests.harness.immediate import result_of  # noqa: PLC0415

    with scratch_folder() as folder:
        (folder / "f").write_bytes(data)
        return result_of(SystemFile(inline(TurningClock()), str(folder / "f"), nameservers).content())


def lists(form: Format) -> Steps:
    return lambda data: parsing(data, "pool", (), form)


NETLINK = struct.pack("=IHHII", 16, 35, 0, 1, 0)
LIMITS = {
    "etcd2 directory": Limit(
        lambda data: v2wire.parsing_directory("/p", 200, data, "7"), LARGEST_ETCD,
        [*HARD, (b'{"node":{"dir":true,"nodes":[', LEAF, b'{"key":"/p/z"}]}}'), (b'{"node":' + b'{"dir":true,"nodes":[' * 150, LEAF, b'{"key":"/p/z"}' + b"]}" * 150 + b"}")],
    ),
    "etcd2 change": Limit(once(lambda data: v2wire.parse_change(200, data)), LARGEST_ETCD, HARD),
    "etcd3 range": Limit(
        v3wire.parsing_range, LARGEST_ETCD,
        [*JSON, (b'{"header":{"cluster_id":"1","revision":"1"},"kvs":[', KEY, KEY[:-1] + b"]}"),
         (b'{"header":{"cluster_id":"1","revision":"1"},"kvs":[{"key":"', b"YQ==", b'","mod_revision":"1"}]}')],
    ),
    "etcd3 watch": Limit(once(v3wire.parse_watch), LARGEST_ETCD, [*HARD, (b'{"error":"', b"a ", b'"}'), (b'{"result":{"canceled":true,"cancel_reason":"', b"a ", b'"}}')]),
    "etcd3 error": Limit(once(lambda data: v3wire.parse_error(400, data)), LARGEST_ETCD, [*HARD, (b'{"message":"', b"\\n", b'"}')]),
    "kubernetes page": Limit(
        once(wire.page), LARGEST_PAGE,
        [*JSON, (b'{"kind":"NodeList","metadata":{"resourceVersion":"1"},"items":[', NODE % (b"n" * 9000), NODE[:-1] % b"n" + b"]}"),
         (b'{"kind":"NodeList","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"', b"\\n", b'","resourceVersion":"1"}}]}')],
    ),
    "kubernetes event": Limit(once(wire.event), LARGEST_EVENT, [*HARD, (b'{"type":"ADDED","object":{"metadata":{"name":"', b"\\u0001", b'","resourceVersion":"1"}}}')]),
    "kubernetes error": Limit(once(lambda data: wire.error_response(403, data)), LARGEST_PAGE, [*HARD, (b'{"kind":"Status","message":"', b"\\n", b'"}')]),
    "conftool value": Limit(once(lambda data: parse_value("a", data.decode("latin-1"))), 1 << 20, HARD),
    "list of lines": Limit(
        lists(Format.LINES), LARGEST_FILE,
        [(b"", b"\n", b""), (b"", b"a\n", b""), (b"", b"{'host': 'a'}\n", b""), (b"{", b"'a':1,", b"}\n"), (b"", b"{ 'host'", b""), (b"", b"x" * 8000 + b"\n", b""),
         (b"", b"{'wieght': 1, 'hsot': 'b'}\n", b""), (b"", b"host: a, weight: 1; ", b"\n")],
        memory=40,
    ),
    "list in JSON": Limit(lists(Format.JSON), LARGEST_FILE, [*HARD, (b"{", b'"a":{},', b'"b":{}}'), (b"{", b'"a":' + b"[" * 900 + b"]" * 900 + b",", b'"b":{}}')], memory=40),
    "list in YAML": Limit(
        lists(Format.YAML), LARGEST_YAML,
        [(b"", b"\n", b""), (b"", b"a: {}\n", b""), (b"- ", b"a ", b""), (b"", b"- &a *a\n", b""), (b"", b"[", b""), (b"", b"? ", b""), (b"a: |\n", b"  x\n", b""), (b"", b"%", b""), (b"#", b"#", b"")],
        memory=60,
    ),
    "exabgp lines": Limit(
        exabgp_lines, 1 << 18,
        [(b"", b"\n", b""), (b"", b"done\n", b""), (b"", b"{", b""), (b"", b'{"type":"fsm"}\n', b""), (b'{"type":"', b"x", b"\n"),
         (b'{"type":"update","neighbor":{"address":{"peer":"10.0.0.1"},"direction":"send","message":{"update":{"withdraw":{"x":[', b'"10.0.0.1/32",', b'"10.0.0.2/32"]}}}}}\n')],
        memory=40,
    ),
    "notification": Limit(once(lambda data: describe(6, 2, data)), events.LONGEST_LINE // 2, [(b"Shutdown Communication: ", b"\xff", b""), (b"Shutdown Communication: ", b"\n", b"")], memory=30),
    "control request": Limit(once(read_request), LONGEST_REQUEST, [*HARD, (b'{"version":1,"command":"', b"a", b'"}'), (b'{"version":"', b"\\n", b'"}')], memory=40),
    "status requests": Limit(
        requests, 1 << 16,
        [(b"GET /", b"%", b" HTTP/1.1\r\n\r\n"), (b"GET / HTTP/1.1\r\n", b"a: b\r\n", b"\r\n"), (b"", b"\r\n", b""), (b"", b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
         (b"GET /metrics HTTP/1.1\r\nAccept-Encoding: ", b"gzip;q=0,", b"\r\n\r\n"), (b"GET /?", b"services=1&", b" HTTP/1.1\r\n\r\n")],
        memory=300,
    ),
    "netlink": Limit(netlink, 1 << 16, [(b"", NETLINK, b""), (b"", struct.pack("=IHHII", 24, 35, 0, 1, 0) + bytes(8), b""), (struct.pack("=IHHII", 1 << 16, 35, 0, 1, 0) + bytes(4), attribute(1, b""), b"")], memory=60),
    "ipvsadm output": Limit(once(lambda data: table(data.decode(), "")), 1 << 19, [(b"", b"-A -t 10.0.0.1:80 -s rr\n", b""), (b"", b"\n", b""), (b"-A ", b"-t ", b"")], turns=False, memory=40),
    "gRPC status": Limit(once(grpc_health.status), MESSAGE_LIMIT, [(b"\0\0\0\3\xfb", b"\x08\x01", b""), (b"\0\0\0\3\xfb", b"\x08" + b"\xff" * 9 + b"\1", b"")], memory=100),
    "ICMP packet": Limit(once(lambda data: is_echo_reply(data, 0, b"n" * 16, ip_header=True)), 1 << 16, [(b"\x45", b"n", b"")]),
    "certificate": Limit(once(not_after), 1 << 16, [(b"\x30\x82\xff\xfb", b"\x30\x03\2\1\1", b""), (b"", b"\x30\x80", b"")]),
    "command output": Limit(once(last_line), KEPT, [(b"", b"a\n", b""), (b"", b"\xff", b""), (b"", b"\n", b"")], memory=100),
    "echoed secrets": Limit(guarded, 1 << 18, [(b"", b"ab", b""), (b"", b"a", b"")]),
    "resolv.conf": Limit(once(hosts), 1 << 20, [(b"", b"nameserver 10.0.0.1\n", b""), (b"", b"\n", b""), (b"nameserver ", b"a ", b"")], turns=False, memory=80),
    "keepalived.conf": Limit(
        once(lambda data: convert("k", data.decode("latin-1"), lambda *_: (), KINDS)), LARGEST_KEEPALIVED >> 3,
        [(b"", b"a {\n}\n", b""), (b"", b"virtual_server 10.0.0.1 80 {\n}\n", b""), (b"", b"}", b""), (b"", b'"', b""), (b"", b"\\", b"")],
        turns=False, memory=200,
    ),
}  # fmt: skip
CASES = [(name, number) for name, limit in LIMITS.items() for number in range(len(limit.shapes))]


@contextmanager
def no_collections() -> Iterator[None]:
    """Suspend collections: one of the heap of the tests is no cost of a parser."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def filled(shape: Shape, size: int) -> bytes:
    """Return an input of about ``size`` bytes, at most."""
    first, unit, last = shape
    return first + unit * ((size - len(first) - len(last)) // len(unit)) + last


def cost(steps: Steps, data: bytes) -> tuple[float, float]:
    """Return the least CPU seconds of the whole input and of its longest step."""
    totals, longests = [], []
    for _ in range(ATTEMPTS):
        total = longest = 0.0
        with suppress(*REFUSALS, RecursionError), no_collections():
            began = time.thread_time()
            try:
                left = iter(steps(data))
                while True:
                    try:
                        next(left)
                    except StopIteration:
                        break
                    finally:
                        took = time.thread_time() - began
                        total, longest = total + took, max(longest, took)
                        began = time.thread_time()
            finally:
                totals.append(total)
                longests.append(longest)
    return min(totals), min(longests)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_parser_at_its_limit_takes_linear_time_and_short_turns(name: str, number: int) -> None:
    limit = LIMITS[name]
    half, _ = cost(limit.steps, filled(limit.shapes[number], limit.size // 2))
    whole, longest = cost(limit.steps, filled(limit.shapes[number], limit.size))
    assert whole <= 3 * half + NOISE
    if limit.turns:
        assert longest < HELD


@pytest.mark.parametrize(("name", "number"), CASES)
def test_parser_takes_memory_in_proportion_to_the_input(name: str, number: int) -> None:
    limit = LIMITS[name]
    data = filled(limit.shapes[number], limit.size // 4)
    tracemalloc.start()
    try:
        with suppress(*REFUSALS, RecursionError):
            for _ in limit.steps(data):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= limit.memory * len(data) + (1 << 20)
