"""Redis: send PING to a Redis server at an interval; optionally log in and check its role."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from typing_extensions import override

from pybal.checks.redis import RedisCheck, Role
from pybal.checks.socket_check import Target
from pybal.config.convert import member, optional_text
from pybal.config.option import option
from pybal.monitors.factory import Factory, MonitorRefusal
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, TCPSettings
from pybal.runtime import regular_file
from pybal.runtime.file_values import FileValue, FileValues

_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class RedisSettings(TCPSettings):
    """Send PING to a Redis server; with a role, also check it by INFO replication."""

    password_file: str = option(
        "",
        optional_text,
        secret_file=True,
        help="file with the password in its first line; it is read again when it changes",
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
    def secret(self, files: FileValues) -> FileValue[str] | None:
        if not self.password_file:
            return None
        key, build = ("redis", self.password_file), partial(read_password, self.password_file)
        consequence = "using the last password, or not checking without any"
        return files.value(key, [self.password_file], build, consequence)

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> RedisCheck:
        del host
        secret = factory.secret
        password = (lambda: secret.last) if secret else (lambda: "")
        return RedisCheck(factory.engine, target, self.timeout, done, password=password, role=self.role)


def read_password(file: str) -> str:
    """Return the first line of a file, empty without a file. Raises OSError, UnicodeDecodeError."""
    if not file:
        return ""
    return regular_file.first_line(file, _LARGEST).decode()


KIND = Kind("Redis", RedisSettings, duration="Duration of the last PING, by result")
