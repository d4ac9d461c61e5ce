"""A service that takes no connections is critical in alerts, status, page, metrics and Icinga."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.e2e.control.conftest import CONF, HOSTS
from tests.harness.daemon_process import Daemon, Deployment, daemon
from tests.harness.page_reader import PageReader

SERVICE = """
[{name}]
protocol = tcp
ip = {vip}
port = {{port}}
scheduler = wrr
config = file://{{directory}}/{name}.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3
depool-threshold = {threshold}
allow-empty = yes
"""
DEAD = "127.0.1.9"
"""No server listens on this address."""
STATES = {
    "dead": ("no-servers", "0"),
    "weightless": ("no-servers", ".5"),
    "disabled": ("no-servers", ".5"),
    "empty": ("no-servers", ".5"),
    "waiting": ("no-servers", ".5"),
    "forced": ("pooled-down", ".5"),
    "absent": ("not-in-ipvs", ".5"),
}
"""The kind of the critical alert of each service, and its threshold."""
HEADLINES = {
    "no-servers": "No server takes new connections",
    "pooled-down": "1 server down but pooled",
    "not-in-ipvs": "IPVS lacks the service or its servers",
}
"""The verdict on the page of the service, by the kind of its alert."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    services = "".join(
        SERVICE.format(name=name, vip=f"192.0.2.{number}", threshold=threshold)
        for number, (name, (_, threshold)) in enumerate(STATES.items(), start=10)
    )
    deployment = Deployment(tmp_path_factory.mktemp("severity"), HOSTS, CONF + services)
    deployment.pool(DEAD, name="dead")
    deployment.pool(HOSTS[0], name="weightless", weight=0)
    deployment.pool(HOSTS[0], name="disabled", enabled=False)
    deployment.pool(name="empty")
    deployment.pool(DEAD, name="forced")
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def running(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        # A list that comes during a freeze leaves its service out of IPVS.
        assert deployment.pybal("freeze", "--reason", "new switch").returncode == 0
        deployment.pool(*HOSTS, name="absent")
        running.wait(lambda: "pooled-down" in running.get("/v1/alerts"), "the alert of the forced server")
        running.wait(lambda: "not-in-ipvs" in running.get("/v1/alerts"), "the alert of the absent service")
        running.wait(
            lambda: "dead no-servers: no server takes new connections: 1 of 1 server down" in running.get("/v1/alerts"),
            "the end of the first checks",
        )
        yield running


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (kind, _) in STATES.items()])
def test_service_without_connections_is_critical_in_every_view(
    deployment: Deployment, running: Daemon, name: str, kind: str
) -> None:
    alerts = cast("list[dict[str, Any]]", running.get_json("/v1/alerts"))
    (alert,) = (each for each in alerts if each["service"] == name and each["level"] == "critical")
    assert alert["kind"] == kind
    assert alert["age"] >= 0
    status = deployment.document("status")
    assert [each["kind"] for each in status["alerts"] if (each["service"], each["level"]) == (name, "critical")] == [
        kind
    ]
    assert PageReader.of(running.get("/")).row(name).group == "critical"
    assert PageReader.of(running.get(f"/page/pools/{name}")).title.startswith(f"◆ {name}: {HEADLINES[kind]} · ")
    assert f'pybal_alerts{{kind="{kind}",service="{name}",severity="critical"}} 1.0\n' in running.get("/metrics")
    check = deployment.pybal("status", "--check")
    assert (check.returncode, check.stdout.partition(" - ")[0]) == (2, "CRITICAL")


def test_critical_services_are_listed_or_grouped_in_text(deployment: Deployment, running: Daemon) -> None:
    for text in (deployment.pybal("status").stdout, deployment.pybal("alerts").stdout):
        assert (
            "CRITICAL forced pooled-down: 1 of 1 server down but pooled: 127.0.1.9 (serving 0 of 1, floor 1, 1 forced) ["
            in text
        )
        assert (
            "CRITICAL absent not-in-ipvs: no connection is forwarded, IPVS lacks the service or its servers: frozen"
            in text
        )
        assert (
            "CRITICAL dead no-servers: no server takes new connections: 1 of 1 server down (depool-threshold = 0)"
            in text
        )
    (row,) = (row for row in deployment.pybal("pools").stdout.splitlines() if row.startswith("absent "))
    assert row.endswith("  not in IPVS")
    assert PageReader.of(running.get("/")).row("absent").cells[3].startswith("not in IPVS")
    assert running.get("/alerts") == f"CRITICAL - forced: Servers {DEAD} are marked down but pooled"


def test_one_server_down_is_never_green(deployment: Deployment, running: Daemon) -> None:
    deployment.servers[HOSTS[2]].stop()
    down = f"web down: 1 of 3 servers down and not pooled: {HOSTS[2]}"
    running.wait(lambda: f"WARNING {down}" in running.get("/v1/alerts"), "the alert")
    assert f"WARNING {down}" in deployment.pybal("status").stdout
    assert 'pybal_alerts{kind="down",service="web",severity="warning"} 1.0\n' in running.get("/metrics")
    assert 'pybal_service_servers_down{service="web"} 1.0\n' in running.get("/metrics")
    assert PageReader.of(running.get("/page/pools/web")).title.startswith("▲ web: 1 server down and not pooled · ")
    row = PageReader.of(running.get("/")).row("web")
    assert (row.group, row.cells[3]) == ("degraded", "1 down")
