"""The life that all checks over UDP share: a connected socket, kept from check to check, that hears of ICMP errors.

The kernel tells a connected socket of every ICMP error that one of its datagrams met (with IP_RECVERR, also of those
that TCP would only wait for: host unreachable, which comes too when nobody answers ARP or neighbour discovery). After
a check that did not pass the next one has a socket of its own: no error, answer or source address of old is left in it.
"""

from __future__ import annotations

import select
from socket import AF_INET, IPPROTO_IP, IPPROTO_IPV6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SocketType

from pybal.checks.result import PASSED, Result
from pybal.checks.socket_check import Check

_TYPE = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
_HEAR_IPV4, _HEAR_IPV6 = (IPPROTO_IP, 11, 1), (IPPROTO_IPV6, 25, 1)
"""IP_RECVERR and IPV6_RECVERR of linux/in.h and in6.h, which Python has no names for."""
_EVENTS = select.EPOLLIN
"""Not EPOLLOUT: that would wake us for each datagram that has left."""
_LARGEST = 65535
_READS_AT_ONCE = 8


class DatagramCheck(Check):
    """A check that begins by sending a datagram. A kind says which, and what follows."""

    __slots__ = ()

    resets = False

    def start(self) -> None:
        engine = self._engine
        self._started_at = engine.seconds()
        self._lost = engine.lost
        try:
            self._send(self._datagram())
        except OSError as error:
            self._void(error)  # it never left
            return
        self.running = self._in_flight = True
        engine.in_flight += 1
        engine.arm(self, self.timeout)

    # -- for the kinds

    def _datagram(self) -> bytes:
        """Return what is to be sent."""
        raise NotImplementedError

    def _heard(self, data: bytes) -> bool:
        """Take what has come; tell whether that is all there is to wait for."""
        raise NotImplementedError

    def _refused(self, error: OSError) -> None:
        """Take what the kernel heard of a datagram."""
        raise NotImplementedError

    def _new_socket(self) -> SocketType:
        """Return a socket that is not connected yet."""
        return SocketType(self._target.family, _TYPE)

    # -- own

    def _send(self, data: bytes) -> None:
        if self._fileno >= 0:
            try:
                self._socket.send(data)
            except OSError:
                self._close()  # what it says may be about an earlier datagram
            else:
                return
        self._open()
        self._socket.send(data)

    def _open(self) -> None:
        family = self._target.family
        self._socket = sock = self._new_socket()
        self._fileno = sock.fileno()
        sock.setsockopt(*(_HEAR_IPV4 if family == AF_INET else _HEAR_IPV6))
        sock.connect(self._target.sockaddr)
        self._engine.watch(self, self._fileno, _EVENTS)
        self.event = self._read

    def _read(self, events: int) -> None:
        del events
        try:
            for _ in range(_READS_AT_ONCE):
                if self._heard(self._socket.recv(_LARGEST)):
                    return  # what more there is will be read with what comes next
            self._engine.pause(self)
        except BlockingIOError:
            return
        except OSError as error:
            self._refused(error)

    def _end(self, result: Result) -> None:
        if result.verdict is PASSED:
            self._land()
        else:
            self._close()
        self._engine.settle(self, result)
