"""A scripted DNS server in the reactor of the test. twisted.names encodes its messages."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from twisted.internet.defer import maybeDeferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import DatagramProtocol, ServerFactory
from twisted.internet.tcp import Port as StreamPort
from twisted.internet.tcp import Server as Transport
from twisted.internet.udp import Port as DatagramPort
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver

SOME_RECORDS = (
    dns.RRHeader("www.example", dns.CNAME, ttl=60, payload=dns.Record_CNAME("web.example", ttl=60)),
    dns.RRHeader("web.example", dns.A, ttl=60, payload=dns.Record_A("192.0.2.7", ttl=60)),
    dns.RRHeader("web.example", dns.AAAA, ttl=60, payload=dns.Record_AAAA("2001:db8::7", ttl=60)),
)


def decoded(message: bytes) -> dns.Message:
    made = dns.Message()
    made.fromStr(message)
    return made


def answer(
    query: bytes,
    code: int = dns.OK,
    *,
    records: tuple[dns.RRHeader, ...] = SOME_RECORDS,
    truncated: bool = False,
    number: int | None = None,
    questions: list[dns.Query] | None = None,
) -> bytes:
    """Return a response to a query, correct except for the given arguments."""
    asked = decoded(query)
    made = dns.Message(id=asked.id if number is None else number, answer=1, recDes=1, recAv=1, rCode=code)
    made.trunc = truncated
    made.queries = asked.queries if questions is None else questions
    made.answers = [] if code or truncated else list(records)
    return made.toStr()


def framed(message: bytes) -> bytes:
    """Return a message with its length prefix for TCP."""
    return len(message).to_bytes(2, "big") + message


class Stream(Int16StringReceiver):
    """The server side of a TCP connection."""

    transport: Transport

    def __init__(self, server: NameServer) -> None:
        self.server = server

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self.server.streams.append(self)

    def stringReceived(self, string: bytes) -> None:  # noqa: N802  # Twisted's name
        self.server.asked_by_tcp(self, string)

    def say(self, message: bytes) -> None:
        self.transport.write(framed(message))


class _Streams(ServerFactory):
    noisy = False

    def __init__(self, server: NameServer) -> None:
        self.server = server

    def buildProtocol(self, addr: IAddress | None) -> Stream:  # noqa: N802  # Twisted's name
        return Stream(self.server)


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, server: NameServer) -> None:
        self.server = server

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:  # noqa: N802  # Twisted's name
        server = self.server
        server.queries.append(datagram)
        server.clients.append(addr)
        for message in server.answers(datagram):
            assert self.transport is not None
            self.transport.write(message, addr)


class NameServer:
    """A server that sends what ``answers`` returns for each query; TCP queries go to ``asked_by_tcp``."""

    def __init__(self, reactor: EPollReactor, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.queries: list[bytes] = []
        self.clients: list[tuple[str, int]] = []
        self.streams: list[Stream] = []
        self.answers: Callable[[bytes], list[bytes]] = lambda query: [answer(query)]
        self.asked_by_tcp: Callable[[Stream, bytes], object] = self._say_answers
        self.reactor = reactor
        self._host = host
        self._datagrams: DatagramPort | None = None
        self._tcp: StreamPort | None = None

    async def __aenter__(self) -> Self:
        self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        await self.stop_tcp()

    def say(self, message: bytes) -> None:
        """Send a datagram to the client of the last query."""
        assert self._datagrams is not None
        self._datagrams.write(message, self.clients[-1])

    def _say_answers(self, stream: Stream, query: bytes) -> None:
        for message in self.answers(query):
            stream.say(message)

    def listen(self) -> None:
        """Listen on UDP, and on the first call also on TCP at the same port."""
        while True:
            self._datagrams = DatagramPort(self.port, _Datagrams(self), self._host, reactor=self.reactor)
            self._datagrams.startListening()
            if self.port:
                return
            port = self._datagrams.getHost().port
            self._tcp = StreamPort(port, _Streams(self), interface=self._host, reactor=self.reactor)
            try:
                self._tcp.startListening()
            except CannotListenError:
                self._datagrams.stopListening()
                continue
            self.port = port
            return

    async def stop(self) -> None:
        """Stop listening on UDP."""
        port, self._datagrams = self._datagrams, None
        if port is not None:
            await maybeDeferred(port.stopListening)

    async def stop_tcp(self) -> None:
        """Abort all TCP connections and stop listening on TCP."""
        for stream in self.streams:
            if stream.transport.connected:
                stream.transport.abortConnection()
        port, self._tcp = self._tcp, None
        if port is not None:
            await maybeDeferred(port.stopListening)
