"""Checked web servers that mean harm are down with a reason, and up again once they behave."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.harness.attacked_balancer import PORT, AttackedBalancer
from tests.harness.hostile_peers import Conversation, HostilePeer, cut, http, responding, silent
from tests.harness.hostile_server import Talk, drip, flood

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GARBAGE = Random(1).randbytes(65536)
BOMB = gzip.compress(bytes(100 << 20))
CHECKED = 3
"""Checks of each hostile server, at least."""

OPTIONS = "monitors = ['ProxyFetch']\nproxyfetch.interval = 0.5\nproxyfetch.timeout = 2\n"
SEARCHING = OPTIONS + "proxyfetch.body-regex = '[ab]*a[ab]{100}c|ok'\n"


def redirect(*targets: bytes) -> Conversation:
    """Redirect to these places, one after the other and from the begin again."""
    turn = 0

    def response() -> bytes:
        nonlocal turn
        turn += 1
        return http(b"", b"Location: " + targets[turn % len(targets)], status=b"302 Found")

    return responding(response)


def half_closing() -> Talk:
    """Close after the first byte of a response, in the middle of a body, and before any byte, by turns."""
    yield HEAD + b"Content-Length: 100\r\n\r\nhalf"


FRAMING: Mapping[str, Conversation] = {
    "headers": flood(HEAD, b"X-A: b\r\n"),
    "header-line": flood(HEAD + b"X-A: ", b"b"),
    "folded-header": flood(HEAD + b"X-A: b\r\n", b" c\r\n"),
    "nul-headers": flood(HEAD, b"\0: \0\r\n"),
    "interim": flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "status-line": flood(b"HTTP/1.1 200 ", b"O"),
    "empty-lines": flood(b"", b"\n"),
    "garbage": flood(b"", GARBAGE),
    "http2-preface": flood(b"", b"\0\0\0\4\0\0\0\0\0"),
    "drip": drip(HEAD, b"X-A: b\r\n"),
    "silent": silent,
    "other-version": responding(b"HTTP/9.9 200 OK\r\n\r\nok"),
}
BODIES: Mapping[str, Conversation] = {
    "body": flood(HEAD + b"\r\n", bytes(65536)),
    "length": flood(HEAD + b"Content-Length: 18446744073709551616\r\n\r\n", bytes(65536)),
    "negative-length": responding(HEAD + b"Content-Length: -1\r\n\r\nok"),
    "two-lengths": responding(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "short-body": half_closing,
    "chunks": flood(CHUNKED, b"1\r\na\r\n"),
    "chunk-zeros": flood(CHUNKED, b"0" * 65536),
    "chunk-size": responding(CHUNKED + b"ffffffffffffffff\r\na\r\n"),
    "chunk-extensions": flood(CHUNKED, b"1;" + b"x" * 3000 + b"\r\na\r\n"),
    "trailers": flood(CHUNKED + b"0\r\n", b"X-A: b\r\n"),
    "drip-chunks": drip(CHUNKED, b"1\r\na\r\n"),
    "two-codings": responding(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\nok"),
}
ENDINGS: Mapping[str, Conversation] = {
    "resets": cut(HEAD + b"Content-Length: 20\r\n\r\n"),
    "redirect-loop": redirect(b"/"),
    "redirect-pair": redirect(b"http://www.example.org/a", b"http://www.example.org/b"),
    "redirect-file": redirect(b"file:///etc/passwd"),
    "redirect-controls": redirect(b"\x1b[2J\x00/"),
    "redirect-long": redirect(b"/" + b"a" * 60000),
    "redirect-elsewhere": redirect(b"http://127.250.0.1:8081/"),
    "redirect-tls": redirect(b"https://www.example.org/"),
    "escapes": responding(b"HTTP/1.1 500 \x1b]0;owned\x07\x1b[2J\r\nContent-Length: 0\r\n\r\n"),
    "forged-line": responding(b"HTTP/1.1 500 a\r[unrelated] ERROR: forged\r\nContent-Length: 0\r\n\r\n"),
}
SEARCHED: Mapping[str, Conversation] = {
    "pattern": flood(HEAD + b"\r\n", bytes(Random(1).choices(b"ab", k=65536))),
    "pattern-chunks": flood(CHUNKED, b"1\r\na\r\n1\r\nb\r\n1\r\na\r\n"),
    "bomb": responding(http(BOMB, b"Content-Encoding: gzip")),
    "pattern-drip": drip(HEAD + b"\r\n", b"ab"),
}


def attackers(stack: ExitStack, talks: Iterable[Conversation], port: int = PORT) -> list[HostilePeer]:
    """Run one server for each conversation, at 127.240.0.1 and the next addresses."""
    return [
        stack.enter_context(HostilePeer(f"127.240.0.{number + 1}", port, talk)) for number, talk in enumerate(talks)
    ]


def services(balancer: AttackedBalancer, peers: Mapping[str, HostilePeer], options: str) -> Mapping[str, str]:
    """Return a service for each server."""
    return {name: f"config = {balancer.pool_file(name, peer.host)}\n{options}" for name, peer in peers.items()}


def reasons(balancer: AttackedBalancer, name: str) -> list[str]:
    """Return why each monitor reports the servers of a service down."""
    reports = (report for server in balancer.servers_of(name).values() for report in server["reports"])
    return [report["reason"] for report in reports if report["up"] is False]


@pytest.mark.parametrize(
    ("talks", "options"),
    [(FRAMING, OPTIONS), (BODIES, OPTIONS), (ENDINGS, OPTIONS), (SEARCHED, SEARCHING)],
    ids=["framing", "bodies", "endings", "searched bodies"],
)
def test_hostile_web_servers_are_down_with_a_reason_until_they_behave(
    balancer: AttackedBalancer, talks: Mapping[str, Callable[[], Talk]], options: str
) -> None:
    with ExitStack() as stack:
        peers = dict(zip(talks, attackers(stack, talks.values()), strict=True))
        with balancer.attack("web servers"):
            balancer.reload(services(balancer, peers, options))
            balancer.wait_for_health("down", *peers)
            balancer.wait(lambda: all(peer.conversations > CHECKED for peer in peers.values()), "more checks")
            for name in peers:
                assert all(reason.isprintable() and len(reason) < 400 for reason in reasons(balancer, name))
                assert reasons(balancer, name)
            for peer in peers.values():
                peer.behave()
            balancer.wait_for_health("up", *peers)
        balancer.wait_for_no_alert()


def test_log_has_no_control_characters(balancer: AttackedBalancer) -> None:
    assert all(line.isprintable() for line in Path(balancer.process.log_file).read_text().splitlines())
