"""A synchronous client of one generic netlink family.

The kernel processes a netlink request inside send(), so all replies are queued when send() returns; waiting for them in the
reactor gains nothing.

* Only the last request of a batch asks for an acknowledgement: errors arrive anyway, in order, and the kernel continues after
  an error. With one acknowledgement per request, 300 requests overflow the receive buffer and all replies are lost.
* One dump at a time, else the kernel returns EBUSY.
* Time-outs are socket options: Python's timeouts would cost a poll() per call.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pybal.ipvs.framing import (
    ACK,
    DONE,
    DUMP,
    ERROR,
    FramingError,
    Message,
    answer,
    attribute,
    messages,
    outcome,
    request,
)

BATCH = 128
"""Requests per send(): limits the time of one call and the number of queued replies."""

TIMEOUT = 0.05
"""Longest wait for one reply, in seconds: all replies are there when send() returns."""

UNRELATED = 16
"""Datagrams in a row without a reply to the present request that are accepted."""

_GENERIC = 16  # the protocol, and the id of the controller family
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_LARGEST_DATAGRAM = 1 << 16  # the kernel sends dumps in pieces of at most 32 KiB


class Datagrams(Protocol):
    """The part of a socket that :class:`GenericNetlink` uses."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


def connect() -> socket.socket:
    """Return a socket for :class:`GenericNetlink` in the current network namespace. Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC)
    timeout = struct.pack("@ll", 0, round(TIMEOUT * 1e6))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    made.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    made.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    made.bind((0, 0))
    return made


class GenericNetlink:
    """A client of the family ``name``. Every call raises OSError, or ValueError for an invalid reply.

    After an exception replies may be outstanding: close the client and open another one.
    """

    def __init__(self, datagrams: Datagrams, name: str) -> None:
        self._datagrams = datagrams
        self._sequence = 0
        self._id = _GENERIC
        try:
            found = self.request(_GET_FAMILY, attribute(_FAMILY_NAME, name.encode() + b"\0"))
            self._id = int.from_bytes(found[_FAMILY_ID], sys.byteorder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._datagrams.close()

    def request(self, command: int, body: bytes = b"") -> Mapping[int, bytes]:
        """Return the attributes of the one reply to a request."""
        (reply,) = self._replies(command, body, ACK)
        return reply

    def dump(self, command: int, body: bytes = b"") -> Iterator[Mapping[int, bytes]]:
        """Yield the attributes of each reply to a request; read all of them before the next request."""
        return self._replies(command, body, DUMP)

    def _replies(self, command: int, body: bytes, flags: int) -> Iterator[Mapping[int, bytes]]:
        last = self._next()
        self._datagrams.send(request(self._id, flags, last, command, body))
        for message in self._received(last, last):
            if message.kind not in (ERROR, DONE):
                yield answer(message)
                continue
            code, text = outcome(message)
            if code:
                raise OSError(code, text or os.strerror(code))

    def send(self, requests: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, int, str]]:
        """Send commands in order; yield index, errno and the kernel's text of each that failed.

        The text is empty for most errors.
        """
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            first = self._sequence + 1
            sequences = [self._next() for _ in batch]
            last = sequences[-1]
            self._datagrams.send(
                b"".join(
                    request(self._id, ACK if sequence == last else 0, sequence, command, body)
                    for sequence, (command, body) in zip(sequences, batch, strict=True)
                )
            )
            for message in self._received(first, last):
                code, text = outcome(message) if message.kind == ERROR else (0, "")
                if code:
                    yield start + message.sequence - first, code, text

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _received(self, first: int, last: int) -> Iterator[Message]:
        """Yield the replies to the requests ``first`` to ``last``, up to the end of the last reply."""
        unrelated = 0
        while unrelated < UNRELATED:
            unrelated += 1
            for message in messages(self._datagrams.recv(_LARGEST_DATAGRAM)):
                if first <= message.sequence <= last:
                    unrelated = 0
                    yield message
                    if message.sequence == last and message.kind in (ERROR, DONE):
                        return
        raise FramingError(f"{UNRELATED} netlink datagrams without a reply")
