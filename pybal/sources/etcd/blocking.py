"""HTTP for a library that blocks in a thread of its own: one connection, total deadlines, and an end from any thread.

It stands in for urllib3 under python-etcd: there a time-out is one of each read, so that a server that sends a byte now and
then is waited for without end; attempts are repeated unasked, each with a time-out of its own; and nothing ends a wait.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import urlencode, urlsplit

from pybal.sources.etcd.endpoints import Endpoint

#: More bytes, in a body, are no list of servers.
LARGEST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class BlockingResponse:
    """An HTTP response that is all there, with what python-etcd wants of one."""

    status: int
    headers: Message
    data: bytes

    def getheader(self, name: str) -> str | None:
        return self.headers.get(name)

    def getheaders(self) -> Message:
        return self.headers


class Turn:
    """What threads hold one at a time while they compute, and not while they wait: ``with turn:``, ``with turn.waiting():``.

    Python has one lock for all threads and gives it to any of them. Dozens that hear of the same change at the same moment
    would all be served before the reactor, again each time it has written a line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Give it up for as long as something is waited for."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()


class BlockingConnection:
    """A connection to ``endpoint`` at one of its ``addresses``, made when it is needed, over TLS if ``tls`` makes a context.

    Each request has the ``headers``, and is made by who holds the ``turn``. ``status`` is that of the last answer, 0 while
    there is none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        addresses: Sequence[str],
        tls: Callable[[], ssl.SSLContext] | None,
        headers: Mapping[str, str],
        turn: Turn,
    ) -> None:
        self.status = 0
        self.turn = turn
        self._endpoint = endpoint
        self._addresses = addresses
        self._tls = tls
        self._headers = headers
        self._context: ssl.SSLContext | None = None
        self._ended = False
        self._socket: socket.socket | None = None
        self._timed: _Timed | None = None
        self._http = HTTPConnection(endpoint.host, endpoint.port)
        # Where it closed the connection it would connect again by itself, without a deadline.
        self._http.auto_open = 0

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str],
        **_: object,
    ) -> BlockingResponse:
        """Return the whole answer, which must be there in ``timeout`` seconds; redirects are not followed.

        Raises OSError, TimeoutError among others, HTTPException, or what ``tls`` raises. The connection is closed then.
        """
        self.status = 0
        target = urlsplit(url).path + (f"?{urlencode(fields)}" if fields else "")
        try:
            timed = self._ready(time.monotonic() + timeout)
            self._http.request(method, target, headers={**headers, **self._headers})
            response = self._http.getresponse()
            self.status = response.status
            data = _body(response)
        except BaseException:
            self.clear()
            raise
        if self._http.sock is not timed:
            self.clear()
        return BlockingResponse(response.status, response.headers, data)

    def clear(self) -> None:
        """Close the connection; the next request makes another one."""
        self._http.close()
        sock, self._socket = self._socket, None
        self._timed = None
        if sock is not None:
            sock.close()

    def end(self) -> None:
        """End whatever is waited for, for good; to be called from any thread."""
        self._ended = True
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                # Not that of SSLSocket, which pulls the rug from under a thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _ready(self, deadline: float) -> _Timed:
        """Return the connection, which keeps to the deadline from now on."""
        if self._timed is None:
            if self._tls is not None and self._context is None:
                self._context = self._tls()
            sock = self._socket = self._connected(deadline)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                host = self._endpoint.host
                sock = self._socket = self._context.wrap_socket(
                    sock, server_hostname=host, do_handshake_on_connect=False
                )
                sock.settimeout(_left(deadline))
                with self.turn.waiting():
                    sock.do_handshake()
            self._http.sock = self._timed = _Timed(sock, self.turn)
        if self._ended:
            raise ConnectionAbortedError("ended")
        self._timed.deadline = deadline
        return self._timed

    def _connected(self, deadline: float) -> socket.socket:
        """Connect to the first address that takes it, with an equal share of the time for each."""
        *others, last = self._addresses
        for number, address in enumerate(others):
            share = _left(deadline) / (len(self._addresses) - number)
            with suppress(OSError):
                return self._connect(address, share)
        return self._connect(last, _left(deadline))

    def _connect(self, address: str, timeout: float) -> socket.socket:
        with self.turn.waiting():
            return socket.create_connection((address, self._endpoint.port), timeout)


class _Timed:
    """A socket as http.client uses one, each of whose operations keeps to the same deadline."""

    def __init__(self, sock: socket.socket, turn: Turn) -> None:
        self.deadline = 0.0
        self._socket = sock
        self._turn = turn

    def sendall(self, data: bytes) -> None:
        sock = self._in_time()
        with self._turn.waiting():
            sock.sendall(data)

    def read_into(self, buffer: memoryview) -> int:
        sock = self._in_time()
        with self._turn.waiting():
            return sock.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002  # http.client says how, and it is always "rb"
        return io.BufferedReader(_ResponseStream(self))

    def close(self) -> None:
        """Do nothing: http.client closes it before the answer is read, if it is the last one over a connection."""

    def _in_time(self) -> socket.socket:
        self._socket.settimeout(_left(self.deadline))
        return self._socket


class _ResponseStream(io.RawIOBase):
    """What can be read from it, for a buffer. To close it leaves the connection open for the next request."""

    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # whatever has a buffer
        return self._timed.read_into(memoryview(buffer))


def _body(response: HTTPResponse) -> bytes:
    data = response.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise HTTPException(f"an answer of more than {LARGEST} bytes")
    if response.length:
        raise IncompleteRead(data, response.length)
    if response.status == HTTPStatus.OK and not data:
        # A watch is answered before there is a change: so it ends if etcd does.
        raise IncompleteRead(data)
    return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
