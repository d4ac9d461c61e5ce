"""TLS over a non-blocking socket, with its interface: calls that would block raise BlockingIOError."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from socket import SocketType

from pybal.runtime.file_values import FileValue, FileValues

BARREN_LIMIT = 256 * 1024
"""Bytes of TLS records without application data; OpenSSL accepts chains of certificates up to 100 KiB."""

_READ = 16 * 1024
_FINITE_FIELD = "kx-dhe"
_SYSTEM = ssl.get_default_verify_paths().cafile or ""
_ATTEMPTS = 4
"""Reads in one call, at most. A record has up to 16 KiB."""


def shared(
    files: FileValues, *, verify: bool = False, ca: str = "", name: bool = False, protocols: Sequence[str] = ()
) -> FileValue[ssl.SSLContext]:
    """Return the context of all checks in the process with the same parameters, built in a thread.

    With ``verify``, it verifies chains against the CA file ``ca`` or the system's CAs, and optionally names; it is built again when
    the file changes. ``protocols`` are offered by ALPN.
    """

    def build() -> ssl.SSLContext:
        made = context()
        if verify:
            verify_chains(made, ca, name=name)
        if protocols:
            made.set_alpn_protocols(list(protocols))
        return made

    file = ca or _SYSTEM
    key = ("check", verify, ca, name, tuple(protocols))
    return files.value(key, [file] if verify and file else [], build, "using the last CAs, or not checking without any")


def context() -> ssl.SSLContext:
    """Return a context that accepts any certificate, as in PyBal 1.15.

    Versions and ciphers follow the system's policy from TLS 1.2 on, without finite-field Diffie-Hellman: the server chooses its group,
    and one of 8,192 bits takes 0.35 s of CPU time in a single call. Sessions are not resumed: with the standard library that costs more
    than it saves, and a full handshake checks more.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Debian's Python takes the minimum from OpenSSL, whose default in Debian 12 is TLS 1.0.
    made.minimum_version = max(made.minimum_version, ssl.TLSVersion.TLSv1_2)
    ciphers = [cipher for cipher in made.get_ciphers() if cipher["kea"] != _FINITE_FIELD]
    made.set_ciphers(":".join(cipher["name"] for cipher in ciphers if cipher["protocol"] != "TLSv1.3"))
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def verify_chains(context: ssl.SSLContext, ca: str, *, name: bool) -> None:
    """Make a context verify chains against the CA file ``ca`` or the system's CAs, and optionally names.

    Raises OSError if the file cannot be read or has no certificate.
    """
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = name
    if ca:
        context.load_verify_locations(cafile=ca)
    else:
        context.load_default_certs()


class Busy(Exception):  # noqa: N818  # a state, not an error
    """More data may have arrived than fits in one event: call again at the next tick."""


class NoData(Exception):  # noqa: N818  # a property of the server
    """The server sends TLS records without application data, or reads nothing."""


class TLSStream:
    """A TLS client on a connected socket; ``server_name`` is the SNI unless empty or an address.

    Call :meth:`handshake` until ``secured`` is true. Each call reads a bounded number of bytes and raises Busy if that does not
    suffice. Handshake messages, session tickets and other records without application data are limited, because a server can send
    them without end and OpenSSL skips many of them silently.
    """

    __slots__ = ("_barren", "_incoming", "_object", "_outgoing", "_plain", "_socket", "_unsent", "secured")

    def __init__(self, sock: SocketType, tls: ssl.SSLContext, server_name: str) -> None:
        self.secured = False
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = server_name.removesuffix(".")  # RFC 6066 §3
        self._object = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        self._plain = b""
        self._unsent = b""
        self._barren = 0

    def handshake(self) -> None:
        """Continue the handshake; raises BlockingIOError until it is complete.

        Its last flight is sent with the first data.
        """
        for _ in range(_ATTEMPTS):
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except ssl.SSLError:
                with suppress(OSError):
                    self.flush()  # sends the TLS alert
                raise
            else:
                self.secured, self._barren = True, 0
                return
        raise Busy

    @property
    def heard(self) -> bool:
        """True if the server has sent a record after the handshake."""
        return self.secured and self._barren > 0

    @property
    def version(self) -> str:
        """The protocol version, such as ``TLSv1.3``, after the handshake."""
        return self._object.version() or ""

    @property
    def certificate(self) -> bytes:
        """The server's certificate in DER form, after the handshake."""
        return self._object.getpeercert(binary_form=True) or b""

    @property
    def protocol(self) -> str:
        """The ALPN protocol selected by the server, empty for none, after the handshake."""
        return self._object.selected_alpn_protocol() or ""

    def send(self, data: bytes) -> int:
        """Queue all data; :meth:`recv` sends it."""
        self._plain += data
        return len(data)

    def recv(self, size: int) -> bytes:
        """Send queued data and return received data; empty at the end of the connection."""
        for _ in range(_ATTEMPTS):
            try:
                if self._plain:
                    self._object.write(self._plain)
                    self._plain = b""
                self.flush()
                data = self._object.read(size)
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            else:
                self._barren = 0
                return data + self._rest(size - len(data)) if self._incoming.pending else data
        raise Busy

    def flush(self) -> None:
        """Send pending records without blocking."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        if self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                sent = 0
            self._unsent = self._unsent[sent:]
            if len(self._unsent) > BARREN_LIMIT:
                raise NoData(f"more than {BARREN_LIMIT} bytes that the server does not read")

    def _rest(self, size: int) -> bytes:
        """Return the data of further records that have arrived: a server may send very short ones."""
        pieces = []
        with suppress(ssl.SSLError):  # a permanent one is raised again by the next call
            while size > 0 and self._incoming.pending:
                piece = self._object.read(size)
                size -= len(piece)
                pieces.append(piece)
        return b"".join(pieces)

    def _fill(self) -> None:
        data = self._socket.recv(_READ)
        self._barren += len(data)
        if self._barren > BARREN_LIMIT:
            raise NoData(f"more than {BARREN_LIMIT} bytes of TLS records without data")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
