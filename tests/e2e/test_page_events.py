"""The event stream of the status page, of a daemon with all the streams that it allows."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.status.events import MOST
from tests.harness.daemon_process import Daemon, Deployment, daemon, wait_for
from tests.harness.loop_probe import LoopProbe

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['IdleConnection']
idleconnection.max-delay = 1
"""


REQUEST = b"GET /page/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, ("127.0.1.1", "127.0.1.2", "127.0.1.3"), CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def probe(tmp_path: Path) -> LoopProbe:
    return LoopProbe(tmp_path / "probe")


@pytest.fixture
def running(deployment: Deployment, probe: LoopProbe) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint, program=probe.program) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield running


class Browser:
    """A client of the event stream, with what it received."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(REQUEST)
        self.socket.setblocking(False)
        self.text = b""
        self.ended = False

    def receives(self, text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(65536):
                self.text += data
            self.ended = True
        return text in self.text


@contextlib.contextmanager
def browsers(port: int, count: int) -> Iterator[list[Browser]]:
    with contextlib.ExitStack() as stack:
        opened = [Browser(port) for _ in range(count)]
        for each in opened:
            stack.callback(each.socket.close)
        for each in opened:
            wait_for(lambda each=each: each.receives(b"retry: 2000"), lambda: "the begin of a stream")  # type: ignore[misc]
        yield opened


def all_receive(opened: list[Browser], text: bytes) -> bool:
    return False not in [each.receives(text) for each in opened]


def test_every_stream_receives_a_change_while_others_do_not_read(
    deployment: Deployment, running: Daemon, probe: LoopProbe
) -> None:
    with browsers(deployment.status_port, MOST) as opened:
        refused = Browser(deployment.status_port)
        running.wait(lambda: refused.receives(b"event streams are in use"), "a refusal")
        refused.socket.close()
        reading, begun = opened[::2], probe.now()
        deployment.servers["127.0.1.2"].stop()
        running.wait(lambda: all_receive(reading, b"event: change"), "a change for every stream")
        running.wait(lambda: all_receive(reading, b"event: beat"), "a beat for every stream")
        probe.check("events", begun)


def test_stream_is_free_again_when_its_client_leaves(deployment: Deployment, running: Daemon) -> None:
    with browsers(deployment.status_port, MOST) as opened:
        opened[0].socket.close()
        running.wait(lambda: "in use" not in begin_of_stream(deployment.status_port), "a free stream")


def test_streams_end_when_the_daemon_stops(deployment: Deployment, running: Daemon) -> None:
    with browsers(deployment.status_port, 3) as opened:
        assert running.stop() == 0
        wait_for(lambda: all_receive(opened, b"") and all(each.ended for each in opened), lambda: "three ends")


def begin_of_stream(port: int) -> str:
    """Return the first piece of a response to a request of the event stream."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(REQUEST)
        return client.recv(65536).decode()
