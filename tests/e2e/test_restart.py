"""A restart under a service manager that keeps sockets: each connection to port 9090 is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

import pytest

from tests.harness.daemon_process import GLOBAL, PATIENCE, WEB, Deployment, wait_for
from tests.harness.service_manager import ServiceManager, service_manager
from tests.harness.tools.http_get import http_get

HOST = "127.0.1.61"
CONF = GLOBAL + WEB
RESTARTS = 3


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, [HOST], CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def manager(deployment: Deployment) -> Iterator[ServiceManager]:
    with service_manager(deployment.directory, deployment.endpoint) as manager:
        yield manager


@dataclass
class Clients:
    """Twenty clients, each with one request per connection, one after the other."""

    port: int
    path: str
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    broken: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(20)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            self._ask()

    def _ask(self) -> None:
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", self.path)
            self.bodies.append(connection.getresponse().read().decode())
            self.seconds.append(time.monotonic() - began)
        except ConnectionRefusedError:
            self.refused += 1
        except (OSError, HTTPException) as error:
            self.broken.append(repr(error))
        finally:
            connection.close()


def test_restart_refuses_no_connection(
    deployment: Deployment, manager: ServiceManager, record_property: Callable[[str, object], None]
) -> None:
    running = manager.start()
    manager.wait_until_ready()
    running.wait(lambda: "up/pooled" in running.get("/pools/web"), "a pooled server")
    with Clients(deployment.status_port, f"/pools/web/{HOST}") as clients:
        for _ in range(RESTARTS):
            manager.restart()
            manager.wait_until_ready()
    number = len(clients.seconds) + clients.refused + len(clients.broken)
    figures = f"{clients.refused} of {number} refused, slowest answer {max(clients.seconds, default=0.0):.2f} s"
    record_property("measured", f"{RESTARTS} restarts: {figures}")
    assert (clients.refused, clients.broken) == (0, [])
    assert clients.bodies.count("enabled/up/pooled\n") > RESTARTS


def test_crash_refuses_no_connection(deployment: Deployment, manager: ServiceManager) -> None:
    """An accepted request is lost with the process; later connections wait for the next process."""
    running = manager.start()
    manager.wait_for_store(f"pybal-http-{deployment.status_port}-127.0.0.1")
    running.process.kill()
    running.process.wait(PATIENCE)
    with Clients(deployment.status_port, "/pools") as clients:
        manager.start()
        manager.wait_until_ready()
    assert (clients.refused, clients.broken) == (0, [])


def test_endpoint_that_a_reload_drops_leaves_the_store(deployment: Deployment, manager: ServiceManager) -> None:
    both = CONF.replace("['127.0.0.1']", "['127.0.0.1', '127.0.0.2']")
    deployment.configure(both)
    running = manager.start()
    manager.wait_until_ready()
    names = [f"pybal-http-{deployment.status_port}-127.0.0.{number}" for number in (1, 2)]
    assert sorted(name for name, _ in manager.store) == names
    deployment.configure(CONF)
    assert running.reload()["accepted"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", deployment.status_port))
    wait_for(lambda: [name for name, _ in manager.store] == names[:1], lambda: str(manager.store))
    deployment.configure(both)
    running.reload()
    wait_for(lambda: sorted(name for name, _ in manager.store) == names, lambda: str(manager.store))


def test_stored_socket_of_no_endpoint_is_closed(deployment: Deployment, manager: ServiceManager) -> None:
    deployment.configure(CONF.replace("['127.0.0.1']", "['127.0.0.1', '127.0.0.2']"))
    manager.start()
    manager.wait_until_ready()
    deployment.configure(CONF)
    running = manager.restart()
    running.wait_for_log(f"closing the inherited socket of 127.0.0.2:{deployment.status_port}")
    manager.wait_until_ready()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", deployment.status_port))
    assert [name for name, _ in manager.store] == [f"pybal-http-{deployment.status_port}-127.0.0.1"]


def test_wrong_descriptors_are_ignored_with_a_line_in_the_log(deployment: Deployment, tmp_path: Path) -> None:
    address = ("127.0.0.1", deployment.status_port)
    with (
        socket.create_server(address) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as idle,
        listening.dup() as twice,
    ):
        udp.bind(address)
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        more = [("udp", udp), ("unix", unix), ("idle", idle), ("pybal.socket", listening), ("twice", twice)]
        with service_manager(tmp_path, deployment.endpoint, more=more) as manager:
            running = manager.start()
            listening.close()
            twice.close()
            manager.wait_until_ready()
            lines = [line.partition("service manager: ")[2] for line in running.log.splitlines() if "ignoring" in line]
            assert lines == ["not a TCP socket", "a socket of family AF_UNIX", "not listening", "passed twice"]
            assert running.get("/pools") == "web\n"
            assert manager.store == []  # the unit of type socket keeps it


def test_command_inherits_nothing_of_the_service_manager(deployment: Deployment, manager: ServiceManager) -> None:
    found = deployment.directory / "found"
    script = deployment.directory / "check"
    script.write_text(f"#!/bin/sh\nenv >{found}.new; ls -l /proc/$$/fd >>{found}.new; mv {found}.new {found}\n")
    script.chmod(0o755)
    conf = CONF.replace("'IdleConnection'", "'RunCommand'")
    deployment.configure(conf + f"runcommand.command = {script}\n")
    manager.start()
    manager.wait_until_ready()
    running = manager.restart()  # with an inherited socket
    found.unlink(missing_ok=True)
    running.wait(found.exists, "a command")
    text = found.read_text()
    assert not [name for name in ("NOTIFY_SOCKET", "WATCHDOG", "LISTEN_", "socket:") if name in text]


def test_server_without_a_list_is_missing_after_a_second_and_a_half(
    deployment: Deployment, manager: ServiceManager
) -> None:
    (deployment.directory / "web.pool").unlink()
    manager.start()
    manager.wait_until_ready()  # without the list
    began = time.monotonic()
    answer = http_get(f"{deployment.endpoint}/pools/web/{HOST}", PATIENCE, {})
    assert (answer.status, time.monotonic() - began > 1.4) == (404, True)
    deployment.pool(HOST)
    wait_for(lambda: http_get(f"{deployment.endpoint}/pools/web/{HOST}", PATIENCE, {}).ok, lambda: "the server")


def test_status_names_the_stages_of_a_stop(deployment: Deployment, manager: ServiceManager) -> None:
    running = manager.start()
    manager.wait_until_ready()
    assert running.stop() == 0
    wait_for(lambda: len(stages(manager)) == 3, lambda: str(manager.notifications))
    assert stages(manager) == [
        "stopping: withdrawing the announcements",
        "stopping: writing the last changes to IPVS and to disk",
        "stopping: answering the last HTTP requests",
    ]


def stages(manager: ServiceManager) -> list[str]:
    return [text for text in manager.statuses() if text.startswith("stopping")]


def test_refused_reload_ends_with_its_reason(deployment: Deployment, manager: ServiceManager) -> None:
    running = manager.start()
    manager.wait_until_ready()
    deployment.configure(CONF.replace("scheduler = wrr", "scheduler = none"))
    assert not running.reload()["accepted"]
    manager.wait_for_status("; last reload refused: ")
    states = [each.variables for each in manager.notifications if {"RELOADING", "READY"} & each.variables.keys()]
    assert [sorted(each)[:2] for each in states] == [
        ["READY", "STATUS"],
        ["MONOTONIC_USEC", "RELOADING"],
        ["READY", "STATUS"],
    ]
