"""A network in virtual time: sockets, epoll and servers with the behaviour that a test chooses.

The engine of checks opens these sockets instead of the kernel's. A socket has the errors and the edge-triggered events of a TCP
socket that connects, sends a request and receives a response.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from random import Random
from socket import IPPROTO_TCP, SO_ERROR, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Any, cast

from pybal.checks.network import Network
from tests.harness.simulated.client import SimulatedConnector
from tests.harness.simulated.reactor import SimulatedReactor

FIRST_DESCRIPTOR = 1 << 30
"""Above the descriptors of any process: a system call fails with EBADF and changes nothing."""
LATENCY = 0.001
"""Seconds of one direction, at most."""

_ERROR = b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n"
_GARBAGE = b"\x16\x03\x01\x00 200 OK\r\n\r\n"
_ENDED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP
_BROKEN = _ENDED | select.EPOLLERR | select.EPOLLHUP


class Mode(StrEnum):
    """The behaviour of a server.

    ``STOPPED`` refuses connections, ``LOST`` does not respond at all, ``UNREACHABLE`` has no route. ``HUNG`` accepts connections and
    never responds, ``SLOW`` responds late. ``FAILING`` returns HTTP 500, ``LYING`` garbage, ``RESETTING`` a reset.
    """

    SERVING = "serving"
    SLOW = "slow"
    STOPPED = "stopped"
    LOST = "lost"
    UNREACHABLE = "unreachable"
    HUNG = "hung"
    FAILING = "failing"
    LYING = "lying"
    RESETTING = "resetting"


class SimulatedServer:
    """A server at one address, which returns ``body()`` while it serves.

    ``since`` is the time of its last change; ``slowness`` is in seconds.
    """

    slowness = 2.0

    def __init__(self, network: SimulatedNetwork, body: Callable[[], bytes] = lambda: b"ok") -> None:
        self.mode = Mode.SERVING
        self.clients: dict[SimulatedConnector, None] = {}
        self._body = body
        self.since = network.reactor.seconds()
        self.connections: dict[SimulatedSocket, None] = {}
        self._network = network

    def change(self, mode: Mode) -> None:
        """Change the behaviour; a server that stops closes its connections."""
        if mode is self.mode:
            return
        self.mode, self.since = mode, self._network.reactor.seconds()
        if mode in {Mode.STOPPED, Mode.RESETTING}:
            for client in tuple(self.clients):
                self._network.reactor.callFromThread(client.end)
        for each in tuple(self.connections):
            if mode is Mode.STOPPED:
                each.end()
            elif mode is Mode.RESETTING:
                each.fail(errno.ECONNRESET)
            elif mode in {Mode.LOST, Mode.UNREACHABLE}:
                each.probe(self.since)

    @property
    def is_silent(self) -> bool:
        """True if no packet reaches it."""
        return self.mode in {Mode.LOST, Mode.UNREACHABLE}

    @property
    def responds(self) -> bool:
        """True if it returns its body, also if it is late."""
        return self.mode in {Mode.SERVING, Mode.SLOW}

    @property
    def refuses(self) -> bool:
        """True if it refuses connections."""
        return self.mode is Mode.STOPPED

    @property
    def lateness(self) -> float:
        """The delay of a response, in seconds."""
        return self.slowness if self.mode is Mode.SLOW else 0.0

    def request(self, client: SimulatedConnector, _request: bytes) -> None:
        """Answer a request of a client of the reactor."""
        response, late = self.response()
        if response is not None:
            client.answer(response, late)

    def response(self) -> tuple[bytes | None, float]:
        """Return the response to a request, ``None`` for none, empty for a reset; and its delay in seconds."""
        match self.mode:
            case Mode.SERVING | Mode.SLOW:
                body = self._body()
                return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), self.lateness
            case Mode.FAILING:
                return _ERROR, 0.0
            case Mode.LYING:
                return _GARBAGE, 0.0
            case Mode.RESETTING:
                return b"", 0.0
        return None, 0.0


class SimulatedEpoll:
    """Edge-triggered events of simulated sockets, in the order of their arrival."""

    def __init__(self, network: SimulatedNetwork, number: int) -> None:
        self._network = network
        self._number = number
        self._masks: dict[int, int] = {}
        self._ready: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._ready)

    def fileno(self) -> int:
        return self._number

    def register(self, fileno: int, events: int) -> None:
        self._masks[fileno] = events | select.EPOLLERR | select.EPOLLHUP
        self._network.sockets[fileno].epoll = self

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        assert timeout == 0
        chosen = list(self._ready.items())[:most]
        for fileno, _ in chosen:
            del self._ready[fileno]
        return chosen

    def note(self, fileno: int, events: int) -> None:
        """Add events of a socket."""
        if events := events & self._masks[fileno]:
            self._ready[fileno] = self._ready.get(fileno, 0) | events

    def forget(self, fileno: int) -> None:
        """Remove a socket, which is closed."""
        self._masks.pop(fileno, None)
        self._ready.pop(fileno, None)

    def close(self) -> None:
        del self._network.reactor.descriptors[self._number]


class SimulatedSocket:
    """A TCP socket of a client."""

    def __init__(self, network: SimulatedNetwork, number: int) -> None:
        self.epoll: SimulatedEpoll | None = None
        self._network = network
        self._number = number
        self._server: SimulatedServer | None = None
        self._options: dict[tuple[int, int], Any] = {}
        self._received = b""
        self._connected = self._ended = self._closed = False
        self._error = 0

    # -- for the program

    def fileno(self) -> int:
        return self._number

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        self._options[level, name] = value

    def getsockopt(self, level: int, name: int) -> int:
        assert (level, name) == (SOL_SOCKET, SO_ERROR)
        error, self._error = self._error, 0
        return error

    def bind(self, address: tuple[str, int]) -> None:
        """Accept any local address."""

    def connect_ex(self, address: tuple[str, int]) -> int:
        server = self._network.servers.get(address[0])
        if server is None or server.mode is Mode.UNREACHABLE:
            return errno.EHOSTUNREACH
        self._server = server
        self._network.reactor.happen(self._network.latency(), self._arrive)
        return errno.EINPROGRESS

    def send(self, data: bytes) -> int:
        self._raise_error()
        if self._ended:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._network.reactor.happen(self._network.latency(), self._ask)
        return len(data)

    def recv(self, most: int) -> bytes:
        if not self._received:
            self._raise_error()
            if not self._ended:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data, self._received = self._received[:most], self._received[most:]
        return data

    def close(self) -> None:
        self._closed = True
        self._network.sockets.pop(self._number, None)
        if self._server is not None:
            self._server.connections.pop(self, None)
        if self.epoll is not None:
            self.epoll.forget(self._number)

    # -- for the server

    def end(self) -> None:
        """Close the server's side after a packet's time."""
        self._network.reactor.happen(self._network.latency(), self._end)

    def fail(self, error: int) -> None:
        """End with an error of the connection, after a packet's time."""
        self._network.reactor.happen(self._network.latency(), lambda: self._fail(error))

    def probe(self, since: float) -> None:
        """Fail when keepalive probes without a response have ended, unless the server is back."""
        if not self._options.get((SOL_SOCKET, SO_KEEPALIVE)):
            return
        idle, pause, count = (self._options[IPPROTO_TCP, name] for name in (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT))

        def end() -> None:
            if self._server is not None and self._server.since == since:
                self._fail(errno.ETIMEDOUT)

        self._network.reactor.happen(idle + pause * count, end)

    def _arrive(self) -> None:
        """Receive the response to the request for a connection."""
        server = self._server
        assert server is not None
        if self._closed or server.is_silent:
            return
        if server.refuses:
            self._fail(errno.ECONNREFUSED)
            return
        server.connections[self] = None
        self._connected = True
        self._note(select.EPOLLOUT)

    def _ask(self) -> None:
        """Receive a request as the server."""
        server = self._server
        assert server is not None
        if self._closed or self._ended or self._error:
            return
        response, late = server.response()
        if response:
            self._network.reactor.happen(late + self._network.latency(), lambda: self._respond(response))
        elif response is not None:
            self.fail(errno.ECONNRESET)

    def _respond(self, data: bytes) -> None:
        if not self._closed and not self._ended and not self._error:
            self._received += data
            self._note(select.EPOLLIN)

    def _end(self) -> None:
        if not self._closed and not self._error:
            self._ended = True
            self._note(_ENDED)

    def _fail(self, error: int) -> None:
        if not self._closed and not self._ended:
            self._error = error
            self._note(_BROKEN)

    def _note(self, events: int) -> None:
        if self.epoll is not None:
            self.epoll.note(self._number, events)

    def _raise_error(self) -> None:
        if self._error:
            error, self._error, self._ended = self._error, 0, True
            raise OSError(error, os.strerror(error))


class SimulatedNetwork:
    """The servers by address, and the open sockets by descriptor."""

    def __init__(self, reactor: SimulatedReactor, random: Random) -> None:
        self.reactor = reactor
        self.servers: dict[str, SimulatedServer] = {}
        self.sockets: dict[int, SimulatedSocket] = {}
        reactor.dial = partial(SimulatedConnector, self)
        self._random = random.random
        self._number = FIRST_DESCRIPTOR

    def add(self, addresses: Sequence[str]) -> None:
        """Add serving servers."""
        self.servers |= {address: SimulatedServer(self) for address in addresses}

    def serve(self, address: str, body: Callable[[], bytes]) -> None:
        """Add a serving web server."""
        self.servers[address] = SimulatedServer(self, body)

    def latency(self) -> float:
        """Return the time of a packet in seconds."""
        return LATENCY * (0.1 + 0.9 * self._random())

    def kill(self) -> None:
        """Close all connections of a program that ended in an instant."""
        self.sockets.clear()
        for server in self.servers.values():
            server.clients.clear()
            server.connections.clear()

    @property
    def network(self) -> Network:
        """The calls of the check engine."""
        return Network(cast("Callable[..., Any]", self._socket), cast("Callable[[], select.epoll]", self._epoll))

    def _socket(self, _family: int, _kind: int) -> SimulatedSocket:
        self._number += 1
        made = self.sockets[self._number] = SimulatedSocket(self, self._number)
        return made

    def _epoll(self) -> SimulatedEpoll:
        self._number += 1
        made = SimulatedEpoll(self, self._number)
        self.reactor.descriptors[self._number] = made
        return made
