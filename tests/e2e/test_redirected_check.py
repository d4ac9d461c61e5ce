"""The incident of 2015-06-13 in the daemon: a check URL becomes a redirect on all servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, WebServer, daemon, free_port

HOSTS = tuple(f"127.0.2.{number}" for number in range(1, 7))
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
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 1
"""


@pytest.fixture
def port() -> int:
    return free_port(*HOSTS)


@pytest.fixture
def servers(port: int) -> Iterator[dict[str, WebServer]]:
    servers = {host: WebServer(host, port) for host in HOSTS}
    yield servers
    for server in servers.values():
        server.stop()


def write_pool(directory: Path, weights: dict[str, int]) -> None:
    lines = (f"{{'host': '{host}', 'weight': {weights.get(host, 10)}}}\n" for host in HOSTS)
    (directory / "web.pool").write_text("".join(lines))


@pytest.fixture
def running(tmp_path: Path, port: int, servers: dict[str, WebServer]) -> Iterator[Daemon]:
    status_port = free_port("127.0.0.1")
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path, port=port, status_port=status_port))
    write_pool(tmp_path, {})
    with daemon(tmp_path, endpoint=f"http://127.0.0.1:{status_port}") as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 6, "six servers pooled")
        yield running


def table(running: Daemon) -> list[str]:
    return [line for line in running.get("/v1/ipvs").splitlines() if line.startswith("-a")]


def test_20150613_half_stays_pooled_and_alerts_fire_after_an_edit(
    tmp_path: Path, running: Daemon, servers: dict[str, WebServer]
) -> None:
    for server in servers.values():
        server.status = 301
    running.wait(lambda: running.get("/pools/web").count("/down/") == 6, "all six down")
    assert len(table(running)) == 3
    alerts = running.get("/alerts")
    assert alerts.startswith("CRITICAL - web: Servers ")
    assert alerts.endswith(" are marked down but pooled")
    reason = 'began to fail ProxyFetch with "status: HTTP 301, wanted 200" within '
    suspected = f"WARNING web suspect-check: 6 of 6 servers {reason}"
    running.wait(lambda: suspected in running.get("/v1/alerts"), "the alert of all six")
    assert f"servers {reason}" in running.log

    # The edit that emptied the pool then: here it changes only the list.
    forced = [line.split(" -r ")[1].partition(":")[0] for line in table(running)]
    write_pool(tmp_path, {forced[0]: 25})
    running.wait(lambda: any(line.endswith("-w 25") for line in table(running)), "the new weight")
    assert [line.split(" -r ")[1].partition(":")[0] for line in table(running)] == forced
    assert running.get("/alerts") == alerts

    for server in servers.values():
        server.status = 200
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 6, "all back")
    assert running.get("/alerts") == "OK - All pools are healthy"
