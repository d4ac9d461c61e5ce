"""A configuration without services, as after the installation: the daemon runs and reports it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import GLOBAL, WEB, Deployment, run_pybal
from tests.harness.service_manager import service_manager

HOST = "127.0.1.62"
TEXT = "no services configured"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, [HOST], GLOBAL)
    yield deployment
    deployment.stop()


def test_daemon_without_services_runs_until_a_reload_adds_some(deployment: Deployment) -> None:
    with service_manager(deployment.directory, deployment.endpoint) as manager:
        running = manager.start()
        assert manager.wait_until_ready().variables["STATUS"] == TEXT
        running.wait_for_log(TEXT)
        assert (running.get("/alerts"), running.get("/pools")) == ("OK - All pools are healthy", "")
        (alert,) = json.loads(running.get("/v1/alerts", "application/json"))
        assert (alert["kind"], alert["text"][: len(TEXT)]) == ("unconfigured", TEXT)
        assert TEXT in running.get("/")
        assert TEXT in deployment.pybal("status", named=False).stdout
        deployment.configure(GLOBAL + WEB)
        assert running.reload()["accepted"]
        running.wait(lambda: "up/pooled" in running.get("/pools/web"), "a pooled server")
        running.wait(lambda: json.loads(running.get("/v1/alerts", "application/json")) == [], "no alert")
        manager.wait_for_status("1 service, 1 of 1 server serving, 0 alerts")


def test_check_config_accepts_a_file_without_services(deployment: Deployment) -> None:
    for command in (("check-config", "-c"), ("--check-config", "-c")):
        checked = run_pybal(*command, str(deployment.conf))
        assert (checked.returncode, checked.stdout.partition(",")[0]) == (0, TEXT)
