"""Notifications to systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.runtime.systemd import RESEND_SECONDS, Notifier, watchdog_seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def received(manager: socket.socket) -> list[bytes]:
    states = []
    while True:
        try:
            states.append(manager.recv(1000))
        except BlockingIOError:
            return states


def test_notifier_sends_ready_and_stopping_once(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    notifier.ready("3 services")
    notifier.stopping("stopping: closing", 10.0)
    assert received(manager) == [
        b"READY=1\nSTATUS=3 services",
        b"STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000\nSTATUS=stopping: closing",
    ]


def test_notifier_sends_watchdog_at_half_the_interval_until_stop(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}, clock)
    notifier.start()
    clock.pump([2.0, 2.0])
    assert received(manager) == [b"WATCHDOG=1"] * 3
    notifier.stopping("stopping", 1.0)
    assert clock.getDelayedCalls() == []


def test_notifier_sends_no_watchdog_while_not_alive(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}, clock)
    alive = [True, False, False, True]
    notifier.alive = lambda: alive.pop(0)
    notifier.start()
    clock.pump([2.0, 2.0, 2.0])
    assert (received(manager), alive) == ([b"WATCHDOG=1"] * 2, [])
    notifier.close()


def test_notifier_ignores_the_watchdog_of_another_process(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}
    clock = Clock()
    Notifier(environ, clock).start()
    assert (received(manager), clock.getDelayedCalls()) == ([], [])
    assert watchdog_seconds({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}) == 4.0


def test_notifier_does_nothing_without_a_manager() -> None:
    clock = Clock()
    notifier = Notifier({}, clock)
    notifier.start()
    notifier.ready("ok")
    notifier.stopping("stopping", 1.0)
    assert clock.getDelayedCalls() == []


def test_notifier_ignores_a_missing_socket(tmp_path: Path) -> None:
    clock = Clock()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "missing")}, clock).ready("ok")
    assert clock.getDelayedCalls() == []


def test_notifier_sends_again_what_a_full_queue_refused(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, clock)
    sent = 0
    while notifier.notify("X=1"):
        sent += 1
    notifier.status("old")
    notifier.ready("3 services")
    notifier.status("4 services")
    assert received(manager) == [b"X=1"] * sent
    clock.advance(RESEND_SECONDS)
    assert received(manager) == [b"READY=1\nSTATUS=3 services", b"STATUS=4 services"]
    assert clock.getDelayedCalls() == []


def test_notifier_sends_a_status_on_one_line_once(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    notifier.status("waiting\nREADY=1")
    notifier.status("waiting\nREADY=1")
    notifier.status("x" * 5000)
    assert received(manager) == [b"STATUS=waiting\\nREADY=1", b"STATUS=" + b"x" * 500]


def test_notifier_stores_a_socket_and_forgets_it(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    with socket.create_server(("127.0.0.1", 0)) as server:
        notifier.store("pybal-http-9090-127.0.0.1", server)
        state, (descriptor,), _, _ = socket.recv_fds(manager, 1000, 4)
        with socket.socket(fileno=descriptor) as kept:
            assert kept.getsockname() == server.getsockname()
    assert state == b"FDSTORE=1\nFDNAME=pybal-http-9090-127.0.0.1\nFDPOLL=0"
    notifier.forget("pybal-http-9090-127.0.0.1")
    assert received(manager) == [b"FDSTOREREMOVE=1\nFDNAME=pybal-http-9090-127.0.0.1"]


def test_notifier_supports_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0pybal-test-notify")
        Notifier({"NOTIFY_SOCKET": "@pybal-test-notify"}, Clock()).notify("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_notifier_sends_the_start_time_of_a_reload(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, clock)
    notifier.ready("2 services")
    clock.advance(1.5)
    notifier.reloading()
    notifier.reloaded("3 services")
    assert received(manager) == [
        b"READY=1\nSTATUS=2 services",
        b"RELOADING=1\nMONOTONIC_USEC=1500000",
        b"READY=1\nSTATUS=3 services",
    ]


def test_reload_during_the_start_does_not_make_the_daemon_ready(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    notifier.reloading()
    notifier.reloaded("3 services")
    assert received(manager) == []


def test_reload_that_ends_during_the_stop_is_not_reported(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    notifier.ready("2 services")
    notifier.stopping("stopping", 1.0)
    received(manager)
    notifier.reloaded("3 services")
    notifier.status("3 services")
    assert received(manager) == []


@pytest.mark.parametrize("text", ["", "-1", "1.5", "\u0663", "9" * 400, "9" * 5000])
def test_invalid_interval_of_the_watchdog_counts_as_zero(text: str) -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": text}) == 0.0
