"""HTTP and TLS of the Kubernetes API server of the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.resolve import LookupFailed, LookupResult
from tests.harness.certificates import Authority

Document = dict[str, Any]


class Asked:
    """A request with its header and query fields; ``length`` is that of its body."""

    def __init__(self, head: bytes) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.length = int(self.fields.get("content-length", "0"))
        self.body = b""

    @property
    def verb(self) -> str:
        return "watch" if self.query.get("watch") in ("1", "true") else "list"


class Connection(Protocol):
    """A connection of one client, with at most one watch."""

    transport: Any

    def __init__(self, asked: Callable[[Connection, Asked], None], connections: list[Connection]) -> None:
        self.asked: Asked | None = None
        self.watching = False
        self.holds = False
        self._held = b""
        self._respond = asked
        self._connections = connections
        self._buffer = b""

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self._connections.append(self)
        self.transport.setTcpNoDelay(True)  # as Go does

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, rest = self._buffer.split(b"\r\n\r\n", 1)
            asked = Asked(head)
            if len(rest) < asked.length:
                return
            asked.body, self._buffer = rest[: asked.length], rest[asked.length :]
            self.asked = asked
            self._respond(self, asked)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self.watching = False
        if self in self._connections:
            self._connections.remove(self)

    def answer(self, status: int, document: Document | bytes) -> None:
        """Send a complete response."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        head = f"HTTP/1.1 {status} Any\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def begin(self) -> None:
        """Send the head of a watch."""
        self.watching = True
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-cache, private\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )

    def chunk(self, data: bytes) -> None:
        self._held += b"%x\r\n%s\r\n" % (len(data), data)
        if not self.holds:
            self.release()

    def release(self) -> None:
        """Send the held data in one piece."""
        self.holds = False
        data, self._held = self._held, b""
        self.transport.write(data)

    def event(self, kind: str, document: Document) -> None:
        # Events include kind and apiVersion; nodes in a list do not.
        named = {"kind": "Node", "apiVersion": "v1", **document}
        self.chunk(json.dumps({"type": kind, "object": named}).encode() + b"\n")

    def end(self) -> None:
        """End the watch normally."""
        self.watching = False
        self.transport.write(b"0\r\n\r\n")


class TLS(TLSMemoryBIOFactory):
    """TLS without delayed writes, which need a clock."""

    noisy = False
    protocol = TLSMemoryBIOProtocol


@implementer(IOpenSSLContextFactory)
class Contexts:
    """A factory of contexts from a file with a certificate and its key."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)

    def getContext(self) -> SSL.Context:  # noqa: N802  # Twisted's name
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_file(self._file)
        context.use_privatekey_file(self._file)
        return context


@cache
def _authority(host: str) -> tuple[TemporaryDirectory[str], Path, Path]:
    directory = TemporaryDirectory(prefix="pybal-test-")
    made = Authority(Path(directory.name))
    return directory, made.file, made.issue("api", host=host)


def certified(host: str = "api.example") -> tuple[Path, Path]:
    """Return the files of a CA, and of a certificate with its key; the process removes them at exit."""
    _, authority, certificate = _authority(host)
    return authority, certificate


async def lookup(name: str, family: int) -> LookupResult:
    """Return the address of api.example; other names do not exist."""
    if name != "api.example" or family != 4:  # IPv4
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    return LookupResult((ip_address("127.0.0.1"),), 60)
