"""share-checks in the daemon: two services on the same servers, which count requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import Daemon, WebServer, daemon, free_port

ONE, TWO = "127.0.2.1", "127.0.2.2"
SHARING = ("text", "upload")
CONF = """
[DEFAULT]
protocol = tcp
port = {port}
scheduler = wrr
config = file://{directory}/%(__name__)s.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example/']
proxyfetch.interval = 0.2
share-checks = yes

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[text]
ip = 192.0.2.1

[upload]
ip = 192.0.2.2
"""
POOL = f"{{'host': '{ONE}'}}\n{{'host': '{TWO}'}}\n"


@pytest.fixture
def servers() -> Iterator[dict[str, WebServer]]:
    port = free_port(ONE, TWO)
    servers = {host: WebServer(host, port) for host in (ONE, TWO)}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def running(tmp_path: Path, servers: dict[str, WebServer]) -> Iterator[Daemon]:
    status_port = free_port("127.0.0.1")
    conf = CONF.format(directory=tmp_path, port=servers[ONE].port, status_port=status_port)
    (tmp_path / "pybal.conf").write_text(conf)
    for pool in SHARING:
        (tmp_path / f"{pool}.pool").write_text(POOL)
    with daemon(tmp_path, endpoint=f"http://127.0.0.1:{status_port}") as running:
        running.wait(lambda: all(pooled(running, pool) == 2 for pool in SHARING), "both servers pooled in both")
        yield running


def pooled(running: Daemon, pool: str) -> int:
    return running.get(f"/pools/{pool}").count("/up/pooled")


def value(metrics: str, series: str) -> int:
    found = re.search(rf"^{re.escape(series)} (\d+)\.0$", metrics, re.MULTILINE)
    assert found, f"no {series}"
    return int(found[1])


def results(metrics: str, host: str, service: str) -> int:
    labels = f'{{host="{host}",monitor="ProxyFetch",service="{service}"}}'
    return value(metrics, f"pybal_monitor_up_results_total{labels}")


def test_shared_check_is_one_request_for_two_services(running: Daemon, servers: dict[str, WebServer]) -> None:
    running.wait(lambda: servers[ONE].requests >= 10, "ten requests")
    before = servers[ONE].requests
    metrics = running.get("/metrics")
    # The daemon checks while it responds: a request may be in flight, a result may arrive between two lines.
    assert before - 1 <= results(metrics, ONE, "text") <= servers[ONE].requests
    for host in (ONE, TWO):
        assert results(metrics, host, "text") == results(metrics, host, "upload")
    assert value(metrics, "pybal_checks_total") <= sum(results(metrics, host, "text") for host in (ONE, TWO)) + 2

    told = cast("dict[str, Any]", running.get_json(f"/v1/pools/upload/{ONE}/history"))
    assert told["monitors"][0]["shared_by"] == list(SHARING)
    assert "ProxyFetch, shared by text, upload\n" in running.get(f"/v1/pools/upload/{ONE}/history")

    servers[ONE].stop()
    for pool in SHARING:
        running.wait_for_log(f"[{pool}] INFO: serving 1 of 2, floor 1, 0 forced: {ONE} depooled")


def test_shared_check_continues_for_the_remaining_service(
    running: Daemon, servers: dict[str, WebServer], tmp_path: Path
) -> None:
    (tmp_path / "text.pool").write_text(f"{{'host': '{TWO}'}}\n")
    running.wait(lambda: ONE not in running.get("/pools/text"), f"{ONE} gone from text")
    more = servers[ONE].requests + 3
    running.wait(lambda: servers[ONE].requests >= more, "three requests more")
    told = cast("dict[str, Any]", running.get_json(f"/v1/pools/upload/{ONE}/history"))
    assert told["monitors"][0]["shared_by"] == []

    (tmp_path / "text.pool").write_text(POOL)
    running.wait(lambda: pooled(running, "text") == 2, f"{ONE} back in text")
    told = cast("dict[str, Any]", running.get_json(f"/v1/pools/upload/{ONE}/history"))
    assert told["monitors"][0]["shared_by"] == list(SHARING)
