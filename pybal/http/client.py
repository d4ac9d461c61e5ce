"""HTTP requests to the server of a pool source, and answers without end: over connections of its own, in bounded time and size.

twisted.web's Agent is not used: it takes any number of header lines, says little of what went wrong, cannot abort a body
and costs several times as much. A connection is kept because a TLS handshake for each poll of each source is what it is
mostly made of. It lives for :data:`LIFE` seconds, lest we stay for ever with the server that a name once led to; and when
it turns out to be closed, or dead, a new one is made before anything is said.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from twisted.internet import error as internet
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from pybal.core.model import Address
from pybal.http.connection import BodyListener, FullResponse, Gone, HTTPConnection, HTTPConnectionFactory
from pybal.http.errors import Fault, ProtocolError
from pybal.http.trust import Trust
from pybal.resolve import Lookup, LookupFailed

#: Seconds for a whole request, with all that goes before it.
TIMEOUT = 5.0

#: Seconds after which a connection is not used for another request.
LIFE = 60.0

#: More bytes are not a list of servers.
LARGEST = 4 * 2**20

_ENDPOINTS: Mapping[int, Any] = {4: TCP4ClientEndpoint, 6: TCP6ClientEndpoint}
_DEFAULT_PORTS = {False: 80, True: 443}


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """What is asked. ``path`` has the query with it, quoted; ``fields`` are header lines, and may hold credentials."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)


class HTTPClient:
    """Asks one server, by name or address, over TLS if there is a ``trust``; ``reactor`` as in :mod:`pybal.daemon.app`.

    A body of more than ``limit`` bytes is refused. What fails fails with :class:`ProtocolError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        trust: Trust | None,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
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
        self._known: list[Address] = []
        self._turn = 0
        self._kept: HTTPConnection | None = None
        self._followed: HTTPConnection | None = None
        self._asking: set[Deferred[FullResponse]] = set()

    def ask(
        self, request: HTTPRequest, timeout: float = TIMEOUT, heeded: Container[int] | None = None
    ) -> Deferred[FullResponse]:
        """Return the answer, with all of its body if its status is ``heeded``: any is, unless they are given."""
        return self._begin(self._asked(self._bytes(request), timeout, heeded), timeout)

    def follow(self, request: HTTPRequest, listener: BodyListener, timeout: float = TIMEOUT) -> Deferred[FullResponse]:
        """Return the answer as soon as it begins; the ``listener`` is then given its body, for as long as it goes on.

        That is, if its status is 200; any other answer is returned as a whole, and the listener hears nothing. One is
        followed at a time, over a connection of its own: to follow another ends it.
        """
        if self._followed is not None:
            self._followed.abort()
        return self._begin(self._following(self._bytes(request), listener, timeout), timeout)

    def close(self) -> None:
        """End all that goes on, and tell nobody but those who wait for an answer: CancelledError. It can be used again."""
        for asking in tuple(self._asking):
            asking.cancel()
        for connection in (self._kept, self._followed):
            if connection is not None:
                connection.abort()
        self._kept = self._followed = None

    def _begin(self, asked: Any, timeout: float) -> Deferred[FullResponse]:  # noqa: ANN401  # a coroutine, without three type arguments
        def overdue(result: FullResponse | Failure, _timeout: float) -> FullResponse | Failure:
            if not isinstance(result, Failure) or result.value is None:
                return result
            stage, fault = result.value.args
            raise ProtocolError(f"{stage} within {timeout:g} s", fault)

        def over(result: FullResponse | Failure) -> FullResponse | Failure:
            self._asking.discard(asking)
            return result

        asking: Deferred[FullResponse] = Deferred.fromCoroutine(asked)
        self._asking.add(asking)
        return asking.addTimeout(timeout, self._reactor, overdue).addBoth(over)

    async def _asked(self, data: bytes, within: float, heeded: Container[int] | None) -> FullResponse:
        kept, self._kept = self._kept, None
        if kept is not None and not self._is_free(kept):
            kept.abort()
        elif kept is not None:
            with suppress(Gone):  # closed by the server since, or without its knowledge
                return await self._answer(kept, data, heeded)
        return await self._answer(await self._connection(within), data, heeded)

    async def _following(self, data: bytes, listener: BodyListener, within: float) -> FullResponse:
        return await self._answer(await self._connection(within), data, listener=listener)

    async def _answer(
        self,
        connection: HTTPConnection,
        data: bytes,
        heeded: Container[int] | None = None,
        listener: BodyListener | None = None,
    ) -> FullResponse:
        try:
            answer = await connection.ask(data, heeded, listener)
        except CancelledError:
            self._turn += 1
            stage = connection.stage
            connection.abort()
            raise CancelledError(stage, Fault.NO_RESPONSE) from None
        except ProtocolError:
            self._turn += 1
            raise
        if connection.is_followed:
            self._followed = connection
        elif self._kept is None and self._is_free(connection):
            self._kept = connection
        else:
            connection.abort()
        return answer

    def _is_free(self, connection: HTTPConnection) -> bool:
        return connection.is_free and self._reactor.seconds() - connection.made_at < LIFE

    async def _connection(self, within: float) -> HTTPConnection:
        """Return a new connection: to the address that was good last, or else to the next."""
        try:
            addresses = await self._addresses()
            share = within / len(addresses)
            why = ""
            for _ in addresses:
                address = addresses[self._turn % len(addresses)]
                try:
                    return await self._connect(address, share)
                except internet.TimeoutError:
                    why = f"no connection within {share:g} s"
                except internet.ConnectError as error:
                    why = _why(error)
                self._turn += 1
        except (CancelledError, internet.ConnectingCancelledError):
            raise CancelledError("no connection", Fault.UNREACHABLE) from None
        raise ProtocolError(why, Fault.UNREACHABLE)

    async def _addresses(self) -> list[Address]:
        try:
            return [ip_address(self._host)]
        except ValueError:
            found: list[Address] = []
        why = ""
        for version in _ENDPOINTS:
            try:
                found += (await self._lookup(self._host, version)).addresses
            except LookupFailed as failed:
                # While DNS fails the server may well be there.
                if self._known and not failed.definite:
                    return self._known
                why = why or str(failed)
        if not found:
            raise ProtocolError(f"address of {self._host}: {why}", Fault.UNREACHABLE)
        self._known = found
        return found

    async def _connect(self, address: Address, within: float) -> HTTPConnection:
        endpoint = _ENDPOINTS[address.version](self._reactor, str(address), self._port, within)
        if self._trust is None:
            made = await endpoint.connect(self._factory)
        else:
            creator = self._trust.creatorForNetloc(self._host.encode("ascii"), self._port)
            secured = TLSMemoryBIOFactory(creator, isClient=True, wrappedFactory=self._factory)
            # The default waits with small writes for a turn of the process's reactor, which need not be ours.
            secured.protocol = TLSMemoryBIOProtocol
            made = (await endpoint.connect(secured)).wrappedProtocol
        assert isinstance(made, HTTPConnection)  # noqa: S101  # the factory makes no others
        return made

    def _bytes(self, request: HTTPRequest) -> bytes:
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {self._authority}", "User-Agent: PyBal"]
        lines += (f"{name}: {value}" for name, value in request.fields.items())
        if request.body or request.method != "GET":
            lines.append(f"Content-Length: {len(request.body)}")
        return "\r\n".join((*lines, "", "")).encode("ascii") + request.body


def _why(error: internet.ConnectError) -> str:
    """Return in words why there is no connection."""
    number = getattr(error, "osError", None)
    code = number if isinstance(number, int) else getattr(number, "errno", None)
    if code == errno.ECONNREFUSED:
        return "connection refused"
    return os.strerror(code).lower() if code else str(error) or type(error).__name__
