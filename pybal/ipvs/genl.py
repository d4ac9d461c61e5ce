"""A synchronous conversation with one family of generic netlink.

The kernel carries out a netlink request inside send(), so all answers are queued when send() returns; nothing is gained by
waiting for them in the reactor.

* Only the last request of a batch asks for an acknowledgement: errors come unasked, in order, and the kernel goes on after
  an error. With an acknowledgement each, 300 requests overflow the receive buffer and every report is lost.
* One dump at a time, or the kernel says EBUSY.
* Time-outs are the socket's own options: Python's would cost a poll() for each call.
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
    Message,
    answer,
    attribute,
    messages,
    outcome,
    request,
)

BATCH = 128
"""Requests per send(): bounds the time of one call, and the answers that can queue up."""

TIMEOUT = 5
"""Seconds that one exchange may take."""

_GENERIC = 16  # the protocol, and the id of the family that knows the others
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_LARGEST_DATAGRAM = 1 << 16  # the kernel sends dumps in pieces of at most 32 KiB


class Datagrams(Protocol):
    """What is needed of a socket."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


def connect() -> socket.socket:
    """Return a socket for :class:`GenericNetlink`, in the network namespace of this thread. Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", TIMEOUT, 0))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", TIMEOUT, 0))
    made.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    made.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    made.bind((0, 0))
    return made


class GenericNetlink:
    """A conversation with the family called ``name``. Every call raises OSError, or ValueError for nonsense.

    After an exception answers may be outstanding: close it and begin another one.
    """

    def __init__(self, datagrams: Datagrams, name: str) -> None:
        self._datagrams = datagrams
        self._sequence = 0
        self._id = _GENERIC
        try:
            (found,) = self.ask(_GET_FAMILY, attribute(_FAMILY_NAME, name.encode() + b"\0"))
            self._id = int.from_bytes(found[_FAMILY_ID], sys.byteorder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._datagrams.close()

    def ask(self, command: int, body: bytes = b"", *, dump: bool = False) -> list[Mapping[int, bytes]]:
        """Return the attributes of each answer to one request; with ``dump`` there may be any number of them."""
        last = self._next()
        self._datagrams.send(request(self._id, DUMP if dump else ACK, last, command, body))
        answers = []
        for message in self._received(last, last):
            if message.kind not in (ERROR, DONE):
                answers.append(answer(message))
                continue
            code, text = outcome(message)
            if code:
                raise OSError(code, text or os.strerror(code))
        return answers

    def tell(self, requests: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, int, str]]:
        """Send commands with their bodies, in order; yield index and errno of each that failed, and the kernel's words.

        There are words for few errors only.
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
        """Yield the messages that answer the requests from ``first`` to ``last``, up to the end of the last answer."""
        while True:
            for message in messages(self._datagrams.recv(_LARGEST_DATAGRAM)):
                if first <= message.sequence <= last:
                    yield message
                    if message.sequence == last and message.kind in (ERROR, DONE):
                        return
