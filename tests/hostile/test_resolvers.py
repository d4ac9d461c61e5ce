"""A resolver that means harm: servers keep their addresses, lists stay, and both recover."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from random import Random

from twisted.names import dns

from tests.harness.attacked_balancer import PORT, RESOLVER, AttackedBalancer
from tests.harness.fake_dns_server import answer, decoded, framed
from tests.harness.hostile_peers import OK, HostileDatagrams, HostilePeer, responding
from tests.harness.hostile_server import Talk

DNS = 53
ADDRESS = "127.250.0.9"
"""The address of every name while the resolver behaves."""
GARBAGE = Random(1).randbytes(65000)
ASKED = 2

Reply = Callable[[bytes], list[bytes]]


def raw(query: bytes, count: int, records: bytes, flags: bytes = b"\x81\x80") -> bytes:
    """Return a response whose answer section has these bytes."""
    return (
        query[:2]
        + flags
        + b"\0\1"
        + struct.pack("!H", count)
        + b"\0\0\0\0"
        + query[12:][: question_length(query)]
        + records
    )


def question_length(query: bytes) -> int:
    return query.index(b"\0", 12) + 5 - 12


def address(query: bytes, found: str = ADDRESS, ttl: int = 1) -> bytes:
    name = decoded(query).queries[0].name.name
    return answer(query, records=(dns.RRHeader(name, dns.A, ttl=ttl, payload=dns.Record_A(found, ttl=ttl)),))


def addresses(count: int) -> bytes:
    return b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\xfa" + struct.pack("!H", n) for n in range(count))


def truncated(query: bytes) -> list[bytes]:
    return [answer(query, truncated=True)]


def changing() -> Reply:
    turns = Counter[str]()

    def reply(query: bytes) -> list[bytes]:
        turns["queries"] += 1
        return [address(query, f"127.250.1.{turns['queries'] % 200 + 1}", 0)]

    return reply


HOSTILE: Mapping[str, Reply] = {
    "silent": lambda _: [],
    "other-ids": lambda query: [answer(query, number=1)] * 1000,
    "garbage": lambda _: [GARBAGE] * 50,
    "refused": lambda query: [answer(query, dns.EREFUSED)],
    "servfail": lambda query: [answer(query, dns.ESERVER)],
    "nxdomain": lambda query: [answer(query, dns.ENAME)],
    "empty": lambda query: [raw(query, 0, b"")],
    "cname-loop": lambda query: [raw(query, 1, b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c")],
    "cnames": lambda query: [raw(query, 4000, b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c" * 4000)],
    "no-ttl": lambda query: [address(query, ttl=0)],
    "long-ttl": lambda query: [raw(query, 1, b"\xc0\x0c\0\1\0\1\xff\xff\xff\xff\0\4\x7f\xfa\0\x09")],
    "truncated": truncated,
    "truncated-drip": truncated,
    "truncated-flood": truncated,
    "truncated-addresses": truncated,
    "addresses": lambda query: [raw(query, 4000, addresses(4000))],
    "count": lambda query: [raw(query, 65535, addresses(10))],
    "pointer-loop": lambda query: [raw(query, 1, b"\xc0\x1c\0\1\0\1\0\0\0\1\0\4\x7f\xfa\0\x09")],
    "wrong-length": lambda query: [raw(query, 1, b"\xc0\x0c\0\1\0\1\0\0\0\1\xff\xff\x7f\xfa\0\x09")],
    "other-question": lambda query: [answer(query, questions=[dns.Query(b"other.test")])],
    "echo": lambda query: [query],
    "changing": changing(),
}
"""Responses of the resolver by the first label of the name."""


def endless(unit: bytes) -> Talk:
    while True:
        yield unit


def drip() -> Talk:
    while True:
        yield b"\1"
        yield b""


OVER_TCP: Mapping[str, Callable[[bytes], Talk]] = {
    "truncated-drip": lambda _: drip(),
    "truncated-flood": lambda _: endless(framed(bytes(12)) * 4000),
    "truncated-addresses": lambda query: iter_once(framed(raw(query, 4000, addresses(4000)))),
}


def iter_once(data: bytes) -> Talk:
    yield data


class Resolver:
    """The name server of the daemon over UDP and TCP, hostile by name.

    ``asked`` counts queries by name.
    """

    def __init__(self, stack: ExitStack, good: Reply, hostile: Mapping[str, Reply]) -> None:
        self.asked = Counter[str]()
        self.is_hostile = False
        self._good = good
        self._hostile = hostile
        stack.enter_context(HostileDatagrams(RESOLVER, DNS, self._reply))
        stack.enter_context(HostilePeer(RESOLVER, DNS, self._talk))

    def _reply(self, query: bytes) -> list[bytes]:
        label = query[13 : 13 + query[12]].decode()
        if label.startswith("_"):  # _http._tcp.LABEL.test
            start = 12 + query[12] + 1 + 5 + 1
            label = query[start : start + query[start - 1]].decode()
        self.asked[label] += 1
        reply = self._hostile.get(label, self._good) if self.is_hostile else self._good
        return reply(query)

    def _talk(self) -> Talk:
        received = yield b""
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            received += yield b""
        query = received[2:]
        label = query[13 : 13 + query[12]].decode()
        if not self.is_hostile:
            yield framed(self._reply(query)[0])
        elif label in OVER_TCP:
            yield from OVER_TCP[label](query)
        else:
            while True:
                yield b""


def is_at(balancer: AttackedBalancer, name: str) -> list[str]:
    return [server["address"] for server in balancer.servers_of(name).values()]


def test_hostile_resolver_keeps_servers_up_at_an_address(balancer: AttackedBalancer) -> None:
    names = {name: f"{name}.test" for name in HOSTILE}
    with ExitStack() as stack:
        stack.enter_context(HostilePeer("0.0.0.0", PORT, responding(OK)))
        resolver = Resolver(stack, lambda query: [address(query)], HOSTILE)
        balancer.reload(
            {
                name: f"config = {balancer.pool_file(name, host)}\nmonitors = ['ProxyFetch']\nproxyfetch.interval = 1\n"
                for name, host in names.items()
            }
        )
        balancer.wait_for_health("up", *names)
        with balancer.attack("names"):
            resolver.is_hostile = True
            before = Counter(resolver.asked)
            balancer.wait(lambda: all(resolver.asked[name] >= before[name] + ASKED for name in names), "queries")
            for name in names:
                assert all(server["health"] == "up" for server in balancer.servers_of(name).values())
                if name not in {"changing", "addresses", "truncated-addresses"}:
                    assert is_at(balancer, name) == [ADDRESS], name
            resolver.is_hostile = False
            balancer.wait(lambda: all(is_at(balancer, name) == [ADDRESS] for name in names), "the address")
        balancer.wait_for_no_alert()


def srv(query: bytes, *targets: bytes) -> bytes:
    """Return SRV records of these targets."""
    encoded = (
        b"".join(bytes((len(label),)) + label for label in target.split(b".") if label) + b"\0" for target in targets
    )
    records = (struct.pack("!HHHIHHHH", 0xC00C, 33, 1, 1, 6 + len(each), 0, 1, PORT) + each for each in encoded)
    return raw(query, len(targets), b"".join(records))


def good_srv(query: bytes) -> list[bytes]:
    return [srv(query, b"good.test")] if query[13:14] == b"_" else [address(query)]


HOSTILE_RECORDS: Mapping[str, Reply] = {
    "silent": lambda _: [],
    "nxdomain": lambda query: [answer(query, dns.ENAME)],
    "none": lambda query: [raw(query, 0, b"")],
    "root": lambda query: [srv(query, b"")],
    "many": lambda query: [srv(query, *(b"h%d" % n for n in range(2000)))],
    "names": lambda query: [srv(query, *(b"\x1b[2J%d" % n for n in range(500)))],
    "addresses": lambda query: [raw(query, 4000, addresses(4000))],
    "loop": lambda query: [raw(query, 1, b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c")],
    "short": lambda query: [raw(query, 1, b"\xc0\x0c\0\x21\0\1\0\0\0\1\0\2\0\0")],
    "truncated": truncated,
}


def test_hostile_srv_records_keep_the_list(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        resolver = Resolver(stack, good_srv, HOSTILE_RECORDS)
        urls = {name: f"dns+srv://_http._tcp.{name}.test" for name in HOSTILE_RECORDS}
        balancer.reload({name: f"config = {url}\nmonitors = []\n" for name, url in urls.items()})
        balancer.wait(lambda: all(list(balancer.servers_of(name)) == ["good.test"] for name in urls), "lists")
        with balancer.attack("SRV records"):
            resolver.is_hostile = True
            before = Counter(resolver.asked)
            balancer.wait(lambda: all(resolver.asked[name] >= before[name] + ASKED for name in urls), "queries")
            assert all("good.test" in balancer.servers_of(name) for name in urls)
            resolver.is_hostile = False
            balancer.wait_for_no_alert()
