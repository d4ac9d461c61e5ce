"""Parsers take bounded time for a piece of any stream of a server, and linear time for all of it."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybal.checks import dns_wire, mysql, redis
from pybal.checks.dns_wire import Malformed, RecordType
from pybal.checks.result import CheckFailed
from pybal.config.pattern import Pattern
from pybal.http.errors import ResponseError
from pybal.http.message import Response, glance
from pybal.resolve import message

HELD = 0.05
"""CPU seconds of one piece, at most."""
PIECE = 16 * 1024
"""Bytes of a piece, at most: the size of a read."""
SIZE = 128 * 1024
REFUSALS = (ResponseError, CheckFailed, Malformed)

Feed = Callable[[bytes], object]

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW = Pattern(r"([ab]*a[ab]{60}c|(a|b|ab)*x.{0,100}y)")
ASKED = dns_wire.question("www.example.org", RecordType.A)
QUERY = b"\x12\x34" + ASKED.data


def http_body() -> Feed:
    response = Response()
    response.feed(CHUNKED)
    return response.feed


def http_search() -> Feed:
    search = SLOW.search()
    response = Response(body=search.feed)
    response.feed(HEAD + b"\r\n")

    def feed(data: bytes) -> None:
        response.feed(data)
        while not search.work():
            pass

    return feed


def in_turn(split: Callable[[bytes], tuple[object, bytes] | None]) -> Callable[[], Feed]:
    """Return a parser that splits one reply from each piece and keeps the rest, as checks do."""

    def make() -> Feed:
        kept = [b""]

        def feed(data: bytes) -> None:
            kept[0] += data
            found = split(kept[0])
            if found is not None:
                kept[0] = found[1][-1024:]

        return feed

    return make


PARSERS: Mapping[str, tuple[Callable[[], Feed], Sequence[bytes]]] = {
    "http headers": (lambda: Response().feed, [b"HTTP/1.1 100 A\r\n\r\n", HEAD, b"a: b\r\n", b"\n", b"a\n", b"\r", b"x" * 50]),
    "http chunks": (http_body, [b"1\na\n", b"1\r\na\r\n", b"10;x=y\r\n" + b"z" * 16 + b"\r\n", b"0", b";" * 20, b"400\r\n"]),
    "http glance": (lambda: glance, [HEAD, b"Content-Length", b": 1\r\n", b"Co", b"a: b\r\n", b"\r\n", b"Transfer"]),
    "pattern": (http_search, [b"a", b"b", b"ab", b"c", b"x", b"\n"]),
    "mysql": (in_turn(mysql.split), [b"\1\0\0\0\0", b"\0\x10\0\0", b"\xff\0\0\1", bytes(50)]),
    "redis": (in_turn(redis.split), [b"+OK\r\n", b"$5\r\n", b"-ERR\r\n", b"$65536\r\n", b"x" * 50, b"\r\n"]),
    "dns check": (
        lambda: lambda data: dns_wire.reply(QUERY[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + QUERY[12:] + data, QUERY[:2], ASKED),
        [b"\1a", b"\0", b"\xc0\x0c", b"\0\1\0\1" + bytes(6), b"\0\x21\0\1" + bytes(6)],
    ),
    "resolver": (
        lambda: lambda data: message.response(QUERY[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + QUERY[12:] + data, QUERY),
        [b"\1a", b"\0", b"\xc0\x0c", b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4", b"\0\x21\0\1\0\0\0\0\0\x08" + bytes(6) + b"\xc0\x30"],
    ),
}  # fmt: skip
"""A parser and the pieces of grammar that random streams for it consist of."""


@contextmanager
def no_collections() -> Iterator[None]:
    """Suspend collections: one of the heap of the tests is no cost of a parser."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def stream(units: Sequence[bytes], size: int) -> bytes:
    """Return the units again and again, ``size`` bytes."""
    repeated = b"".join(units)
    return (repeated * (size // len(repeated) + 1))[:size]


def cost(make: Callable[[], Feed], data: bytes, cuts: Sequence[int]) -> tuple[float, float]:
    """Return the CPU seconds of the whole stream and of its longest piece."""
    feed, at, total, longest = make(), 0, 0.0, 0.0
    with suppress(*REFUSALS), no_collections():
        for size in cycle(cuts):
            if at >= len(data):
                break
            began = time.thread_time()
            try:
                feed(data[at : at + size])
            finally:
                took = time.thread_time() - began
                total += took
                longest = max(longest, took)
            at += size
    return total, longest


CUTS = st.lists(st.integers(512, PIECE), min_size=1, max_size=4)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_parser_takes_bounded_time_per_piece_and_linear_time(name: str, data: st.DataObject) -> None:
    make, grammar = PARSERS[name]
    units = data.draw(st.lists(st.sampled_from(grammar) | st.binary(min_size=1, max_size=8), min_size=1, max_size=30))
    cuts = data.draw(CUTS)
    whole = stream(units, SIZE)
    once = min(cost(make, whole[: SIZE // 2], cuts) for _ in range(3))
    twice = min(cost(make, whole, cuts) for _ in range(3))
    longest = max(once[1], twice[1])
    assert longest < HELD * (4 if name == "pattern" else 1)  # its check searches a part of a piece at a time
    assert twice[0] <= 3 * once[0] + 0.005


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b"c", b"x", b"\n"]), min_size=1, max_size=30))
def test_search_works_for_a_bounded_time(units: list[bytes]) -> None:
    search = SLOW.search()
    search.feed(stream(units, PIECE))
    done, longest = False, 0.0
    with no_collections():
        while not done:
            began = time.thread_time()
            done = search.work()
            longest = max(longest, time.thread_time() - began)
    assert longest < HELD


@pytest.mark.parametrize("name", ["http headers", "http chunks", "pattern"])
def test_parser_stores_a_bounded_part_of_a_stream(name: str) -> None:
    make, grammar = PARSERS[name]
    for units in islice(([unit] for unit in grammar), 4):
        feed, data = make(), stream(units, PIECE)
        tracemalloc.start()
        with suppress(*REFUSALS):
            for _ in range(64):
                feed(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * 2**20
