"""The history of checks explains a depooled server: the daemon as a process, and a server that stalls."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import Daemon, WebServer, daemon, free_port

SICK, SOUND = "127.0.1.1", "127.0.1.2"
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[parsoid]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/parsoid.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://parsoid.example/']
proxyfetch.interval = 0.5
proxyfetch.timeout = 2
"""
HEAD = b"HTTP/1.0 200 OK\r\nContent-Length: 2000\r\n\r\n"


class Parsoid:
    """A server that never closes a connection; ``half`` selects a complete or a partial response."""

    def __init__(self, port: int) -> None:
        self.half = False
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server((SICK, port))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = connection.recv(4096)
                if not data:
                    return
                request += data
            whole = b"HTTP/1.1" in request or not self.half
            connection.sendall(HEAD + b"x" * (2000 if whole else 1043))

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def port() -> int:
    return free_port(SICK, SOUND)


@pytest.fixture
def parsoid(port: int) -> Iterator[Parsoid]:
    sick, sound = Parsoid(port), WebServer(SOUND, port)
    yield sick
    sick.stop()
    sound.stop()


@pytest.fixture
def running(tmp_path: Path, port: int, parsoid: Parsoid) -> Iterator[Daemon]:
    status_port = free_port("127.0.0.1")
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path, port=port, status_port=status_port))
    (tmp_path / "parsoid.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in (SICK, SOUND)))
    with daemon(tmp_path, endpoint=f"http://127.0.0.1:{status_port}") as running:
        running.wait(lambda: running.get("/pools/parsoid").count("/up/pooled") == 2, "both servers pooled")
        yield running


def results(running: Daemon) -> list[dict[str, Any]]:
    document = cast("dict[str, Any]", running.get_json(f"/v1/pools/parsoid/{SICK}/history"))
    [monitor] = document["monitors"]
    assert monitor["monitor"] == "ProxyFetch"
    return list(monitor["results"])


def text(running: Daemon) -> str:
    return running.get(f"/v1/pools/parsoid/{SICK}/history")


def test_history_explains_the_parsoid_incident_of_2013(running: Daemon, parsoid: Parsoid) -> None:
    # A complete response passes immediately although the connection stays open; its size is shown.
    running.wait(lambda: len(results(running)) >= 3, "three results")
    for result in results(running):
        assert (result["result"], result["bytes"], result["follow_up"]) == ("passed", len(HEAD) + 2000, False)
        assert list(result["phases"]) == ["connect", "first byte", "headers", "body"]
        assert result["duration"] < 2

    # A partial response fails with the received size, the times, and the duration of the stall.
    parsoid.half = True
    running.wait(lambda: "HTTP/1.1 http" in text(running), "the follow-ups")
    failure, tcp, newer = [one for one in results(running) if one["result"] == "failed" or one["follow_up"]][:3]
    assert re.fullmatch(
        r"1043 of 2000 bytes, then nothing for 2(\.\d)? s \(connected in \d+ ms, HTTP 200 in \d+ ms\)",
        failure["reason"],
    )
    assert (failure["phase"], failure["bytes"], failure["subject"]) == (
        "body",
        len(HEAD) + 1043,
        "http://parsoid.example/",
    )
    assert failure["phases"]["body"] > 1.5
    assert sum(failure["phases"].values()) == pytest.approx(failure["duration"], abs=1e-3)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failure["time"])

    # TCP works, and so does HTTP/1.1: the server closes the HTTP/1.0 connection too late or never.
    assert (tcp["follow_up"], tcp["subject"], tcp["result"]) == (True, "TCP only", "passed")
    assert (newer["follow_up"], newer["subject"]) == (True, "HTTP/1.1 http://parsoid.example/")
    assert (newer["result"], newer["bytes"]) == ("passed", len(HEAD) + 2000)

    line = next(line for line in text(running).splitlines() if " failed " in line)
    assert re.search(
        r"Z failed http://parsoid\.example/: body: 1043 of 2000 bytes, then nothing for 2(\.\d)? s \(.*\)"
        r" \[connect \d+ ms, first byte \d+ ms, headers \d+ ms, body [12](\.\d)? s, 1084 bytes\]$",
        line,
    )


def test_history_of_decisions_has_the_arithmetic_of_the_log(running: Daemon, parsoid: Parsoid) -> None:
    parsoid.half = True
    decision = f"serving 1 of 2, floor 1, 0 forced: {SICK} depooled"
    running.wait(lambda: decision in running.get("/v1/pools/parsoid/history"), "the decision")
    assert decision in running.log
    document = cast("dict[str, Any]", running.get_json("/v1/pools/parsoid/history"))
    last = document["decisions"][-1]
    assert (last["decision"], last["arithmetic"]) == ("depooled", "serving 1 of 2, floor 1, 0 forced")
    assert list(last["servers"]) == [SICK]
    assert last["servers"][SICK].startswith("down: ProxyFetch body: 1043 of 2000 bytes, then nothing for ")

    # The decision and the transition stay when the results of the failure are gone.
    parsoid.half = False
    path = f"/v1/pools/parsoid/{SICK}/history"
    running.wait(lambda: running.get(path).count(" up\n") == 1, "the server up again")
    running.wait(lambda: " pooled (up): serving 2 of 2" in running.get(path), "the server pooled again")
    shown = cast("dict[str, Any]", running.get_json(path))
    assert [one["up"] for one in shown["transitions"]["ProxyFetch"]] == [False, True]
    assert [one["decision"] for one in shown["decisions"]][-2:] == ["depooled", "pooled"]
