"""TLS over a non-blocking socket, with the interface of one: what it cannot do yet raises BlockingIOError."""

from __future__ import annotations

import ssl
from contextlib import suppress
from socket import SocketType

_READ = 65536


def context() -> ssl.SSLContext:
    """Return a context for all checks of a service: any certificate will do, as in PyBal 1.15.

    Versions and ciphers are the system's policy. Sessions are not resumed: through the standard library that costs
    more than it saves, and a full handshake checks more.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def verify(context: ssl.SSLContext, ca: str, *, name: bool) -> None:
    """Have a context verify chains, up to an authority in the file ``ca`` or else to one of the system's, and names.

    Raises OSError if the file cannot be read or holds no certificate.
    """
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = name
    if ca:
        context.load_verify_locations(cafile=ca)
    else:
        context.load_default_certs()


class TLSStream:
    """A TLS client on a connected socket. ``server_name`` is sent as SNI, unless it is an address or empty.

    First comes :meth:`handshake`, until ``secured`` tells that it is done.
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
        """Bring the handshake to its end, BlockingIOError until it is. Our last word of it goes with the first data."""
        while not self.secured:
            try:
                self._object.do_handshake()
                self.secured = True
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except ssl.SSLError:
                with suppress(OSError):
                    self.flush()  # the alert tells the server why
                raise

    @property
    def certificate(self) -> bytes:
        """The server's, in DER form, after the handshake."""
        return self._object.getpeercert(binary_form=True) or b""

    @property
    def protocol(self) -> str:
        """What the server chose by ALPN, empty if nothing, after the handshake."""
        return self._object.selected_alpn_protocol() or ""

    def send(self, data: bytes) -> int:
        """Take all of it, to be sent by :meth:`recv` as soon as that can be."""
        self._plain += data
        return len(data)

    def recv(self, size: int) -> bytes:
        """Send what there is to send, and return what has come: nothing at the end of the connection."""
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
        """Send what is to be sent now, as far as can be."""
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
