"""The MySQL check: the greeting of the server and, with a user, a login without a password.

It logs in like HAProxy's ``option mysql-check user``: a login packet in the format of protocol 4.1 or, if the server does
not support that, in the older one, and COM_QUIT. HAProxy sends both together, which makes a server that refuses the login
reset the connection and lose the reason; here COM_QUIT follows the accepted login. A packet of the protocol:

    offset  bytes  field
         0      3  length of the payload, little endian
         3      1  sequence number
         4      n  payload

The payload of a greeting begins with 10, the version of the protocol, followed by the version of the server and a zero, a
thread ID of 4 bytes, 8 random bytes, a zero and 2 bytes of capabilities. That of an error begins with 255 and the code;
that of a login accepted is 0 and more.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.core.text import printable

PAYLOAD_LIMIT = 4096
"""Bytes of a payload. A greeting has about 100; the text of an error at most 512."""
PROTOCOL_41 = 0x0200
"""The capability of a server to use protocol 4.1."""
QUIT = b"\x01\0\0\0\x01"

_HEADER = 4
_VERSION = 10
_OK, _ERROR = 0, 255
_CAPABILITIES_OFFSET = 13
"""Offset of the capabilities behind the version of the server and its zero."""
_SECURE_CONNECTION = 0x8000
_MAX_PACKET = 0x01000000
_UTF8 = 33
_SHOWN = 200


class Step(Enum):
    """The next event that the check expects."""

    GREETING = "greeting"
    LOGIN = "response to the login"
    QUIT = "end of the connection"


class MySQLCheck(StreamCheck):
    """A check that passes when the server sends its greeting and, with ``user``, accepts the login."""

    __slots__ = ("_buffer", "_step", "_user")

    _wanted_first = "a greeting"

    def __init__(
        self, engine: Engine, target: Target, timeout: float, done: Callable[[Self, Result], None], *, user: str
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._user = user
        self._buffer = b""
        self._step = Step.GREETING

    @override
    def _begin(self) -> None:
        self._buffer = b""
        self._step = Step.GREETING

    @override
    def _take(self, data: bytes) -> bool:
        if not data and self._step is Step.QUIT:
            return True
        if not data:
            raise self._closed()
        if self._step is Step.QUIT:
            return False  # nothing that the server still sends matters
        self._buffer += data
        while (found := split(self._buffer)) is not None:
            payload, self._buffer = found
            if self._step is Step.GREETING:
                capabilities = read_greeting(payload)
                if not self._user:
                    return True
                self._step = Step.LOGIN
                self._unsent = login(self._user, capabilities)
            elif self._step is Step.LOGIN:
                check_login(payload)
                self._step = Step.QUIT
                self._unsent = QUIT
                break
        return False


def split(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the first payload and the rest, ``None`` if it is incomplete; raise CheckFailed if invalid."""
    if len(data) < _HEADER:
        return None
    end = _HEADER + int.from_bytes(data[:3], "little")
    if not _HEADER < end <= _HEADER + PAYLOAD_LIMIT:
        raise _not_mysql(data)
    return (data[_HEADER:end], data[end:]) if len(data) >= end else None


def read_greeting(payload: bytes) -> int:
    """Return the capabilities of the server; raise CheckFailed if the payload is an error or no greeting."""
    if payload[0] == _ERROR:
        raise _error(payload, "")
    offset = payload.find(b"\0", 1) + 1 + _CAPABILITIES_OFFSET
    if payload[0] != _VERSION or b"\0" not in payload[1:] or len(payload) < offset + 2:
        raise _not_mysql(payload)
    return int.from_bytes(payload[offset : offset + 2], "little")


def login(user: str, capabilities: int) -> bytes:
    """Return the packet of a login without a password."""
    name = user.encode() + b"\0"
    if capabilities & PROTOCOL_41:
        ours = (PROTOCOL_41 | _SECURE_CONNECTION).to_bytes(4, "little")
        payload = ours + _MAX_PACKET.to_bytes(4, "little") + bytes((_UTF8,)) + bytes(23) + name + b"\0"
    else:
        payload = bytes(2) + (_MAX_PACKET >> 8).to_bytes(3, "little") + name + b"\0"
    return len(payload).to_bytes(3, "little") + b"\x01" + payload


def check_login(payload: bytes) -> None:
    """Raise CheckFailed unless the payload accepts the login."""
    if payload[0] == _ERROR:
        raise _error(payload, "login: ")
    if payload[0] != _OK:
        raise CheckFailed(Phase.ANSWER, "login: the account requires another authentication method", "authentication")


def _error(payload: bytes, what: str) -> CheckFailed:
    code = int.from_bytes(payload[1:3], "little")
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]  # behind the SQL state, which is optional
    return CheckFailed(
        Phase.ANSWER, f"{what}error {code}: {printable(text.decode(errors='replace'))[:_SHOWN]}", f"error {code}"
    )


def _not_mysql(data: bytes) -> CheckFailed:
    return CheckFailed(Phase.ANSWER, f"{repr(data[:9])[1:]}, wanted a MySQL greeting", "not MySQL")
