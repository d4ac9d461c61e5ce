"""The link to the relay sends heartbeats and reads answers without waiting for the event loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from pybal.bgp.exabgp.events import Event, HeartbeatEchoed
from pybal.bgp.exabgp.link import Link, LinkFactory
from pybal.runtime.loop import Loop
from tests.harness.daemon_process import PATIENCE
from tests.harness.stepped_reactor import close


def connected(directory: Path, act: Callable[[Link, socket.socket], None]) -> None:
    """Call ``act`` in one callback of a loop, with a link and the relay's socket."""
    loop = Loop()
    done: list[bool] = []

    def within_one_callback(link: Link) -> None:
        act(link, relay)
        done.append(True)
        loop.crash()

    def prepare(link: Link) -> None:
        link.relay_connected = within_one_callback

    path = directory / "relay.sock"
    factory = LinkFactory(lambda process: process == os.getpid(), prepare, loop)
    port = loop.listenUNIX(str(path), factory)
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(str(path))
        limit = loop.callLater(PATIENCE, loop.crash)
        loop.run(installSignalHandlers=False)
        limit.cancel()
        port.connectionLost(None)
        loop.removeAll()  # type: ignore[no-untyped-call]  # Twisted's
    close(loop)
    assert done


def test_heartbeat_leaves_within_the_callback(tmp_path: Path) -> None:
    def act(link: Link, relay: socket.socket) -> None:
        link.send_now(b"!beat 1")
        assert relay.recv(100, socket.MSG_DONTWAIT) == b"!beat 1\n"

    connected(tmp_path, act)


def test_heartbeat_keeps_its_place_behind_commands(tmp_path: Path) -> None:
    def act(link: Link, relay: socket.socket) -> None:
        link.send(b"version")
        link.send_now(b"!beat 1")
        assert relay.recv(100, socket.MSG_DONTWAIT) == b"version\n!beat 1\n"

    connected(tmp_path, act)


def test_heartbeat_does_not_wait_for_a_full_socket(tmp_path: Path) -> None:
    def act(link: Link, relay: socket.socket) -> None:
        for _ in range(20):
            link.send_now(b"x" * 100_000)
        relay.settimeout(60)
        assert relay.recv(100, socket.MSG_PEEK)

    connected(tmp_path, act)


def test_answer_is_read_within_the_callback(tmp_path: Path) -> None:
    def act(link: Link, relay: socket.socket) -> None:
        events: list[Event] = []
        link.event_received = events.append
        link.receive_now()
        relay.sendall(b"!beat 1\n")
        link.receive_now()
        assert [type(event) for event in events] == [HeartbeatEchoed]

    connected(tmp_path, act)
