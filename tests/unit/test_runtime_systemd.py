"""What systemd is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.runtime.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(manager: socket.socket) -> list[bytes]:
    states = []
    while True:
        try:
            states.append(manager.recv(1000))
        except BlockingIOError:
            return states


def test_ready_and_stopping_are_said_once(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, Clock())
    notifier.ready("3 services")
    notifier.stopping()
    assert heard(manager) == [b"READY=1\nSTATUS=3 services", b"STOPPING=1"]


def test_the_watchdog_is_fed_twice_in_its_interval_until_the_stop(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}, clock)
    notifier.ready("ok")
    clock.pump([2.0, 2.0])
    assert heard(manager) == [b"READY=1\nSTATUS=ok", *[b"WATCHDOG=1"] * 3]
    notifier.stopping()
    assert clock.getDelayedCalls() == []


def test_without_a_manager_nothing_is_sent_and_nothing_is_scheduled() -> None:
    clock = Clock()
    notifier = Notifier({}, clock)
    notifier.ready("ok")
    notifier.stopping()
    assert clock.getDelayedCalls() == []


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, Clock()).ready("ok")


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0pybal-test-notify")
        Notifier({"NOTIFY_SOCKET": "@pybal-test-notify"}, Clock()).notify("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_a_reload_is_said_with_the_time_at_which_it_began(manager: socket.socket) -> None:
    clock = Clock()
    clock.advance(1.5)
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, clock)
    notifier.reloading()
    notifier.ready("3 services")
    assert heard(manager) == [b"RELOADING=1\nMONOTONIC_USEC=1500000", b"READY=1\nSTATUS=3 services"]
