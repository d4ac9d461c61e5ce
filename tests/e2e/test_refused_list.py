"""A refused server list, from the refusal to `pybal accept`, also over restarts and reloads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, Deployment, daemon

HOSTS = tuple(f"127.0.13.{number}" for number in range(1, 7))
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
control-socket = {directory}/control.sock

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['TCPConnect']
"""


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    deployment = Deployment(tmp_path, HOSTS, CONF)
    yield deployment
    deployment.stop()


def start(deployment: Deployment) -> AbstractContextManager[Daemon]:
    return daemon(deployment.directory, endpoint=deployment.endpoint)


def pooled(running: Daemon) -> int:
    return running.get("/v1/ipvs").count("\n-a")


def test_refused_list_is_kept_out_over_a_restart_until_accept(deployment: Deployment) -> None:
    with start(deployment) as running:
        running.wait(lambda: pooled(running) == 6, "all servers pooled")
        deployment.pool(HOSTS[0])
        running.wait(lambda: "it lacks 5 of 6 pooled servers" in running.get("/v1/alerts"), "the alert")
        assert "run `pybal accept web --reason TEXT`" in running.get("/v1/alerts")
        assert pooled(running) == 6
        running.wait(lambda: list((deployment.directory / "state").glob("pool-web-*.json")), "the saved list")
        running.process.kill()
        running.process.wait()
    with start(deployment) as running:
        running.wait(lambda: "it lacks 5 of 6 pooled servers" in running.get("/v1/alerts"), "the alert after a restart")
        running.wait(lambda: pooled(running) == 6, "all servers pooled again")
        assert deployment.pybal("accept", "web").returncode != 0, "a reason is required"
        done = deployment.pybal("accept", "web", "--reason", "moved to another cluster")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("web: accepted a list of 1 server; removed 5 (127.0.13.2, ")
        running.wait(lambda: pooled(running) == 1, "one server left")
        running.wait(lambda: "source" not in running.get("/v1/alerts"), "the end of the alert")
        done = deployment.pybal("accept", "web", "--reason", "again")
        assert (done.returncode, done.stderr) == (1, "pybal: web: no refused list to accept\n")
        assert "moved to another cluster" in running.log


def test_list_of_another_source_is_refused_after_a_reload(deployment: Deployment) -> None:
    with start(deployment) as running:
        running.wait(lambda: pooled(running) == 6, "all servers pooled")
        (deployment.directory / "other.pool").write_text(f"{{'host': '{HOSTS[5]}', 'weight': 3}}\n")
        configuration = deployment.directory / "pybal.conf"
        configuration.write_text(configuration.read_text().replace("web.pool", "other.pool"))
        assert deployment.pybal("reload").returncode == 0
        running.wait(lambda: "other.pool: refused a list of 1 server" in running.get("/v1/alerts"), "the alert")
        servers = json.loads(running.get("/pools/web", "application/json"))
        weights = {host: server["weight"] for host, server in servers.items()}
        assert weights == dict.fromkeys(HOSTS[:5], 10) | {HOSTS[5]: 3}
