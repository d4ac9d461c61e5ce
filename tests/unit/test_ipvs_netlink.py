"""The netlink backend with scripted replies, for errors that the kernel does not produce on request."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from pybal.ipvs.backend import BackendError
from pybal.ipvs.framing import ACK_TLVS, CAPPED, DONE, ERROR, attribute
from pybal.ipvs.genl import BATCH
from pybal.ipvs.model import TCP, Command, Destination, Key, Op, VirtualService
from pybal.ipvs.netlink import NetlinkBackend

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
FAMILY = 35


class ScriptedReplies:
    """A socket with scripted replies; an exception among them is raised."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self.answers = [message(16, 1, b"\1\2\0\0" + attribute(1, struct.pack("=H", FAMILY))) + ack(1), *answers]
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def message(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 0) + payload


def ack(sequence: int, code: int = 0) -> bytes:
    return message(ERROR, sequence, struct.pack("=i", -code) + bytes(16), CAPPED)


def headers(datagram: bytes) -> Iterable[tuple[int, int, int]]:
    """Yield type, flags and sequence of each request."""
    at = 0
    while at < len(datagram):
        length, kind, flags, sequence = struct.unpack_from("=IHHI", datagram, at)
        yield kind, flags, sequence
        at += length


def removals(count: int) -> list[Op]:
    return [Op(Command.DELETE, WEB, Destination(IPv4Address("10.0.0.0") + n, 80)) for n in range(count)]


def test_last_request_of_a_batch_alone_asks_for_an_acknowledgement() -> None:
    answers = ScriptedReplies(ack(BATCH + 1), ack(BATCH + 3))
    assert NetlinkBackend(lambda: answers).apply(removals(BATCH + 2)) == ()
    first, second = (list(headers(datagram)) for datagram in answers.sent[1:])
    assert first == [*((FAMILY, 1, n) for n in range(2, BATCH + 1)), (FAMILY, 5, BATCH + 1)]
    assert second == [(FAMILY, 1, BATCH + 2), (FAMILY, 5, BATCH + 3)]


def test_failures_name_their_operations_also_in_a_later_batch() -> None:
    ops = removals(BATCH + 2)
    answers = ScriptedReplies(
        ack(3, errno.ENOENT) + ack(5, errno.ESRCH),
        ack(BATCH + 1, errno.ENOENT),
        ack(BATCH + 2, errno.ENOENT) + ack(BATCH + 3),
    )
    failures = NetlinkBackend(lambda: answers).apply(ops)
    assert [(ops.index(failure.op), failure.errno) for failure in failures] == [
        (1, errno.ENOENT),
        (3, errno.ESRCH),
        (BATCH - 1, errno.ENOENT),
        (BATCH, errno.ENOENT),
    ]


def test_text_of_the_kernel_is_the_reason_when_present() -> None:
    words = attribute(1, b"Weight out of range\0")
    capped = struct.pack("=i", -errno.ERANGE) + bytes(16) + words
    whole = struct.pack("=iI", -errno.ERANGE, 22) + bytes(18 + 2) + words
    answers = ScriptedReplies(message(ERROR, 2, capped, CAPPED | ACK_TLVS) + message(ERROR, 3, whole, ACK_TLVS))
    failures = NetlinkBackend(lambda: answers).apply(removals(2))
    assert [failure.reason for failure in failures] == ["Weight out of range"] * 2


def test_reply_to_another_request_is_skipped() -> None:
    answers = ScriptedReplies(ack(77, errno.EIO) + ack(2))
    assert NetlinkBackend(lambda: answers).apply(removals(1)) == ()


def test_dump_may_end_with_an_error() -> None:
    answers = ScriptedReplies(message(DONE, 2, struct.pack("=i", -errno.ENOBUFS)))
    with pytest.raises(BackendError, match="cannot reach IPVS: No buffer space available"):
        NetlinkBackend(lambda: answers).table()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (BlockingIOError(errno.EAGAIN, "later"), "no reply from IPVS within 50 ms"),
        (OSError(errno.ENOBUFS, "No buffer space available"), "cannot reach IPVS: No buffer space available"),
        (PermissionError(errno.EPERM, "no"), "no permission to use IPVS (CAP_NET_ADMIN is missing)"),
        (ack(2, errno.EPERM), "no permission to use IPVS (CAP_NET_ADMIN is missing)"),
        (b"\1\2\3", "invalid reply from IPVS: FramingError('truncated netlink message')"),
        (ack(2, 2**31), "invalid reply from IPVS: FramingError('invalid error number -2147483648')"),
        (ack(2, -1), "invalid reply from IPVS: FramingError('invalid error number 1')"),
    ],
)
def test_broken_connection_is_closed_and_reopened_by_the_next_call(answer: bytes | OSError, text: str) -> None:
    broken, sound = ScriptedReplies(answer), ScriptedReplies(ack(2))
    connections = iter([broken, sound])
    backend = NetlinkBackend(lambda: next(connections))
    with pytest.raises(BackendError) as error:
        backend.apply(removals(1))
    assert str(error.value) == text
    assert broken.closed
    assert backend.apply(removals(1)) == ()
    backend.close()
    assert sound.closed


def test_kernel_without_ipvs_differs_from_a_missing_destination() -> None:
    answers = ScriptedReplies()
    answers.answers = [ack(1, errno.ENOENT)]
    with pytest.raises(BackendError, match=r"the kernel has no IPVS \(run: modprobe ip_vs\)"):
        NetlinkBackend(lambda: answers).table()
    assert answers.closed


def test_invalid_operation_never_reaches_the_kernel() -> None:
    answers = ScriptedReplies()
    op = Op(Command.ADD, WEB, Destination(IPv4Address("127.0.0.1"), 80))
    (failure,) = NetlinkBackend(lambda: answers).apply([op])
    assert (failure.op, failure.errno) == (op, errno.EINVAL)
    assert len(answers.sent) == 1
