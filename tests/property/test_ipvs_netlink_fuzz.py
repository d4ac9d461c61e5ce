"""Any reply of the kernel, however damaged, is a result or a BackendError."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.core.steps import finish
from pybal.ipvs.backend import BackendError
from pybal.ipvs.codec import encode
from pybal.ipvs.framing import ACK_TLVS, DONE, ERROR, attribute, messages
from pybal.ipvs.model import TCP, Command, Destination, Key, Op, VirtualService
from pybal.ipvs.netlink import NetlinkBackend

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
OPS = [Op(Command.ADD_SERVICE, WEB), Op(Command.ADD, WEB, Destination(IPv4Address("10.0.0.11"), 80))]

numbers = st.sampled_from([-(2**31), -(2**31) + 1, -4096, -4095, -1, 0, 1, 2**31 - 1]) | st.integers(-200, 0)
bodies = st.one_of(
    st.binary(max_size=60),
    numbers.map(lambda code: struct.pack("=i", code) + bytes(16)),
    st.builds(
        lambda code, text: struct.pack("=iI", code, 20) + bytes(16) + attribute(1, text), numbers, st.binary(max_size=9)
    ),
    st.sampled_from([b"\1\1\0\0" + encode(op) for op in OPS]),
)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Draw a message that is nearly one of the kernel's, often to the present request."""
    body = draw(bodies)
    kind = draw(st.sampled_from([ERROR, DONE, 16, 35]) | st.integers(0, 0xFFFF))
    length = draw(st.just(16 + len(body)) | st.integers(0, 200))
    flags = draw(st.sampled_from([0, ACK_TLVS, 0x100, 0x300]))
    return struct.pack("=IHHII", length, kind, flags, draw(st.integers(0, 4)), 0) + body + bytes(-len(body) % 4)


class DamagedSocket:
    """A socket with these datagrams, after a valid answer about the family unless ``lost``."""

    def __init__(self, datagrams: list[bytes], *, lost: bool) -> None:
        family = struct.pack("=IHHII", 28, 16, 0, 1, 0) + b"\1\2\0\0" + attribute(1, struct.pack("=H", 35))
        end = struct.pack("=IHHIIi", 36, ERROR, 0x100, 1, 0, 0) + bytes(16)
        self.datagrams = datagrams if lost else [family + end, *datagrams]

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self.datagrams:
            raise BlockingIOError(errno.EAGAIN, "no more")
        return self.datagrams.pop(0)[:size]

    def close(self) -> None:
        pass


@given(st.lists(st.lists(replies() | st.binary(max_size=40), max_size=3).map(b"".join), max_size=4), st.booleans())
def test_damaged_reply_is_a_backend_error(datagrams: list[bytes], lost: bool) -> None:
    for call in (
        lambda backend: backend.read(WEB.key),
        lambda backend: finish(backend.reading(WEB.key)),
        NetlinkBackend.services,
        NetlinkBackend.table,
        lambda backend: backend.apply(OPS),
    ):
        backend = NetlinkBackend(lambda: DamagedSocket(list(datagrams), lost=lost))
        with suppress(BackendError):
            call(backend)


@pytest.mark.parametrize("code", [-(2**31), -4096, 1, 2**31 - 1])
def test_number_that_is_no_errno_is_a_backend_error(code: int) -> None:
    reply = struct.pack("=IHHIIi", 20, ERROR, 0, 2, 0, code)
    assert list(messages(reply))
    with pytest.raises(BackendError, match=f"invalid error number {code}"):
        NetlinkBackend(lambda: DamagedSocket([reply], lost=False)).apply(OPS)


def test_endless_unrelated_datagrams_are_a_backend_error() -> None:
    unrelated = struct.pack("=IHHII", 16, 35, 0, 99, 0)
    with pytest.raises(BackendError, match="16 netlink datagrams without a reply"):
        NetlinkBackend(lambda: DamagedSocket([unrelated, b""] * 100, lost=False)).services()
