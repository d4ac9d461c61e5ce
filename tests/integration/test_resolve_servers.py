"""Lookups at a slow, wrong or hostile DNS server, which the test runs in a thread."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.resolve import LookupFailed, LookupResult, dns_lookup, servers
from pybal.resolve.dns import DatagramReader
from tests.harness.stepped_reactor import run

RIGHT = "10.0.0.1"
FORGED = "10.6.6.6"

Reply = Callable[[bytes], list[bytes]]


def answer(query: bytes, address: str = RIGHT, *, flags: int = 0x8180, number: int | None = None) -> bytes:
    """Return a response to ``query`` with one A record, by default with the same ID."""
    own = struct.unpack_from("!H", query)[0]
    head = struct.pack("!6H", own if number is None else number, flags, 1, 1, 0, 0)
    return head + question(query) + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(address)


def question(query: bytes) -> bytes:
    """Return the question of a query, without the OPT record behind it."""
    return query[12 : query.index(b"\0", 12) + 5]


def sockets() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket with the same port; the TCP socket does not listen yet."""
    while True:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp


class ScriptedDNSServer:
    """Sends the datagrams that ``reply`` returns for a query, each after ``delay`` seconds."""

    def __init__(self) -> None:
        self.reply: Reply = lambda query: [answer(query)]
        self.delay = 0.0
        self._stop = threading.Event()
        self._socket, self.tcp = sockets()
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if self._stop.is_set():
                return
            for datagram in self.reply(query):
                self._stop.wait(self.delay)
                self._socket.sendto(datagram, client)

    def stop(self) -> None:
        self._stop.set()
        with socket.socket(type=socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()
        self.tcp.close()


@pytest.fixture
def server() -> Iterator[ScriptedDNSServer]:
    server = ScriptedDNSServer()
    yield server
    server.stop()


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "TIMEOUT", 0.5)


def ask(tmp_path: Path, server: ScriptedDNSServer) -> LookupResult:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    async def main(reactor: EPollReactor) -> LookupResult:
        hosts, resolv_conf = str(tmp_path / "none"), str(tmp_path / "resolv.conf")
        return await dns_lookup(reactor, hosts=hosts, resolv_conf=resolv_conf, port=server.port)("web1.test", 4)

    return run(main)


def addresses(tmp_path: Path, server: ScriptedDNSServer) -> list[str]:
    return [str(address) for address in ask(tmp_path, server).addresses]


def refusal(tmp_path: Path, server: ScriptedDNSServer) -> str:
    with pytest.raises(LookupFailed) as failed:
        ask(tmp_path, server)
    assert not failed.value.definite
    return str(failed.value)


def test_lookup_waits_for_a_slow_response(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.delay = 0.7
    assert addresses(tmp_path, server) == [RIGHT]


@pytest.mark.parametrize(
    "forged",
    [
        lambda query: answer(query, FORGED, number=struct.unpack_from("!H", query)[0] ^ 1),
        lambda query: answer(query.replace(b"web1", b"web2"), FORGED),
        lambda query: answer(query, FORGED, flags=0x0180),
        lambda query: answer(query, FORGED)[:10],
        lambda query: query[:2] + b"\xff" * 40,
        lambda query: query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + b"\xc0\x0c" * 20,
        lambda query: b"",
    ],
    ids=["number", "question", "question again", "cut off", "garbage", "loop of names", "empty"],
)
def test_lookup_ignores_datagrams_that_are_not_the_response(
    tmp_path: Path, server: ScriptedDNSServer, forged: Callable[[bytes], bytes]
) -> None:
    server.reply = lambda query: [forged(query), answer(query)]
    assert addresses(tmp_path, server) == [RIGHT]


@pytest.mark.usefixtures("short_timeout")
def test_timeout_is_not_definite(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: []
    assert refusal(tmp_path, server) == "no response in 0.5 s from 127.0.0.1"


def test_unnamed_code_is_reported_by_number(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [answer(query, flags=0x8180 | 9)]
    assert refusal(tmp_path, server) == "code 9 from 127.0.0.1"


def test_truncated_response_without_tcp_is_not_definite(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    assert "refused" in refusal(tmp_path, server)


@pytest.mark.usefixtures("short_timeout")
def test_tcp_timeout_is_not_definite(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    server.tcp.listen()
    assert refusal(tmp_path, server) == "no response in 0.5 s from 127.0.0.1"


def test_closed_tcp_connection_is_not_definite(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    server.tcp.listen()

    def close_immediately() -> None:
        server.tcp.accept()[0].close()

    closer = threading.Thread(target=close_immediately)
    closer.start()
    assert "from 127.0.0.1" in refusal(tmp_path, server)
    closer.join()


def test_lookup_uses_the_aliases_in_the_response(tmp_path: Path, server: ScriptedDNSServer) -> None:
    def alias(query: bytes) -> bytes:
        head = query[:2] + struct.pack("!5H", 0x8180, 1, 2, 0, 0)
        name = b"\x03lb1\xc0\x11"  # lb1, and the rest of web1.test
        first = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 7, len(name)) + name
        target = len(head) + len(question(query)) + 12
        return (
            head + question(query) + first + struct.pack("!HHHIH", 0xC000 | target, 1, 1, 300, 4) + b"\x0a\x00\x00\x02"
        )

    server.reply = lambda query: [alias(query)]
    assert ask(tmp_path, server) == LookupResult((ip_address("10.0.0.2"),), 7)


OPT = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)


def several(query: bytes, *numbers: int, opt: bytes = b"") -> bytes:
    """Return a response with the addresses 10.0.0.NUMBER."""
    head = query[:2] + struct.pack("!5H", 0x8180, 1, len(numbers), 0, 1 if opt else 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + b"\x0a\0\0"
    return head + question(query) + b"".join(record + bytes((number,)) for number in numbers) + opt


def answer_one_by_tcp(listener: socket.socket, reply: Callable[[bytes], bytes]) -> threading.Thread:
    """Answer one query over TCP, in a thread."""
    listener.listen()

    def serve() -> None:
        with listener.accept()[0] as connection:
            message = reply(connection.recv(4096)[2:])
            connection.sendall(struct.pack("!H", len(message)) + message)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_several_addresses_without_edns_are_completed_over_tcp(tmp_path: Path, server: ScriptedDNSServer) -> None:
    """Consul returns 3 of 10 records to queries without EDNS, and does not set the flag for truncation."""
    server.reply = lambda query: [several(query, 1, 2)]
    thread = answer_one_by_tcp(server.tcp, lambda query: several(query, 1, 2, 3))
    assert addresses(tmp_path, server) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    thread.join()


def test_several_addresses_are_used_when_tcp_is_refused(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [several(query, 1, 2)]
    assert addresses(tmp_path, server) == ["10.0.0.1", "10.0.0.2"]


def test_addresses_with_edns_are_complete(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [several(query, 1, 2, opt=OPT)]
    server.tcp.listen()  # a query over TCP would wait for its timeout
    assert addresses(tmp_path, server) == ["10.0.0.1", "10.0.0.2"]


def test_query_is_repeated_without_edns_when_refused(tmp_path: Path, server: ScriptedDNSServer) -> None:
    queries: list[bytes] = []

    def old(query: bytes) -> list[bytes]:
        queries.append(query)
        return [answer(query, flags=0x8180 | 1) if query[11] else answer(query)]

    server.reply = old
    assert addresses(tmp_path, server) == [RIGHT]
    assert [query[11] for query in queries] == [1, 0]


@pytest.mark.usefixtures("short_timeout")
def test_query_is_repeated_without_edns_when_dropped(tmp_path: Path, server: ScriptedDNSServer) -> None:
    server.reply = lambda query: [] if query[11] else [answer(query)]
    assert addresses(tmp_path, server) == [RIGHT]


def test_reader_ignores_a_socket_without_data() -> None:
    with socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        udp.bind(("127.0.0.1", 0))
        reader = DatagramReader(udp, b"")
        reader.doRead()
        assert not reader.reply.called
