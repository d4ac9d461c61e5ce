r"""The Redis check: PING, and with a role INFO replication; with a password AUTH first.

Commands are sent as arrays of bulk strings. Replies that it reads (RESP, the protocol of Redis):

    +OK\r\n                     a simple string
    -NOAUTH text\r\n            an error
    $11\r\nrole:master\r\n      a bulk string: its length, its bytes and an end of line
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.core.text import printable

LINE_LIMIT = 1024
"""Bytes of a line without its end."""
BULK_LIMIT = 64 * 1024
"""Bytes of a bulk string; INFO replication has about 100 and 100 for each replica."""

_END = b"\r\n"
_BULK = re.compile(rb"\$([0-9]{1,5})")
_ROLE = re.compile(rb"^role:(\w+)\r?$", re.MULTILINE)
_SHOWN = 200


class Role(StrEnum):
    """The role that a server must have."""

    ANY = "any"
    MASTER = "master"
    REPLICA = "replica"


class Reply(NamedTuple):
    """A reply: a string or, with ``error``, an error."""

    text: bytes
    error: bool = False


class RedisCheck(StreamCheck):
    """A check that passes when the server replies to PING and has the role."""

    __slots__ = ("_buffer", "_commands", "_password", "_role")

    _wanted_first = "a reply"

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        password: Callable[[], str],
        role: Role,
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._password = password
        self._role = role
        self._buffer = b""
        self._commands: list[str] = []

    @override
    def _begin(self) -> None:
        password = self._password()
        self._buffer = b""
        self._commands = ["AUTH"] if password else []
        self._unsent = command("AUTH", password) if password else b""
        self._commands.append("PING")
        self._unsent += command("PING")
        if self._role is not Role.ANY:
            self._commands.append("INFO")
            self._unsent += command("INFO", "replication")

    @override
    def _take(self, data: bytes) -> bool:
        if not data:
            raise self._closed()
        self._buffer += data
        while self._commands and (found := split(self._buffer)) is not None:
            reply, self._buffer = found
            check(self._commands.pop(0), reply, self._role)
        return not self._commands


def command(*words: str) -> bytes:
    """Return a command as an array of bulk strings."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def split(data: bytes) -> tuple[Reply, bytes] | None:
    """Return the first reply and the rest, ``None`` if it is incomplete; raise CheckFailed if invalid."""
    if data[:1] not in (b"+", b"-", b"$", b""):
        raise _not_redis(data)
    line, end, rest = data.partition(_END)
    if len(line) > LINE_LIMIT:
        raise _not_redis(data)
    if not end:
        return None
    if line[:1] != b"$":
        return Reply(line[1:], error=line[:1] == b"-"), rest
    match = _BULK.fullmatch(line)
    if match is None or (size := int(match[1])) > BULK_LIMIT:
        raise _not_redis(data)
    if len(rest) < size + len(_END):
        return None
    if rest[size : size + len(_END)] != _END:
        raise _not_redis(data)
    return Reply(rest[:size]), rest[size + len(_END) :]


def check(name: str, reply: Reply, role: Role) -> None:
    """Raise CheckFailed unless this is the expected reply to the command ``name``."""
    if reply.error:
        word, _, text = printable(reply.text.decode(errors="replace"))[:_SHOWN].partition(" ")
        raise CheckFailed(Phase.ANSWER, f"{name}: {word} {text}".rstrip(), f"{name} {word}")
    if name == "INFO":
        _check_role(reply.text, role)
    elif reply.text != (b"PONG" if name == "PING" else b"OK"):
        raise _not_redis(reply.text)


def _check_role(info: bytes, role: Role) -> None:
    match = _ROLE.search(info)
    found = match[1].decode() if match else "unknown"
    found = "replica" if found == "slave" else found
    if found != role:
        raise CheckFailed(Phase.ANSWER, f"role {found}, wanted {role}", f"role {found}")


def _not_redis(data: bytes) -> CheckFailed:
    return CheckFailed(Phase.ANSWER, f"{repr(data[:9])[1:]}, wanted a Redis reply", "not Redis")
