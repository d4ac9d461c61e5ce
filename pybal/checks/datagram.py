"""The base of UDP checks: a connected socket that receives ICMP errors, kept between checks.

The kernel reports every ICMP error of its datagrams to a connected socket (with IP_RECVERR also errors for which TCP would only
wait, such as host unreachable, which also follows missing replies to ARP or neighbour discovery). After a check that did not pass,
the next one uses a new socket, without old errors, replies or source addresses.
"""

from __future__ import annotations

import select
from socket import AF_INET, IPPROTO_IP, IPPROTO_IPV6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SocketType

from typing_extensions import override

from pybal.checks.result import PASSED, Result
from pybal.checks.slices import EVENT
from pybal.checks.socket_check import Check

_TYPE = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
_ERRORS_IPV4, _ERRORS_IPV6 = (IPPROTO_IP, 11, 1), (IPPROTO_IPV6, 25, 1)
"""IP_RECVERR and IPV6_RECVERR of linux/in.h and in6.h, which Python does not define."""
_EVENTS = select.EPOLLIN
"""No EPOLLOUT: it would wake the loop for each datagram sent."""
_LARGEST = 65535
_READS_AT_ONCE = 32


class DatagramCheck(Check):
    """A check that starts with a datagram; a kind defines the datagram and the responses."""

    __slots__ = ()

    resets = False

    @override
    def start(self) -> None:
        engine = self._engine
        self._started_at = engine.now
        self._lost = engine.lost
        try:
            refused = self._send(self._datagram())
        except OSError as error:
            self._inconclusive(error)  # the datagram was not sent
            return
        if refused:
            self._not_connected(refused)
            return
        self._unroutable_since = 0.0
        self.running = self._in_flight = True
        engine.in_flight += 1
        engine.arm(self, self.timeout)

    # -- for the kinds

    def _datagram(self) -> bytes:
        """Return the datagram to send."""
        raise NotImplementedError

    def _received_datagram(self, data: bytes) -> bool:
        """Handle a datagram; return whether the check is complete."""
        raise NotImplementedError

    def _refused(self, error: OSError) -> None:
        """Handle an ICMP error of a datagram."""
        raise NotImplementedError

    def _new_socket(self) -> SocketType:
        """Return a socket, not connected yet."""
        return self._engine.socket(self._target.family, _TYPE)

    # -- own

    def _send(self, data: bytes) -> int:
        """Send a datagram; return the error number if the kernel has no route for it, else 0."""
        if self._fileno >= 0:
            try:
                self._socket.send(data)
            except OSError:
                self._close()  # the error may concern an earlier datagram
            else:
                return 0
        refused = self._open()
        if not refused:
            self._socket.send(data)
        return refused

    def _open(self) -> int:
        """Open a connected socket; return the error number of connect()."""
        family = self._target.family
        self._socket = sock = self._new_socket()
        self._fileno = sock.fileno()
        sock.setsockopt(*(_ERRORS_IPV4 if family == AF_INET else _ERRORS_IPV6))
        refused = sock.connect_ex(self._target.sockaddr)
        if not refused:
            self._engine.watch(self, self._fileno, _EVENTS)
            self.event = self._read
        return refused

    def _read(self, events: int) -> None:
        del events
        engine = self._engine
        end = engine.now + EVENT
        try:
            for _ in range(_READS_AT_ONCE):
                if self._received_datagram(self._socket.recv(_LARGEST)):
                    return  # the rest is read with the next event
                if engine.seconds() >= end:
                    break
            engine.pause(self)
        except BlockingIOError:
            return
        except OSError as error:
            self._refused(error)

    @override
    def _end(self, result: Result) -> None:
        if result.verdict is PASSED:
            self._land()
        else:
            self._close()
        self._engine.settle(self, result)
