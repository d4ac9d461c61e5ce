"""Notifications to systemd."""

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
    notifier.stopping()
    assert received(manager) == [b"READY=1\nSTATUS=3 services", b"STOPPING=1"]


def test_notifier_sends_watchdog_at_half_the_interval_until_stop(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}, clock)
    notifier.ready("ok")
    clock.pump([2.0, 2.0])
    assert received(manager) == [b"READY=1\nSTATUS=ok", *[b"WATCHDOG=1"] * 3]
    notifier.stopping()
    assert clock.getDelayedCalls() == []


def test_notifier_does_nothing_without_a_manager() -> None:
    clock = Clock()
    notifier = Notifier({}, clock)
    notifier.ready("ok")
    notifier.stopping()
    assert clock.getDelayedCalls() == []


def test_notifier_ignores_a_missing_socket(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "missing")}, Clock()).ready("ok")


def test_notifier_supports_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0pybal-test-notify")
        Notifier({"NOTIFY_SOCKET": "@pybal-test-notify"}, Clock()).notify("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_notifier_sends_the_start_time_of_a_reload(manager: socket.socket) -> None:
    clock = Clock()
    clock.advance(1.5)
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()}, clock)
    notifier.reloading()
    notifier.ready("3 services")
    assert received(manager) == [b"RELOADING=1\nMONOTONIC_USEC=1500000", b"READY=1\nSTATUS=3 services"]
