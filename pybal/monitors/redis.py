"""Redis: send PING to a Redis server at an interval; optionally log in and check its role."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from pybal.checks.redis import RedisCheck, Role
from pybal.checks.socket_check import Target
from pybal.config.convert import member, optional_text
from pybal.config.option import option
from pybal.monitors.factory import Factory, MonitorRefusal
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, TCPSettings

_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class RedisSettings(TCPSettings):
    """Send PING to a Redis server; with a role, also check it by INFO replication."""

    password_file: str = option(
        "", optional_text, help="file with the password in its first line; it is read again before each check"
    )
    role: Role = option(Role.ANY, member(Role), help="role that the server must have: master, replica or any")

    @override
    def refusal(self, prefix: str) -> MonitorRefusal | None:
        try:
            read_password(self.password_file)
        except (OSError, UnicodeDecodeError) as error:
            found = f"{self.password_file} ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            return MonitorRefusal(f"{prefix}password-file", found, "a file that can be read")
        return None

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> RedisCheck:
        del host
        password = Password(self.password_file)
        return RedisCheck(factory.engine, target, self.timeout, done, password=password, role=self.role)


class Password:
    """The password in a file; the last one that could be read while the file is missing."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._last = ""

    def __call__(self) -> str:
        try:
            self._last = read_password(self._file)
        except (OSError, UnicodeDecodeError):
            return self._last
        return self._last


def read_password(file: str) -> str:
    """Return the first line of a file, empty without a file. Raises OSError, UnicodeDecodeError."""
    if not file:
        return ""
    with Path(file).open("rb") as opened:
        return opened.readline(_LARGEST).decode().rstrip("\r\n")


KIND = Kind("Redis", RedisSettings, duration="Duration of the last PING, by result")
