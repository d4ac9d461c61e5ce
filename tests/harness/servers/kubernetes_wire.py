"""What an API server of Kubernetes has to do with HTTP and TLS: requests, answers, chunks, a certificate."""

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
    """A request: its line and header, and the fields of its query. ``length`` is that of its body."""

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
    """A connection of one client, and its watch."""

    transport: Any

    def __init__(self, asked: Callable[[Connection, Asked], None], connections: list[Connection]) -> None:
        self.asked: Asked | None = None
        self.watching = False
        self.holds = False
        self._held = b""
        self._told = asked
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
            self._told(self, asked)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self.watching = False
        if self in self._connections:
            self._connections.remove(self)

    def answer(self, status: int, document: Document | bytes) -> None:
        """Send a whole answer."""
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
        """Send what was held back, in one piece."""
        self.holds = False
        data, self._held = self._held, b""
        self.transport.write(data)

    def event(self, kind: str, document: Document) -> None:
        # In a list the nodes do not say what they are, here they do.
        named = {"kind": "Node", "apiVersion": "v1", **document}
        self.chunk(json.dumps({"type": kind, "object": named}).encode() + b"\n")

    def end(self) -> None:
        """End the watch in order."""
        self.watching = False
        self.transport.write(b"0\r\n\r\n")


class TLS(TLSMemoryBIOFactory):
    """TLS without the delays of writes, which need a clock."""

    noisy = False
    protocol = TLSMemoryBIOProtocol


@implementer(IOpenSSLContextFactory)
class Contexts:
    """What makes contexts of a file with a certificate and its key."""

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
    """Return the file of an authority, and that of a certificate with its key; they go with the process."""
    _, authority, certificate = _authority(host)
    return authority, certificate


async def lookup(name: str, family: int) -> LookupResult:
    """Know the address of api.example, and of no other."""
    if name != "api.example" or family != 4:  # IPv4
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    return LookupResult((ip_address("127.0.0.1"),), 60)
