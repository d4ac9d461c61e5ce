"""Reloads by SIGHUP, with the daemon as a process."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import Daemon, Deployment, daemon, wait_for

HOSTS = ("127.0.3.1", "127.0.3.2", "127.0.3.3", "127.0.3.4")
PUSHED = "127.0.3.9"
CONF = """
[DEFAULT]
protocol = tcp
scheduler = wrr
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.2

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
max-blast-radius = .67
ipvs-remove-grace = 1
{general}
[web]
ip = 192.0.2.1
port = {port}
config = file://{directory}/web.pool
{web}
[other]
ip = 192.0.2.2
port = {port}
config = file://{directory}/other.pool
{more}"""


class HoldingServer:
    """A server for IdleConnection: accepts and counts connections and keeps them open."""

    def __init__(self, host: str, port: int) -> None:
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((host, port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.accepted += 1
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()


def assembled(web: str = "", more: str = "", general: str = "", drop: str = "") -> str:
    """Return pybal.conf with additional options and sections, without the text that matches ``drop``."""
    text = CONF.replace("{web}", web).replace("{more}", more).replace("{general}", general)
    return re.sub(drop, "", text, flags=re.DOTALL) if drop else text


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, HOSTS, assembled())
    deployment.pool(*HOSTS[:2], name="other")
    yield deployment
    deployment.stop()


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, "-d", endpoint=f"http://127.0.0.1:{deployment.status_port}") as running:
        running.wait(lambda: pooled(running, "web") == 4 and pooled(running, "other") == 2, "all servers pooled")
        yield running


def pooled(running: Daemon, service: str) -> int:
    return running.get(f"/pools/{service}").count("/up/pooled")


def series(running: Daemon, service: str, name: str) -> dict[str, float]:
    """Return a counter of all monitors of a service, by host and monitor."""
    lines = re.findall(
        rf'^{name}{{host="(.*?)",monitor="(.*?)",service="{service}".*}} (.*)$', running.get("/metrics"), re.MULTILINE
    )
    return {f"{host} {monitor}": float(value) for host, monitor, value in lines}


def steps(outcome: dict[str, Any]) -> dict[str, str]:
    """Return the planned step of each service; the name of a removed service begins with ``-``."""
    services = outcome["plan"]["services"]
    return {("-" * (step["step"] == "remove")) + step["service"]: step["step"] for step in services}


def test_unchanged_file_changes_nothing(deployment: Deployment, running: Daemon) -> None:
    table, log = running.get("/v1/ipvs"), running.log
    outcome = running.reload()
    assert outcome["accepted"]
    assert outcome["plan"]["empty"]
    assert running.get("/v1/ipvs") == table
    assert "ipvsadm" not in running.log.removeprefix(log)
    assert "Removing server" not in running.log


def test_change_of_a_service_keeps_connections_and_counters(deployment: Deployment, running: Daemon) -> None:
    before = {name: series(running, name, "pybal_monitor_up_results_total") for name in ("web", "other")}
    deployment.configure(assembled(web="scheduler = mh\ndepool-threshold = .75"))
    outcome = running.reload()
    assert steps(outcome) == {"web": "change", "other": "keep"}
    (web,) = (step for step in outcome["plan"]["services"] if step["service"] == "web")
    assert web["reasons"] == ["scheduler wrr -> mh", "depool-threshold 0.5 -> 0.75"]
    assert web["ipvsadm"] == [f"-E -t 192.0.2.1:{deployment.port} -s mh"]
    assert (web["started"], web["stopped"]) == ([], [])
    assert f"-A -t 192.0.2.1:{deployment.port} -s mh\n" in running.get("/v1/ipvs")
    assert pooled(running, "web") == 4
    assert 'pybal_service_depool_threshold{service="web"} 0.75' in running.get("/metrics")
    for name, counts in before.items():
        now = series(running, name, "pybal_monitor_up_results_total")
        assert all(now[key] >= count for key, count in counts.items()), "counters continued"
    lost = series(running, "web", "pybal_monitor_idleconnection_connections_lost_total")
    assert not any(lost.values())


def test_idle_connections_survive_reloads(deployment: Deployment) -> None:
    holder = HoldingServer(PUSHED, deployment.port)
    deployment.pool(PUSHED)
    deployment.configure(assembled(web="monitors = ['IdleConnection']"))
    try:
        with daemon(deployment.directory, endpoint=f"http://127.0.0.1:{deployment.status_port}") as running:
            running.wait(lambda: pooled(running, "web") == 1, "the server pooled")
            for scheduler in ("mh", "rr", "sh"):
                deployment.configure(assembled(web=f"monitors = ['IdleConnection']\nscheduler = {scheduler}"))
                assert running.reload()["accepted"]
            assert holder.accepted == 1
            deployment.configure(assembled(web="monitors = ['IdleConnection']\nidleconnection.max-delay = 7"))
            assert running.reload()["plan"]["services"][0]["started"] == [{"host": PUSHED, "monitor": "IdleConnection"}]
            running.wait(lambda: holder.accepted == 2, "a new connection for new settings")
            assert pooled(running, "web") == 1
    finally:
        holder.close()


def test_new_monitor_depools_no_server_before_its_first_result(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(
        assembled(web="monitors = ['ProxyFetch', 'IdleConnection', 'TCPConnect']\nproxyfetch.http_status = 404")
    )
    log = len(running.log)
    assert running.reload()["accepted"]
    running.wait(lambda: "reports server" in running.log[log:], "the first new report")
    assert "(enabled/up/pooled) down: " in running.log[log:]
    running.wait(lambda: running.get("/pools/web").count("partially up/pooled") == 2, "the floor stays")
    assert pooled(running, "other") == 2
    deployment.configure(assembled(web="monitors = ['ProxyFetch', 'IdleConnection', 'TCPConnect']"))
    assert running.reload()["accepted"]
    running.wait(lambda: pooled(running, "web") == 4, "all servers up again")


def test_new_source_takes_effect_with_its_first_list(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(assembled(web="config = file://{directory}/new.pool"))
    assert steps(running.reload()) == {"web": "change", "other": "keep"}
    running.wait(lambda: "new.pool" in running.get("/v1/alerts"), "the alert for the new source")
    assert pooled(running, "web") == 4, "the previous list stays"
    before = series(running, "web", "pybal_monitor_up_results_total")
    deployment.pool(*HOSTS[:3], name="new")
    running.wait(lambda: running.get("/pools/web").count("\n") == 3, "the new list")
    now = series(running, "web", "pybal_monitor_up_results_total")
    assert len(now) == 6
    assert all(now[key] >= before[key] for key in now), "monitors of servers in both lists continue"
    assert running.get("/v1/alerts") == ""


def test_services_are_added_and_removed(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(
        assembled(more="[third]\nip = 192.0.2.3\nport = {port}\nconfig = file://{directory}/other.pool\n")
    )
    outcome = running.reload()
    assert steps(outcome) == {"web": "keep", "other": "keep", "third": "add"}
    running.wait(
        lambda: f"-a -t 192.0.2.3:{deployment.port} -r 127.0.3.2" in running.get("/v1/ipvs"), "the service added"
    )
    assert running.get("/pools") == "web\nother\nthird\n"
    deployment.configure(assembled())
    assert steps(running.reload()) == {"web": "keep", "other": "keep", "-third": "remove"}
    assert running.get("/pools") == "web\nother\n"
    running.wait(lambda: "192.0.2.3" not in running.get("/v1/ipvs"), "the service removed")
    assert 'service="third"' not in running.get("/metrics")


def test_new_vip_is_created_before_the_old_one_is_removed(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(assembled(web="ip = 192.0.2.9"))
    log = len(running.log)
    outcome = running.reload()
    assert outcome["accepted"]
    assert steps(outcome) == {"web": "add", "other": "keep", "-web": "remove"}
    drained = f"ipvsadm -e -t 192.0.2.1:{deployment.port} -r 127.0.3.1:{deployment.port} -g -w 0"
    running.wait(lambda: drained in running.log[log:], "the drain of the old VIP")
    lines = running.log[log:]
    assert lines.index(f"ipvsadm -a -t 192.0.2.9:{deployment.port}") < lines.index(drained)
    running.wait(lambda: "192.0.2.1" not in running.get("/v1/ipvs"), "the old VIP gone")
    running.wait(lambda: pooled(running, "web") == 4, "all servers at the new VIP")


def test_renamed_service_keeps_its_table_and_its_pooled_servers(deployment: Deployment, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    text = (deployment.directory / "pybal.conf").read_text()
    (deployment.directory / "pybal.conf").write_text(text.replace("[web]", "[www]"))
    log = len(running.log)
    outcome = running.reload()
    assert steps(outcome) == {"www": "change", "other": "keep"}
    assert pooled(running, "www") == 4
    assert running.get("/v1/ipvs") == table
    assert "depooled" not in running.log[log:]
    assert running.get("/pools") == "www\nother\n"
    assert 'pybal_ipvs_verified{service="www"} 1.0' in running.get("/metrics")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"web": "scheduler = wrong"}, "pybal.conf:21: [web] scheduler: found 'wrong'; expected one of "),
        ({"web": "config = nothing://x"}, "config: found 'nothing://x'; expected "),
        ({"general": "dry-run = yes"}, "dry-run no -> yes: restart pybal to apply it"),
        (
            {
                "general": "bgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 192.0.2.251\nbgp-nexthop-ipv4 = 192.0.2.9"
            },
            "bgp no -> yes: restart pybal to apply it",
        ),
        ({"general": "instrumentation_ips = ['192.0.2.77']"}, "Couldn't listen on 192.0.2.77"),
    ],
)
def test_invalid_file_is_refused_with_a_reason(
    deployment: Deployment, running: Daemon, options: dict[str, str], problem: str
) -> None:
    table = running.get("/v1/ipvs")
    loaded = cast("dict[str, Any]", running.get_json("/v1/config"))["sha256"]
    deployment.configure(assembled(**{"web": "depool-threshold = .9\n", **options}))
    outcome = running.reload()
    assert not outcome["accepted"]
    assert problem in outcome["problems"][0]
    running.wait_for_log(f"reload refused, nothing changed: {outcome['problems'][0]}")
    assert "the last reload was refused: " in running.get("/v1/alerts")
    assert running.get("/alerts") == "OK - All pools are healthy"
    metrics = running.get("/metrics")
    assert "pybal_config_last_reload_successful 0.0" in metrics
    assert "pybal_config_changed 1.0" in metrics
    assert f'pybal_config_info{{sha256="{loaded}"}} 1.0' in metrics
    assert 'pybal_service_depool_threshold{service="web"} 0.5' in metrics
    assert running.get("/v1/ipvs") == table
    deployment.configure(assembled())
    assert running.reload()["accepted"]
    assert running.get("/v1/alerts") == ""


def test_file_that_differs_from_the_loaded_one_is_an_alert(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(assembled(web="scheduler = rr"))
    stale = "pybal.conf differs from the loaded configuration (apply it with: pybal reload)"
    running.wait(lambda: stale in running.get("/v1/alerts"), "the alert")
    assert running.get("/alerts") == "OK - All pools are healthy"
    (deployment.directory / "pybal.conf").unlink()
    gone = "pybal.conf cannot be read; keeping the loaded configuration"
    running.wait(lambda: gone in running.get("/v1/alerts"), "the alert")
    assert not running.reload()["accepted"]


def test_reload_that_removes_too_much_is_refused(deployment: Deployment, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    deployment.configure(assembled(general="max-blast-radius = .5"))
    assert running.reload()["accepted"]
    deployment.configure(assembled(drop=r"\[web\].*(?=\[other\])"))
    outcome = running.reload()
    (problem,) = outcome["problems"]
    assert problem.startswith("would remove 4 of 6 pooled servers, more than max-blast-radius = 0.5 allows")
    assert running.get("/v1/ipvs") == table


def test_burst_of_signals_loads_the_last_file(deployment: Deployment, running: Daemon) -> None:
    before = series(running, "other", "pybal_monitor_up_results_total")
    for number in range(100):
        deployment.configure(assembled(web=f"scheduler = {('rr', 'mh')[number % 2]}"))
        running.process.send_signal(signal.SIGHUP)
        assert running.get("/pools") == "web\nother\n"
    running.wait(lambda: f"192.0.2.1:{deployment.port} -s mh" in running.get("/v1/ipvs"), "the last scheduler")
    running.wait(lambda: '"changed": false' in running.get("/v1/config", "application/json"), "the last file")
    assert pooled(running, "web") == 4
    now = series(running, "other", "pybal_monitor_up_results_total")
    assert all(now[key] >= count for key, count in before.items())


def test_endpoints_move_without_interruption(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(assembled(general="instrumentation_ips = ['127.0.0.1', '127.0.3.8']"))
    assert running.reload()["accepted"]
    there = Daemon.__new__(Daemon)
    there.endpoint = f"http://127.0.3.8:{deployment.status_port}"
    assert there.get("/pools") == "web\nother\n"
    deployment.configure(assembled(general="instrumentation_ips = ['127.0.3.8']"))
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not running.get("/pools"), lambda: "the old address closed")
    assert there.get("/pools") == "web\nother\n"
