"""A pool list on a real nginx: the daemon follows it, outlives its server, and refuses to start without its own files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import PATIENCE, Daemon, daemon
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import Server, free_ports

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status}
ipvs-backend = memory

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = http://127.0.0.1:{port}/pool
"""


def write(directory: Path, *hosts: str) -> None:
    """Replace the list of hosts."""
    new = directory / "pool.new"
    new.write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
    new.rename(directory / "pool")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port, status = free_ports(2)
    (tmp_path / "pybal.conf").write_text(CONF.format(port=port, status=status))
    (tmp_path / "endpoint").write_text(f"http://127.0.0.1:{status}")
    write(tmp_path, "127.0.0.2", "127.0.0.3", "127.0.0.4")
    with nginx(tmp_path, f"server {{ {listening(port)} }}", port) as started:
        yield started


@pytest.fixture
def running(tmp_path: Path, server: Server) -> Iterator[Daemon]:
    with daemon(tmp_path, endpoint=(tmp_path / "endpoint").read_text()) as running:
        yield running


def listed(running: Daemon) -> list[str]:
    return [line.partition(":")[0] for line in running.get("/pools/web").splitlines()]


def test_a_pool_follows_its_list_and_outlives_the_server(running: Daemon, server: Server, tmp_path: Path) -> None:
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
    write(tmp_path, "127.0.0.2", "127.0.0.4")
    running.wait(lambda: listed(running) == ["127.0.0.2", "127.0.0.4"], "a server removed")
    server.kill()
    running.wait(lambda: "/pool: connection refused" in running.get("/v1/alerts"), "the alert")
    assert running.get("/pools/web").count("/up/pooled") == 2
    write(tmp_path, "127.0.0.2", "127.0.0.5")
    server.start()
    running.wait(lambda: listed(running) == ["127.0.0.2", "127.0.0.5"], "the list after it is back")
    running.wait(lambda: "connection refused" not in running.get("/v1/alerts"), "the end of the alert")


def test_it_does_not_start_with_files_that_cannot_be_used(tmp_path: Path) -> None:
    conf = tmp_path / "pybal.conf"
    conf.write_text(CONF.format(port=81, status=9090) + f"[http 127.0.0.1:81]\ntoken-file = {tmp_path}/none\n")
    command = [sys.executable, "-m", "pybal.cli", "-c", str(conf)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 2
    told = f"[http 127.0.0.1:81] token-file: found {tmp_path}/none (No such file or directory), wanted a file that can be read"
    assert told in ended.stderr
