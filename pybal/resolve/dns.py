"""A DNS client: UDP, then TCP if the response is truncated (RFC 1035 §4.2).

Queries are encoded by twisted.names, responses decoded by :mod:`pybal.resolve.message`. The client of twisted.names is not used: it
logs two lines per query, cannot be cancelled, and takes the SERVFAIL of one server as the final result.
"""

from __future__ import annotations

import socket

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

from pybal.resolve.message import Response, response
from pybal.runtime.reactor import Reactor

#: Messages over TCP that are not the response, at most.
MESSAGES_LIMIT = 100

#: Room for any datagram: a server may send more than the 512 bytes of RFC 1035.
_LARGEST = 65535


class NoReply(Exception):  # noqa: N818  # a fact about the server
    """No response: a timeout, a refused connection, or an unreachable server."""


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
            response = await self._by_udp(server, question)
            return await self._by_tcp(server, question) if response.truncated else response
        except defer.TimeoutError:
            raise NoReply(f"no response in {self._timeout:g} s") from None
        except OSError as error:
            raise NoReply(error.strerror or str(error)) from error
        except (ConnectError, ConnectionClosed) as error:
            raise NoReply(str(error)) from error

    async def _by_udp(self, server: tuple[str, int], question: bytes) -> Response:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
            udp.connect(server)
            udp.send(question)
            reader = DatagramReader(udp, question)
            self._reactor.addReader(reader)
            try:
                return await reader.reply.addTimeout(self._timeout, self._reactor)
            finally:
                self._reactor.removeReader(reader)

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
