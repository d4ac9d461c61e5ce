"""TLS over a non-blocking socket, with its interface: calls that would block raise BlockingIOError."""

from __future__ import annotations

import ssl
from contextlib import suppress
from socket import SocketType

_READ = 65536


def context() -> ssl.SSLContext:
    """Return a context for all checks of a service that accepts any certificate, as in PyBal 1.15.

    Versions and ciphers follow the system's policy. Sessions are not resumed: with the standard library that costs more than it
    saves, and a full handshake checks more.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def verify(context: ssl.SSLContext, ca: str, *, name: bool) -> None:
    """Make a context verify chains against the CA file ``ca`` or the system's CAs, and optionally names.

    Raises OSError if the file cannot be read or has no certificate.
    """
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = name
    if ca:
        context.load_verify_locations(cafile=ca)
    else:
        context.load_default_certs()


class TLSStream:
    """A TLS client on a connected socket; ``server_name`` is the SNI unless empty or an address.

    Call :meth:`handshake` until ``secured`` is true.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_plain", "_socket", "_unsent", "secured")

    def __init__(self, sock: SocketType, tls: ssl.SSLContext, server_name: str) -> None:
        self.secured = False
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)
        self._plain = b""
        self._unsent = b""

    def handshake(self) -> None:
        """Continue the handshake; raises BlockingIOError until it is complete.

        Its last flight is sent with the first data.
        """
        while not self.secured:
            try:
                self._object.do_handshake()
                self.secured = True
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except ssl.SSLError:
                with suppress(OSError):
                    self.flush()  # sends the TLS alert
                raise

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
        while True:
            try:
                if self._plain:
                    self._object.write(self._plain)
                    self._plain = b""
                self.flush()
                return self._object.read(size)
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

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

    def _fill(self) -> None:
        data = self._socket.recv(_READ)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
