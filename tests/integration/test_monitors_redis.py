"""Redis against a real Redis: PING, password, role, a hanging and a dead server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.redis import Role
from pybal.monitors.kinds import refusal
from pybal.monitors.redis import RedisSettings
from tests.harness.real_monitors import check_restart, first_results
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.process import Server, free_ports
from tests.harness.servers.redis import redis
from tests.harness.stepped_reactor import run

PASSWORD = "correct horse é"


@dataclass(frozen=True, slots=True)
class Databases:
    """A master, its replica, and a server that requires a password."""

    server: Server
    master: int
    replica: int
    protected: int


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    master, replica, protected = free_ports(3)
    with ExitStack() as stack:
        server = stack.enter_context(redis(tmp_path_factory.mktemp("master"), master))
        stack.enter_context(redis(tmp_path_factory.mktemp("replica"), replica, master=master))
        stack.enter_context(redis(tmp_path_factory.mktemp("protected"), protected, password=PASSWORD))
        yield Databases(server, master, replica, protected)


def with_password(directory: Path, password: str) -> RedisSettings:
    file = directory / "password"
    file.write_text(f"{password}\n")
    return RedisSettings(str(file), interval=0.05)


def test_ping_is_up(databases: Databases) -> None:
    assert first_results(databases.master, RedisSettings()) == [""]
    assert first_results(databases.replica, RedisSettings()) == [""]


@pytest.mark.parametrize("role", [Role.MASTER, Role.REPLICA])
def test_role_is_compared_with_that_of_the_server(databases: Databases, role: Role) -> None:
    other = Role.REPLICA if role is Role.MASTER else Role.MASTER
    port = {Role.MASTER: databases.master, Role.REPLICA: databases.replica}
    assert first_results(port[role], RedisSettings(role=role)) == [""]
    assert first_results(port[other], RedisSettings(role=role)) == [f"answer: role {other}, wanted {role}"]


def test_missing_password_is_down(databases: Databases) -> None:
    assert first_results(databases.protected, RedisSettings()) == ["answer: PING: NOAUTH Authentication required."]


def test_wrong_password_is_down_and_not_shown(databases: Databases, tmp_path: Path) -> None:
    (reason,) = first_results(databases.protected, with_password(tmp_path, "hunter2"))
    assert reason.startswith("answer: AUTH: WRONGPASS ")
    assert "hunter2" not in reason


def test_changed_password_is_read_again_and_kept_when_removed(databases: Databases, tmp_path: Path) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(with_password(tmp_path, "wrong"), port=databases.protected)
            assert not (await setup.report()).up
            with_password(tmp_path, PASSWORD)
            assert (await setup.report()).up
            (tmp_path / "password").unlink()
            passed = monitor.up_results
            await setup.until(lambda: monitor.up_results > passed + 2)
            assert monitor.up

    run(main)


def test_unreadable_password_is_refused_before_start(tmp_path: Path) -> None:
    found = refusal(RedisSettings(str(tmp_path / "none")))
    assert found is not None
    assert (found.option, found.found) == ("redis.password-file", f"{tmp_path}/none (No such file or directory)")
    (tmp_path / "binary").write_bytes(b"\xff\n")
    found = refusal(RedisSettings(str(tmp_path / "binary")))
    assert found is not None
    assert found.found == f"{tmp_path}/binary (not UTF-8)"
    assert refusal(with_password(tmp_path, PASSWORD)) is None
    assert refusal(RedisSettings()) is None


def test_hanging_server_is_down(databases: Databases) -> None:
    databases.server.pause()
    try:
        reasons = first_results(databases.master, RedisSettings(timeout=0.4))
    finally:
        databases.server.resume()
    assert reasons == ["answer: TIME without a byte (connected in TIME)"]
    assert first_results(databases.master, RedisSettings()) == [""]


def test_dead_server_refuses_and_restarted_server_is_up(databases: Databases) -> None:
    check_restart(databases.server, databases.master, RedisSettings(interval=0.05))
