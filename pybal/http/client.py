"""HTTP requests and streamed responses, over private connections, with limits on time and size.

twisted.web's Agent is not used: it accepts any number of header lines, gives few details of an error, cannot abort a body
and costs several times as much. An idle connection is reused because the TLS handshake is most of the cost of a poll. It
is reused for at most :data:`LIFE` seconds: then the host name is resolved again. If a reused connection turns out to be
closed or dead, the request is repeated on a new one before any error is reported.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any

from twisted.internet import error as internet
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from typing_extensions import override

from pybal.core.model import Address
from pybal.http.connection import BodyListener, FullResponse, HTTPConnection, HTTPConnectionFactory, Stale
from pybal.http.echo import Secrets
from pybal.http.errors import Fault, ProtocolError
from pybal.http.trust import Trust
from pybal.resolve import Lookup, LookupFailed
from pybal.runtime.reactor import Reactor

#: Deadline of a whole request in seconds, from its turn on: name resolution, connection, TLS handshake and response.
TIMEOUT = 5.0

#: Seconds for which a request keeps its turn to open a connection, at most; a handshake takes 10 ms.
TURN = 0.5

#: Seconds for which a connection is reused.
LIFE = 60.0

#: Bytes read in one call of the reactor, which limits the time to parse them: very short chunks take 5 µs each.
READ = 16 * 1024

#: Default limit on the bytes of a body.
LARGEST = 4 * 2**20

_ENDPOINTS: Mapping[int, Any] = {4: TCP4ClientEndpoint, 6: TCP6ClientEndpoint}
_DEFAULT_PORTS = {False: 80, True: 443}


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """A request. ``path`` is quoted, with the query; ``fields`` and ``secrets`` may hold credentials."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class _TLSProtocol(TLSMemoryBIOProtocol):
    """Forgets the frames of the exception that ended the connection.

    They refer to it, and such a cycle may stay for hours (:mod:`pybal.runtime.heap`).
    """

    @override
    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]  # Twisted's
        if reason is not None:
            reason.cleanFailure()


class HTTPClient:
    """A client of one server, given by name or address; uses TLS if ``trust`` is set.

    ``reactor`` as in :mod:`pybal.daemon.app`. Requests fail with :class:`ProtocolError`, also if a body has more than
    ``limit`` bytes, or if a response repeats the credentials of the request.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        trust: Trust | None,
        reactor: Reactor,
        lookup: Lookup,
        limit: int = LARGEST,
    ) -> None:
        self._host = host
        self._port = port
        self._trust = trust
        self._reactor = reactor
        self._lookup = lookup
        self._factory = HTTPConnectionFactory(reactor, limit, secure=trust is not None)
        shown = f"[{host}]" if ":" in host else host
        self._authority = shown if port == _DEFAULT_PORTS[trust is not None] else f"{shown}:{port}"
        self._last_addresses: list[Address] = []
        self._turn = 0
        self._idle: HTTPConnection | None = None
        self._stream: HTTPConnection | None = None
        self._requests: set[Deferred[FullResponse]] = set()

    def request(
        self, request: HTTPRequest, timeout: float = TIMEOUT, body_statuses: Container[int] | None = None
    ) -> Deferred[FullResponse]:
        """Return the response; without its body if ``body_statuses`` is set and lacks the status."""
        secrets = Secrets(request.fields, request.secrets)
        exchange = partial(self._request, self._bytes(request), timeout, body_statuses)
        return self._begin(lambda: _guarded(exchange(), secrets), timeout, reuse=True)

    def stream(self, request: HTTPRequest, listener: BodyListener, timeout: float = TIMEOUT) -> Deferred[FullResponse]:
        """Return the response after its headers if the status is 200; the ``listener`` receives the body.

        A response with another status is returned with its body and the listener receives nothing. A stream has its own
        connection. Starting a new one aborts the previous one.
        """
        if self._stream is not None:
            self._stream.abort()
        secrets = Secrets(request.fields, request.secrets)
        listener = listener._replace(received=secrets.guarded(listener.received))
        exchange = partial(self._open_stream, self._bytes(request), listener, timeout)
        return self._begin(lambda: _guarded(exchange(), secrets), timeout, reuse=False)

    def close(self) -> None:
        """Abort all requests, which fail with CancelledError, and the stream; the client stays usable."""
        for pending in tuple(self._requests):
            pending.cancel()
        for connection in (self._idle, self._stream):
            if connection is not None:
                connection.abort()
        self._idle = self._stream = None

    def _begin(self, exchange: Callable[[], Any], timeout: float, *, reuse: bool) -> Deferred[FullResponse]:
        def discard(result: FullResponse | Failure) -> FullResponse | Failure:
            self._requests.discard(pending)
            return result

        pending: Deferred[FullResponse] = Deferred.fromCoroutine(self._in_turn(exchange, timeout, reuse=reuse))
        self._requests.add(pending)
        return pending.addBoth(discard)

    async def _in_turn(self, exchange: Callable[[], Any], within: float, *, reuse: bool) -> FullResponse:
        """Make an exchange, whose deadline begins when it is its turn to open a connection."""

        def timed_out(result: FullResponse | Failure, _timeout: float) -> FullResponse | Failure:
            if not isinstance(result, Failure) or not isinstance(result.value, CancelledError):
                return result  # the response, or another reason, came in the same moment
            stage, fault = result.value.args
            raise ProtocolError(f"{stage} within {within:g} s", fault)

        idle = self._idle if reuse else None
        if self._trust is None or (idle is not None and self._is_free(idle)):
            return await Deferred.fromCoroutine(exchange()).addTimeout(within, self._reactor, timed_out)
        turns = self._trust.turns
        await turns.acquire()
        # A server that does not respond must not keep the others waiting until its deadline.
        end = self._reactor.callLater(TURN, turns.release)
        try:
            return await Deferred.fromCoroutine(exchange()).addTimeout(within, self._reactor, timed_out)
        finally:
            if end.active():
                end.cancel()
                turns.release()

    async def _request(self, data: bytes, within: float, body_statuses: Container[int] | None) -> FullResponse:
        idle, self._idle = self._idle, None
        if idle is not None and not self._is_free(idle):
            idle.abort()
        elif idle is not None:
            with suppress(Stale):  # the server closed it, or the network dropped it
                return await self._exchange(idle, data, body_statuses)
        return await self._exchange(await self._connection(within), data, body_statuses)

    async def _open_stream(self, data: bytes, listener: BodyListener, within: float) -> FullResponse:
        return await self._exchange(await self._connection(within), data, listener=listener)

    async def _exchange(
        self,
        connection: HTTPConnection,
        data: bytes,
        body_statuses: Container[int] | None = None,
        listener: BodyListener | None = None,
    ) -> FullResponse:
        try:
            response = await connection.send(data, body_statuses, listener)
        except CancelledError:
            self._turn += 1
            stage = connection.stage
            connection.abort()
            raise CancelledError(stage, Fault.NO_RESPONSE) from None
        except ProtocolError:
            self._turn += 1
            raise
        if connection.is_streaming:
            self._stream = connection
        elif self._idle is None and self._is_free(connection):
            self._idle = connection
        else:
            connection.abort()
        return response

    def _is_free(self, connection: HTTPConnection) -> bool:
        return connection.is_free and self._reactor.seconds() - connection.made_at < LIFE

    async def _connection(self, within: float) -> HTTPConnection:
        """Return a new connection: to the address that worked last, or else to the next one."""
        try:
            creator = None if self._trust is None else await self._trust.creator(self._host)
            addresses = await self._addresses()
            share = within / len(addresses)
            reason = ""
            for _ in addresses:
                address = addresses[self._turn % len(addresses)]
                try:
                    return await self._connect(address, share, creator)
                except internet.TimeoutError:
                    reason = f"no connection within {share:g} s"
                except internet.ConnectError as error:
                    reason = _connect_reason(error)
                self._turn += 1
        except (CancelledError, internet.ConnectingCancelledError):
            raise CancelledError("no connection", Fault.UNREACHABLE) from None
        raise ProtocolError(reason, Fault.UNREACHABLE)

    async def _addresses(self) -> list[Address]:
        try:
            return [ip_address(self._host)]
        except ValueError:
            found: list[Address] = []
        reason = ""
        for version in _ENDPOINTS:
            try:
                found += (await self._lookup(self._host, version)).addresses
            except LookupFailed as failed:
                # The server may be up although DNS fails.
                if self._last_addresses and not failed.definite:
                    return self._last_addresses
                reason = reason or str(failed)
        if not found:
            raise ProtocolError(f"cannot resolve {self._host}: {reason}", Fault.UNREACHABLE)
        self._last_addresses = found
        return found

    async def _connect(
        self, address: Address, within: float, creator: IOpenSSLClientConnectionCreator | None
    ) -> HTTPConnection:
        endpoint = _ENDPOINTS[address.version](self._reactor, str(address), self._port, within)
        if creator is None:
            made = await endpoint.connect(self._factory)
            made.transport.bufferSize = READ
        else:
            secured = TLSMemoryBIOFactory(creator, isClient=True, wrappedFactory=self._factory)
            # The default buffers small writes until the global reactor's next turn, which may be another reactor.
            secured.protocol = _TLSProtocol
            outer = await endpoint.connect(secured)
            outer.transport.bufferSize = READ
            made = outer.wrappedProtocol
        assert isinstance(made, HTTPConnection)  # noqa: S101  # the factory makes no others
        return made

    def _bytes(self, request: HTTPRequest) -> bytes:
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {self._authority}", "User-Agent: PyBal"]
        lines += (f"{name}: {value}" for name, value in request.fields.items())
        if request.body or request.method != "GET":
            lines.append(f"Content-Length: {len(request.body)}")
        return "\r\n".join((*lines, "", "")).encode("ascii") + request.body


async def _guarded(exchange: Awaitable[FullResponse], secrets: Secrets) -> FullResponse:
    """Return the response of an exchange, or refuse it if it repeats a secret."""
    try:
        answer = await exchange
    except ProtocolError as error:
        secrets.refuse_text(error)
        raise
    secrets.refuse(answer.body, *answer.response.head)
    return answer


def _connect_reason(error: internet.ConnectError) -> str:
    """Return the reason why a connection failed."""
    number = getattr(error, "osError", None)
    code = number if isinstance(number, int) else getattr(number, "errno", None)
    if code == errno.ECONNREFUSED:
        return "connection refused"
    return os.strerror(code).lower() if code else str(error) or type(error).__name__
