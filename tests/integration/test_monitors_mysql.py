"""MySQL against a real MariaDB: greeting, login, a hanging and a dead server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.mysql import QUIT, check_login, login, split
from pybal.monitors.mysql import MySQLSettings
from tests.harness.real_monitors import check_restart, first_results, start_monitors
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.mariadb import PASSWORDLESS, PROTECTED, mariadb
from tests.harness.servers.process import Server, free_ports
from tests.harness.stepped_reactor import run


@dataclass(frozen=True, slots=True)
class Database:
    server: Server
    port: int


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    (port,) = free_ports(1)
    with mariadb(tmp_path_factory.mktemp("mariadb"), port) as server:
        yield Database(server, port)


def test_greeting_is_up(database: Database) -> None:
    assert first_results(database.port, MySQLSettings()) == [""]


def test_login_without_password_is_up(database: Database) -> None:
    assert first_results(database.port, MySQLSettings(PASSWORDLESS)) == [""]


def test_checks_with_login_cause_no_aborted_connection(database: Database) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitors = start_monitors(setup, database.port, MySQLSettings(PASSWORDLESS, interval=0.01))
            await setup.until(lambda: all(monitor.up_results >= 20 for monitor in monitors))
            assert [monitor.down_results for monitor in monitors] == [0, 0]

    run(main)
    assert f"user: '{PASSWORDLESS}'" not in database.server.output.read_text()


@pytest.mark.parametrize("user", [PROTECTED, "unknown"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_refused_login_is_down_with_the_reason(database: Database, user: str, host: str) -> None:
    async def main(reactor: EPollReactor) -> str:
        async with MonitoredServer(reactor, host) as setup:
            setup.monitor(MySQLSettings(user), port=database.port)
            return (await setup.report()).reason

    reason = f"answer: login: error 1045: Access denied for user '{user}'@'{host}' (using password: NO)"
    assert run(main) == reason


def test_login_in_the_old_format_is_accepted(database: Database) -> None:
    with socket.create_connection(("127.0.0.1", database.port)) as connection:
        found = split(connection.recv(4096))
        connection.sendall(login(PASSWORDLESS, capabilities=0))
        found = split(connection.recv(4096))
        assert found is not None
        check_login(found[0])
        connection.sendall(QUIT)
        assert connection.recv(1) == b""


def test_hanging_server_is_down(database: Database) -> None:
    database.server.pause()
    try:
        reasons = first_results(database.port, MySQLSettings(timeout=0.4))
    finally:
        database.server.resume()
    assert reasons == ["answer: TIME without a byte (connected in TIME)"]
    assert first_results(database.port, MySQLSettings()) == [""]


def test_dead_server_refuses_and_restarted_server_is_up(database: Database) -> None:
    check_restart(database.server, database.port, MySQLSettings(PASSWORDLESS, interval=0.05))
