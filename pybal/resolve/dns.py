"""A DNS client: UDP with EDNS (RFC 6891), then TCP if the response is truncated or may lack records.

Consul and some cloud DNS return a changing part of the records over UDP, without the flag for truncation.

Queries are encoded by twisted.names, responses decoded by :mod:`pybal.resolve.message`. The client of twisted.names is not used: it
logs two lines per query, cannot be cancelled, and takes the SERVFAIL of one server as the final result.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import pack

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IAddress, IConnector, IReadDescriptor
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from pybal.resolve.message import OPT, Response, response
from pybal.runtime.reactor import Reactor

#: Messages over TCP that are not the response, at most.
MESSAGES_LIMIT = 100

#: Room for any datagram: a server may send more than the 512 bytes of RFC 1035.
_LARGEST = 65535


#: Size of a datagram that is not fragmented, in bytes (DNS flag day 2020).
_DATAGRAM = 1232

_WITHOUT_EDNS = (dns.EFORMAT, dns.ENOTIMP)
"""Codes of servers that do not support EDNS (RFC 6891 §7)."""


class NoReply(Exception):  # noqa: N818  # a fact about the server
    """No response: a timeout, a refused connection, or an unreachable server."""


def _send(udp: socket.socket, message: bytes) -> None:
    with suppress(OSError):  # the reader reports it
        udp.send(message)


def with_edns(question: bytes) -> bytes:
    """Return a query with an OPT record."""
    return question[:10] + b"\0\1" + question[12:] + b"\0" + pack(">HHIH", OPT, _DATAGRAM, 0, 0)


def may_lack_records(response: Response) -> bool:
    """Return whether a response over UDP may be partial: any SRV, or several addresses without EDNS."""
    kinds = [record.kind for record in response.records if record.data is not None]
    return dns.SRV in kinds or (len(kinds) > 1 and not response.edns)


class DNSClient:
    """A DNS client; UDP and TCP have a timeout of ``timeout`` seconds each."""

    def __init__(self, reactor: Reactor, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout

    async def ask(self, server: tuple[str, int], query: dns.Query) -> Response:
        """Return the response of ``server``, an address and a port, with any code.

        Raises :class:`NoReply`.
        """
        # A random ID and port prevent forged responses (RFC 5452 §9).
        message = dns.Message(id=dns.randomSource(), recDes=1)
        message.queries = [query]
        question = message.toStr()
        try:
            response = await self._by_udp(server, question, with_edns(question))
            if response.code in _WITHOUT_EDNS:
                response = await self._by_udp(server, question, question)
            if response.truncated:
                return await self._by_tcp(server, question)
            return await self._completed(server, question, response) if may_lack_records(response) else response
        except defer.TimeoutError:
            raise NoReply(f"no response in {self._timeout:g} s") from None
        except OSError as error:
            raise NoReply(error.strerror or str(error)) from error
        except (ConnectError, ConnectionClosed) as error:
            raise NoReply(str(error)) from error

    async def _completed(self, server: tuple[str, int], question: bytes, partial: Response) -> Response:
        """Return the response over TCP, or else the one over UDP."""
        try:
            complete = await self._by_tcp(server, question)
        except (defer.TimeoutError, OSError, ConnectError, ConnectionClosed, NoReply):
            return partial
        return complete if complete.code == partial.code and not complete.truncated else partial

    async def _by_udp(self, server: tuple[str, int], question: bytes, message: bytes) -> Response:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
            udp.connect(server)
            udp.send(message)
            reader = DatagramReader(udp, question)
            self._reactor.addReader(reader)
            # Some firewalls drop queries with EDNS.
            again = self._reactor.callLater(self._timeout / 2, _send, udp, question)
            try:
                return await reader.reply.addTimeout(self._timeout, self._reactor)
            finally:
                self._reactor.removeReader(reader)
                if again.active():
                    again.cancel()

    async def _by_tcp(self, server: tuple[str, int], question: bytes) -> Response:
        factory = _StreamFactory(question)
        connector = self._reactor.connectTCP(*server, factory)
        try:
            return await factory.reply.addTimeout(self._timeout, self._reactor)
        finally:
            connector.disconnect()


@implementer(IReadDescriptor)
class DatagramReader:
    """Reads datagrams until one is the response; ignores all others."""

    def __init__(self, udp: socket.socket, question: bytes) -> None:
        self.reply: Deferred[Response] = Deferred()
        self._socket = udp
        self._question = question

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "dns"

    def doRead(self) -> None:
        try:
            found = response(self._socket.recv(_LARGEST), self._question)
        except BlockingIOError:
            return
        except OSError as error:
            self.reply.errback(error)
            return
        if found is not None:
            self.reply.callback(found)

    def connectionLost(self, reason: Failure) -> None:
        # An error is pending: the port is closed, or the server is unreachable.
        self.doRead()


class _QuestionStream(Int16StringReceiver):
    """Sends the question and reads the response."""

    def __init__(self, question: bytes, reply: Deferred[Response]) -> None:
        self._question = question
        self._reply = reply
        self._others = 0

    @override
    def connectionMade(self) -> None:
        self.sendString(self._question)  # type: ignore[no-untyped-call]  # Twisted's

    @override
    def stringReceived(self, string: bytes) -> None:
        if self._reply.called:
            return
        found = response(string, self._question)
        if found is not None:
            self._reply.callback(found)
            return
        self._others += 1
        if self._others > MESSAGES_LIMIT:
            self.pauseProducing()  # type: ignore[no-untyped-call]  # Twisted's; ends the loop over received messages
            self._reply.errback(NoReply(f"more than {MESSAGES_LIMIT} messages that do not answer the query"))

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._reply.called:
            self._reply.errback(reason)


class _StreamFactory(ClientFactory):
    noisy = False

    def __init__(self, question: bytes) -> None:
        self.reply: Deferred[Response] = Deferred()
        self._question = question

    @override
    def buildProtocol(self, addr: IAddress | None) -> _QuestionStream:
        return _QuestionStream(self._question, self.reply)

    @override
    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.reply.called:
            self.reply.errback(reason)
