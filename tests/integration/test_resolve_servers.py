"""Names asked of a DNS server that is slow, wrong or hostile: one played by the test, on a socket of its own."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.resolve import LookupFailed, LookupResult, dns_lookup, servers
from pybal.resolve.dns import _Datagrams
from tests.harness.stepped_reactor import run

RIGHT = "10.0.0.1"
FORGED = "10.6.6.6"

Reply = Callable[[bytes], list[bytes]]


def answer(query: bytes, address: str = RIGHT, *, flags: int = 0x8180, number: int | None = None) -> bytes:
    """Return a response with one A record, to the question of ``query`` and with its number unless another is given."""
    own = struct.unpack_from("!H", query)[0]
    head = struct.pack("!6H", own if number is None else number, flags, 1, 1, 0, 0)
    return head + query[12:] + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + socket.inet_aton(address)


def sockets() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket with the same port; the latter refuses connections until it is told to listen."""
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


class Server:
    """Answers each question with what ``reply`` makes of it, each after ``delay`` seconds."""

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
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "TIMEOUT", 0.5)


def ask(tmp_path: Path, server: Server) -> LookupResult:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    async def main(reactor: EPollReactor) -> LookupResult:
        hosts, resolv_conf = str(tmp_path / "none"), str(tmp_path / "resolv.conf")
        return await dns_lookup(reactor, hosts=hosts, resolv_conf=resolv_conf, port=server.port)("web1.test", 4)

    return run(main)


def addresses(tmp_path: Path, server: Server) -> list[str]:
    return [str(address) for address in ask(tmp_path, server).addresses]


def refusal(tmp_path: Path, server: Server) -> str:
    with pytest.raises(LookupFailed) as failed:
        ask(tmp_path, server)
    assert not failed.value.definite
    return str(failed.value)


def test_a_slow_answer_is_waited_for(tmp_path: Path, server: Server) -> None:
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
def test_what_does_not_answer_the_question_is_not_looked_at(
    tmp_path: Path, server: Server, forged: Callable[[bytes], bytes]
) -> None:
    server.reply = lambda query: [forged(query), answer(query)]
    assert addresses(tmp_path, server) == [RIGHT]


@pytest.mark.usefixtures("impatient")
def test_silence_is_no_definite_answer(tmp_path: Path, server: Server) -> None:
    server.reply = lambda query: []
    assert refusal(tmp_path, server) == "no answer in 0.5 s from 127.0.0.1"


def test_a_code_without_a_name_is_shown_as_its_number(tmp_path: Path, server: Server) -> None:
    server.reply = lambda query: [answer(query, flags=0x8180 | 9)]
    assert refusal(tmp_path, server) == "code 9 from 127.0.0.1"


def test_an_answer_cut_short_by_a_server_without_tcp_is_no_definite_answer(tmp_path: Path, server: Server) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    assert "refused" in refusal(tmp_path, server)


@pytest.mark.usefixtures("impatient")
def test_silence_by_tcp_is_no_definite_answer(tmp_path: Path, server: Server) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    server.tcp.listen()
    assert refusal(tmp_path, server) == "no answer in 0.5 s from 127.0.0.1"


def test_a_tcp_connection_closed_at_once_is_no_definite_answer(tmp_path: Path, server: Server) -> None:
    server.reply = lambda query: [answer(query, flags=0x8380)]
    server.tcp.listen()

    def close_at_once() -> None:
        server.tcp.accept()[0].close()

    closer = threading.Thread(target=close_at_once)
    closer.start()
    assert "from 127.0.0.1" in refusal(tmp_path, server)
    closer.join()


def test_aliases_are_followed_as_the_server_tells_them(tmp_path: Path, server: Server) -> None:
    def alias(query: bytes) -> bytes:
        head = query[:2] + struct.pack("!5H", 0x8180, 1, 2, 0, 0)
        name = b"\x03lb1\xc0\x11"  # lb1, and the rest of web1.test
        first = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 7, len(name)) + name
        target = len(head) + len(query[12:]) + 12
        return head + query[12:] + first + struct.pack("!HHHIH", 0xC000 | target, 1, 1, 300, 4) + b"\x0a\x00\x00\x02"

    server.reply = lambda query: [alias(query)]
    assert ask(tmp_path, server) == LookupResult((ip_address("10.0.0.2"),), 7)


def test_a_socket_that_has_nothing_to_read_is_no_failure() -> None:
    with socket.socket(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        udp.bind(("127.0.0.1", 0))
        reader = _Datagrams(udp, dns.Message())
        reader.doRead()
        assert not reader.reply.called
