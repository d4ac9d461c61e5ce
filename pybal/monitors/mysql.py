"""MySQL: receive the greeting of a MySQL or MariaDB server at an interval; optionally log in."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from pybal.checks.mysql import MySQLCheck
from pybal.checks.socket_check import Target
from pybal.config.convert import optional_text
from pybal.config.errors import shown
from pybal.config.option import option
from pybal.config.options import Options
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, TCPSettings


@dataclass(frozen=True, slots=True)
class MySQLSettings(TCPSettings):
    """Receive the greeting of a MySQL or MariaDB server; with a user, log in without a password."""

    user: str = option(
        "",
        optional_text,
        help="account to log in with, which must have no password; without it the server counts each check as an aborted"
        " connection (max_connect_errors)",
    )

    def validate(self, options: Options, prefix: str) -> None:
        if not self.user.isprintable():
            options.refuse(f"{prefix}user", shown(self.user), "a user name of printable characters")

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> MySQLCheck:
        del host
        return MySQLCheck(factory.engine, target, self.timeout, done, user=self.user)


KIND = Kind("MySQL", MySQLSettings, duration="Duration of the last greeting and login, by result")
