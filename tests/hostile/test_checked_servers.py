"""Hostile checked servers of the other kinds: TLS, gRPC, databases, name servers, ICMP, commands."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from hpack import Encoder

from tests.harness.attacked_balancer import PORT, AttackedBalancer
from tests.harness.certificates import self_signed
from tests.harness.fake_dns_server import answer, framed
from tests.harness.hostile_peers import Conversation, HostileDatagrams, HostilePeer, http, responding, secured, silent
from tests.harness.hostile_server import Datagrams, Talk, drip, flood, tls_flood
from tests.harness.http2_answers import SETTINGS, frame, serving

GARBAGE = Random(1).randbytes(65536)
CHECKED = 3
ALERT = b"\x15\x03\x03\x00\x02"
SERVER_HELLO = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + bytes(32) + b"\x00\xc0\x2f\x00"
HEAD = b"HTTP/1.1 200 OK\r\n"
GRPC_HEAD = frame(1, 4, 1, b"\x88\x0f\x10\x10application/grpc")
MYSQL_GREETING = b"\x25\0\0\0\x0a5.0\0" + bytes(32)


def options(kind: str, *more: str) -> str:
    """Return the options of a service with one monitor; ``more`` are its own options."""
    own = "".join(f"{kind.lower()}.{each}\n" for each in ("interval = 0.5", "timeout = 2", *more))
    return f"monitors = ['{kind}']\n{own}"


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(4, 0, 0, b"".join(struct.pack("!HI", *pair) for pair in pairs))


def hpack_bomb() -> bytes:
    """Return headers that repeat one long field of the dynamic table."""
    stored = Encoder().encode([("x", "a" * 4000)], huffman=False)
    return frame(1, 0, 1, stored + b"\xbe" * 12000) + frame(9, 4, 1, b"\xbe" * 12000)


HANDSHAKES: Mapping[str, Conversation] = {
    "hello-requests": flood(b"", b"\x16\x03\x03\x00\x04\0\0\0\0"),
    "server-hellos": flood(b"", SERVER_HELLO),
    "certificate": flood(SERVER_HELLO + b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff", GARBAGE),
    "warnings": flood(b"", ALERT + b"\x01\x5a"),
    "alerts": responding(ALERT + b"\x02\x50"),
    "empty-records": flood(b"", b"\x17\x03\x03\x00\x00"),
    "bytes": flood(b"", b"\x16\x03\x03\x00\x01\x02"),
    "http-on-tls": flood(HEAD, b"X-A: b\r\n"),
    "drip": drip(b"", SERVER_HELLO),
    "change-cipher": flood(b"", b"\x14\x03\x03\x00\x01\x01"),
    "heartbeats": flood(b"", b"\x18\x03\x03\x00\x03\x01\x40\x00"),
    "silent": silent,
}
GRPC: Mapping[str, Conversation] = {
    "settings": flood(SETTINGS, SETTINGS),
    "pings": flood(SETTINGS, frame(6, 0, 0, bytes(8))),
    "acknowledgements": flood(SETTINGS, frame(4, 1, 0, b"")),
    "table-sizes": flood(SETTINGS, settings((1, 0), (1, 0xFFFFFFFF))),
    "windows": flood(SETTINGS, settings((4, 0), (4, 0x7FFFFFFF))),
    "resets": flood(SETTINGS, frame(3, 0, 1, bytes(4))),
    "pushes": flood(SETTINGS, frame(5, 4, 1, b"\0\0\0\2\x82\x87\x84\x41\1a")),
    "continuations": flood(SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b"\x82")),
    "padding": flood(SETTINGS + GRPC_HEAD, frame(0, 8, 1, b"\xff" + bytes(255))),
    "message-size": flood(SETTINGS + GRPC_HEAD + frame(0, 0, 1, b"\0\xff\xff\xff\xff"), frame(0, 0, 1, bytes(16384))),
    "bomb": responding(SETTINGS + hpack_bomb()),
    "escapes": responding(serving(head=[(":status", "\x1b[2J")])),
    "drip": drip(SETTINGS, GRPC_HEAD),
}


def greeting(hello: bytes, response: bytes = b"") -> Conversation:
    """Send a greeting, and a response to each packet."""

    def talk() -> Talk:
        received = yield hello
        while True:
            received = yield (response if received else b"")

    return talk


DATABASES: Mapping[str, tuple[str, Conversation]] = {
    "mysql-greeting": (options("MySQL"), flood(b"\0\x10\0\0\x0a", b"5", asked=False)),
    "mysql-empty": (options("MySQL"), flood(b"", b"\0\0\0\0", asked=False)),
    "mysql-error": (options("MySQL"), flood(b"\xff\xff\xff\0\xff\x15\x04", b"\x1b[2J", asked=False)),
    "mysql-garbage": (options("MySQL"), flood(b"", GARBAGE, asked=False)),
    "mysql-drip": (options("MySQL"), drip(b"\0\x10\0\0\x0a", b"5")),
    "redis-arrays": (options("Redis"), flood(b"", b"*1\r\n")),
    "redis-bulk": (options("Redis"), flood(b"$99999999999999999999\r\n", b"a")),
    "redis-line": (options("Redis"), flood(b"-", b"\x1b[2J")),
    "redis-garbage": (options("Redis"), flood(b"", GARBAGE)),
    "redis-drip": (options("Redis"), drip(b"+", b"P")),
    "tcp-expect": (options("TCPConnect", r"expect = '220 ready'"), flood(b"", b"220 read", asked=False)),
}


HEALTHY: Mapping[str, Conversation] = {
    "mysql": greeting(MYSQL_GREETING, b"\x07\0\0\2\0\0\0\2\0\0\0"),
    "redis": greeting(b"", b"+PONG\r\n"),
    "tcp": greeting(b"220 ready\r\n"),
}


def truncated(query: bytes) -> list[bytes]:
    return [answer(query, truncated=True)]


NAME_SERVERS: Mapping[str, tuple[Datagrams, Conversation]] = {
    "other-ids": (lambda query: [answer(query, number=1)] * 2000, silent),
    "garbage": (lambda _: [GARBAGE[:60000]] * 100, silent),
    "records": (lambda query: [query[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + query[12:] + bytes(60000)] * 20, silent),
    "pointers": (
        lambda query: [query[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + query[12:] + b"\xc0\x0c" * 30000],
        silent,
    ),
    "tcp-hangs": (truncated, silent),
    "tcp-empty": (truncated, flood(b"", framed(b""))),
    "tcp-short": (truncated, flood(b"", framed(bytes(12)))),
    "tcp-drip": (truncated, drip(b"\xff", b"\xff")),
}
PINGED = {"flooding": "127.240.0.1", "pinged": "127.240.0.2"}
COMMANDS: Mapping[str, str] = {
    "output": "exec yes",
    "line": r"exec tr '\\000' a </dev/zero",
    "escapes": r"while :; do printf '\\033[2J\\033]0;owned\\007'; done",
    "never-ends": "trap '' TERM; exec sleep 1000",
    "children": "for n in $(seq 50); do sleep 1000 & done; wait",
    "sessions": "setsid -f yes; exec yes",
    "stops-itself": "kill -STOP $$",
    "closed-output": "exec >&- 2>&-; exec sleep 1000",
    "kills-its-group": "kill -KILL 0",
}


def run_peers(
    stack: ExitStack, talks: Mapping[str, Conversation], healed: Conversation | None = None
) -> dict[str, HostilePeer]:
    return {
        name: stack.enter_context(HostilePeer(f"127.240.0.{number + 1}", PORT, talk, healed))
        for number, (name, talk) in enumerate(talks.items())
    }


def reasons(balancer: AttackedBalancer, name: str) -> list[str]:
    reports = (report for server in balancer.servers_of(name).values() for report in server["reports"])
    return [report["reason"] for report in reports if report["up"] is False]


def fail_until_they_behave(
    balancer: AttackedBalancer, peers: Mapping[str, HostilePeer], texts: Mapping[str, str]
) -> None:
    """Check servers while they are hostile, and once they behave."""
    balancer.reload(
        {name: f"config = {balancer.pool_file(name, peer.host)}\n{texts[name]}" for name, peer in peers.items()}
    )
    balancer.wait_for_health("down", *peers)
    balancer.wait(lambda: all(peer.conversations > CHECKED for peer in peers.values()), "more checks")
    for name in peers:
        assert all(reason.isprintable() and len(reason) < 400 for reason in reasons(balancer, name))
        assert reasons(balancer, name)
    for peer in peers.values():
        peer.behave()
    balancer.wait_for_health("up", *peers)


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(self_signed(tmp_path))
    made.set_alpn_protocols(["h2"])
    return made


@pytest.mark.parametrize("kind", ["TLS", "ProxyFetch", "gRPC"])
def test_hostile_handshakes_fail_until_they_succeed(
    balancer: AttackedBalancer, context: ssl.SSLContext, kind: str
) -> None:
    more = {"ProxyFetch": ["url = ['https://www.example.org/']"], "gRPC": ["tls = yes"], "TLS": []}[kind]
    inner = {"ProxyFetch": responding(http(b"ok")), "gRPC": responding(serving()), "TLS": silent}[kind]
    with ExitStack() as stack:
        peers = run_peers(stack, HANDSHAKES, secured(context, inner))
        with balancer.attack(f"handshakes of {kind}"):
            fail_until_they_behave(balancer, peers, dict.fromkeys(peers, options(kind, *more)))
        balancer.wait_for_no_alert()


def test_hostile_servers_behind_a_handshake_fail_until_they_behave(
    balancer: AttackedBalancer, context: ssl.SSLContext, tmp_path: Path
) -> None:
    certificate = tmp_path / "own.both"
    talks = {
        "tickets": tls_flood(certificate, b"", tickets=5000),
        "records-of-a-byte": tls_flood(certificate, b"x"),
        "records-of-a-header": tls_flood(certificate, b"X-A: b\r\n"),
        "large-records": tls_flood(certificate, bytes(16384)),
        "headers": secured(context, flood(HEAD, b"X-A: b\r\n")),
        "drip": secured(context, drip(HEAD, b"X-A: b\r\n")),
        "silent": secured(context, silent),
    }
    with ExitStack() as stack:
        peers = run_peers(stack, talks, secured(context, responding(http(b"ok"))))
        with balancer.attack("records over TLS"):
            text = options("ProxyFetch", "url = ['https://www.example.org/']")
            fail_until_they_behave(balancer, peers, dict.fromkeys(peers, text))
        balancer.wait_for_no_alert()


def test_hostile_grpc_servers_fail_until_they_behave(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        peers = run_peers(stack, GRPC, responding(serving()))
        with balancer.attack("gRPC"):
            fail_until_they_behave(balancer, peers, dict.fromkeys(peers, options("gRPC")))
        balancer.wait_for_no_alert()


def test_hostile_databases_fail_until_they_are_replaced(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(
                HostilePeer(f"127.240.0.{number + 1}", PORT, talk, HEALTHY[name.partition("-")[0]])
            )
            for number, (name, (_, talk)) in enumerate(DATABASES.items())
        }
        with balancer.attack("databases"):
            fail_until_they_behave(balancer, peers, {name: text for name, (text, _) in DATABASES.items()})
        balancer.wait_for_no_alert()


def test_hostile_name_servers_fail_until_they_behave(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        peers = run_peers(stack, {name: talk for name, (_, talk) in NAME_SERVERS.items()})
        servers = {
            name: stack.enter_context(HostileDatagrams(peers[name].host, PORT, datagrams))
            for name, (datagrams, _) in NAME_SERVERS.items()
        }
        with balancer.attack("name servers"):
            text = options("DNSQuery", "hostnames = ['www.example.org']")
            balancer.reload(
                {
                    name: f"protocol = udp\nconfig = {balancer.pool_file(name, peer.host)}\n{text}"
                    for name, peer in peers.items()
                }
            )
            balancer.wait_for_health("down", *peers)
            balancer.wait(lambda: all(server.queries > CHECKED for server in servers.values()), "more checks")
            for server in servers.values():
                server.datagrams = lambda query: [answer(query)]
            balancer.wait_for_health("up", *peers)
        balancer.wait_for_no_alert()


def test_flood_of_echo_replies_takes_no_other_server_down(balancer: AttackedBalancer) -> None:
    ended = threading.Event()

    def forge(sender: socket.socket) -> None:
        replies = [struct.pack("!BBHHH", 0, 0, 0, number, 1) + bytes(1000) for number in range(0, 65536, 7)]
        while not ended.is_set():
            for reply in replies:
                sender.sendto(reply, ("127.0.0.1", 0))

    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
        sender.bind(("127.240.0.1", 0))
        thread = threading.Thread(target=forge, args=(sender,))
        lists = {name: f"config = {balancer.pool_file(name, host)}\n" for name, host in PINGED.items()}
        with balancer.attack("ICMP"):
            balancer.reload({name: text + options("ICMP") for name, text in lists.items()})
            balancer.wait_for_health("up", *PINGED)
            thread.start()
            try:
                balancer.wait(lambda: up_for(balancer, "pinged") > 8.0, "checks")
            finally:
                ended.set()
                thread.join()
            balancer.wait_for_health("up", *PINGED)
        assert "[pinged] ERROR" not in balancer.process.log
        balancer.wait_for_no_alert()


def up_for(balancer: AttackedBalancer, name: str) -> float:
    """Return for how many seconds the servers of a service have been up."""
    return min(float(report["age"]) for server in balancer.servers_of(name).values() for report in server["reports"])


def test_hostile_commands_fail_until_they_are_replaced(balancer: AttackedBalancer) -> None:
    scripts = {}
    for name, text in COMMANDS.items():
        scripts[name] = balancer.directory / f"{name}.sh"
        scripts[name].write_text(text)
    services = {
        name: f"config = {balancer.pool_file(name, '127.240.0.1')}\nmonitors = ['RunCommand']\nruncommand.command = /bin/sh\n"
        f"runcommand.arguments = ['{script}']\nruncommand.interval = 1\nruncommand.timeout = 1.5\n"
        for name, script in scripts.items()
    }
    with balancer.attack("commands"):
        balancer.reload(services)
        balancer.wait_for_health("down", *scripts)
        for name in scripts:
            assert all(reason.isprintable() and len(reason) < 400 for reason in reasons(balancer, name))
        for script in scripts.values():
            script.write_text("exit 0")
        balancer.wait_for_health("up", *scripts)
    balancer.wait_for_no_alert()
