"""A pool list on a real nginx: the daemon follows it, and keeps the list during an outage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, daemon
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


def test_pool_follows_its_list_and_keeps_it_during_an_outage(running: Daemon, server: Server, tmp_path: Path) -> None:
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
    write(tmp_path, "127.0.0.2", "127.0.0.4")
    running.wait(lambda: listed(running) == ["127.0.0.2", "127.0.0.4"], "a server removed")
    server.kill()
    running.wait(lambda: "/pool: connection refused" in running.get("/v1/alerts"), "the alert")
    assert running.get("/pools/web").count("/up/pooled") == 2
    write(tmp_path, "127.0.0.2", "127.0.0.5")
    server.start()
    running.wait(lambda: listed(running) == ["127.0.0.2", "127.0.0.5"], "the list after the outage")
    running.wait(lambda: "connection refused" not in running.get("/v1/alerts"), "the end of the alert")


@pytest.mark.usefixtures("server")
def test_source_waits_for_its_token_file_with_an_alert(tmp_path: Path) -> None:
    conf = tmp_path / "pybal.conf"
    host = conf.read_text().rpartition("http://")[2].partition("/")[0]
    conf.write_text(conf.read_text() + f"[http {host}]\ntoken-file = {tmp_path}/token\n")
    with daemon(tmp_path, endpoint=(tmp_path / "endpoint").read_text()) as running:
        running.wait(lambda: f"{tmp_path}/token" in running.get("/v1/alerts"), "the alert")
        assert "No such file" in running.get("/v1/alerts")
        (tmp_path / "token").write_text("secret")
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        running.wait(lambda: "/token" not in running.get("/v1/alerts"), "the end of the alert")
