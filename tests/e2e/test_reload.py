"""SIGHUP with the daemon as a process: what changes, and that nothing else does."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import Daemon, WebServer, daemon, free_port, wait_for

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


class Holder:
    """A listener that counts the connections it has accepted and holds them: what IdleConnection talks to."""

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


class Site:
    """A directory with pybal.conf and two pools, their web servers, and the daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port(*HOSTS)
        self.status_port = free_port("127.0.0.1")
        self.servers = {host: WebServer(host, self.port) for host in HOSTS}
        self.pool("web", *HOSTS)
        self.pool("other", *HOSTS[:2])
        self.configure()

    def configure(self, web: str = "", more: str = "", general: str = "", drop: str = "") -> None:
        text = CONF.format(
            directory=self.directory,
            port=self.port,
            status_port=self.status_port,
            web=web.format(directory=self.directory, port=self.port),
            more=more.format(directory=self.directory, port=self.port),
            general=general.format(status_port=self.status_port),
        )
        (self.directory / "pybal.conf").write_text(re.sub(drop, "", text, flags=re.DOTALL) if drop else text)

    def pool(self, name: str, *hosts: str) -> None:
        (self.directory / f"{name}.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for server in site.servers.values():
        server.stop()


@pytest.fixture
def running(site: Site) -> Iterator[Daemon]:
    with daemon(site.directory, "-d", endpoint=f"http://127.0.0.1:{site.status_port}") as running:
        running.wait(lambda: pooled(running, "web") == 4 and pooled(running, "other") == 2, "all servers pooled")
        yield running


def pooled(running: Daemon, service: str) -> int:
    return running.get(f"/pools/{service}").count("/up/pooled")


def series(running: Daemon, service: str, name: str) -> dict[str, float]:
    """Return one counter of all monitors of a service, by host and monitor."""
    lines = re.findall(
        rf'^{name}{{host="(.*?)",monitor="(.*?)",service="{service}".*}} (.*)$', running.get("/metrics"), re.MULTILINE
    )
    return {f"{host} {monitor}": float(value) for host, monitor, value in lines}


def steps(outcome: dict[str, Any]) -> dict[str, str]:
    """Return what becomes of each service; ``-`` before the name of one that goes."""
    services = outcome["plan"]["services"]
    return {("-" * (step["step"] == "remove")) + step["service"]: step["step"] for step in services}


def test_an_unchanged_file_changes_nothing(site: Site, running: Daemon) -> None:
    table, log = running.get("/v1/ipvs"), running.log
    outcome = running.reload()
    assert outcome["accepted"]
    assert outcome["plan"]["empty"]
    assert running.get("/v1/ipvs") == table
    assert "ipvsadm" not in running.log.removeprefix(log)
    assert "Removing server" not in running.log


def test_a_change_of_one_service_leaves_the_connections_and_the_history_of_all(site: Site, running: Daemon) -> None:
    before = {name: series(running, name, "pybal_monitor_up_results_total") for name in ("web", "other")}
    site.configure(web="scheduler = mh\ndepool-threshold = .75")
    outcome = running.reload()
    assert steps(outcome) == {"web": "change", "other": "keep"}
    (web,) = (step for step in outcome["plan"]["services"] if step["service"] == "web")
    assert web["reasons"] == ["scheduler wrr -> mh", "depool-threshold 0.5 -> 0.75"]
    assert web["ipvsadm"] == [f"-E -t 192.0.2.1:{site.port} -s mh"]
    assert (web["started"], web["stopped"]) == ([], [])
    assert f"-A -t 192.0.2.1:{site.port} -s mh\n" in running.get("/v1/ipvs")
    assert pooled(running, "web") == 4
    assert 'pybal_service_depool_threshold{service="web"} 0.75' in running.get("/metrics")
    for name, counts in before.items():
        now = series(running, name, "pybal_monitor_up_results_total")
        assert all(now[key] >= count for key, count in counts.items()), "counters went on, none began anew"
    lost = series(running, "web", "pybal_monitor_idleconnection_connections_lost_total")
    assert not any(lost.values())


def test_idle_connections_stay_through_any_number_of_reloads(site: Site) -> None:
    holder = Holder(PUSHED, site.port)
    site.pool("web", PUSHED)
    site.configure(web="monitors = ['IdleConnection']")
    try:
        with daemon(site.directory, endpoint=f"http://127.0.0.1:{site.status_port}") as running:
            running.wait(lambda: pooled(running, "web") == 1, "the server pooled")
            for scheduler in ("mh", "rr", "sh"):
                site.configure(web=f"monitors = ['IdleConnection']\nscheduler = {scheduler}")
                assert running.reload()["accepted"]
            assert holder.accepted == 1
            site.configure(web="monitors = ['IdleConnection']\nidleconnection.max-delay = 7")
            assert running.reload()["plan"]["services"][0]["started"] == [{"host": PUSHED, "monitor": "IdleConnection"}]
            running.wait(lambda: holder.accepted == 2, "another connection for other settings")
            assert pooled(running, "web") == 1
    finally:
        holder.close()


def test_a_new_monitor_depools_nobody_before_it_has_spoken(site: Site, running: Daemon) -> None:
    site.configure(web="monitors = ['ProxyFetch', 'IdleConnection', 'TCPConnect']\nproxyfetch.http_status = 404")
    log = len(running.log)
    assert running.reload()["accepted"]
    running.wait(lambda: "reports server" in running.log[log:], "the first new report")
    assert "(enabled/up/pooled) down: " in running.log[log:]
    running.wait(lambda: running.get("/pools/web").count("partially up/pooled") == 2, "the floor stays")
    assert pooled(running, "other") == 2
    site.configure(web="monitors = ['ProxyFetch', 'IdleConnection', 'TCPConnect']")
    assert running.reload()["accepted"]
    running.wait(lambda: pooled(running, "web") == 4, "all servers up again")


def test_another_source_serves_from_its_first_list_on(site: Site, running: Daemon) -> None:
    site.configure(web="config = file://{directory}/new.pool")
    assert steps(running.reload()) == {"web": "change", "other": "keep"}
    running.wait(lambda: "new.pool" in running.get("/v1/alerts"), "the alert for the new source")
    assert pooled(running, "web") == 4, "the list before serves on"
    before = series(running, "web", "pybal_monitor_up_results_total")
    site.pool("new", *HOSTS[:3])
    running.wait(lambda: running.get("/pools/web").count("\n") == 3, "the new list")
    now = series(running, "web", "pybal_monitor_up_results_total")
    assert len(now) == 6
    assert all(now[key] >= before[key] for key in now), "who is in both lists is watched on"
    assert running.get("/v1/alerts") == ""


def test_services_come_and_go(site: Site, running: Daemon) -> None:
    site.configure(more="[third]\nip = 192.0.2.3\nport = {port}\nconfig = file://{directory}/other.pool\n")
    outcome = running.reload()
    assert steps(outcome) == {"web": "keep", "other": "keep", "third": "add"}
    running.wait(lambda: f"-a -t 192.0.2.3:{site.port} -r 127.0.3.2" in running.get("/v1/ipvs"), "the service added")
    assert running.get("/pools") == "web\nother\nthird\n"
    site.configure()
    assert steps(running.reload()) == {"web": "keep", "other": "keep", "-third": "remove"}
    assert running.get("/pools") == "web\nother\n"
    running.wait(lambda: "192.0.2.3" not in running.get("/v1/ipvs"), "the service removed")
    assert 'service="third"' not in running.get("/metrics")


def test_another_vip_is_in_the_kernel_before_the_old_one_goes(site: Site, running: Daemon) -> None:
    site.configure(web="ip = 192.0.2.9")
    log = len(running.log)
    outcome = running.reload()
    assert outcome["accepted"]
    assert steps(outcome) == {"web": "add", "other": "keep", "-web": "remove"}
    told = running.log[log:]
    assert told.index(f"ipvsadm -a -t 192.0.2.9:{site.port}") < told.index(
        f"ipvsadm -e -t 192.0.2.1:{site.port} -r 127.0.3.1:{site.port} -g -w 0"
    )
    running.wait(lambda: "192.0.2.1" not in running.get("/v1/ipvs"), "the old VIP gone")
    running.wait(lambda: pooled(running, "web") == 4, "all servers at the new VIP")


def test_another_name_touches_neither_the_kernel_nor_anybody_pooled(site: Site, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    text = (site.directory / "pybal.conf").read_text()
    (site.directory / "pybal.conf").write_text(text.replace("[web]", "[www]"))
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
        ({"web": "scheduler = wrong"}, "pybal.conf:21: [web] scheduler: found 'wrong', wanted one of "),
        ({"web": "config = nothing://x"}, "config: found 'nothing://x', wanted "),
        ({"general": "dry-run = yes"}, "dry-run no -> yes: restart pybal to apply it"),
        (
            {"general": "bgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = 127.0.0.1\nbgp-nexthop-ipv4 = 192.0.2.9"},
            "bgp no -> yes: restart pybal to apply it",
        ),
        ({"general": "instrumentation_ips = ['192.0.2.77']"}, "Couldn't listen on 192.0.2.77"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_why(
    site: Site, running: Daemon, options: dict[str, str], problem: str
) -> None:
    table = running.get("/v1/ipvs")
    loaded = cast("dict[str, Any]", running.get_json("/v1/config"))["sha256"]
    site.configure(**{"web": "depool-threshold = .9\n", **options})
    outcome = running.reload()
    assert not outcome["accepted"]
    assert problem in outcome["problems"][0]
    assert f"reload refused, nothing changed: {outcome['problems'][0]}" in running.log
    assert "the last reload was refused: " in running.get("/v1/alerts")
    assert running.get("/alerts") == "OK - All pools are healthy"
    metrics = running.get("/metrics")
    assert "pybal_config_last_reload_successful 0.0" in metrics
    assert "pybal_config_changed 1.0" in metrics
    assert f'pybal_config_info{{sha256="{loaded}"}} 1.0' in metrics
    assert 'pybal_service_depool_threshold{service="web"} 0.5' in metrics
    assert running.get("/v1/ipvs") == table
    site.configure()
    assert running.reload()["accepted"]
    assert running.get("/v1/alerts") == ""


def test_a_file_that_is_not_what_is_loaded_is_told(site: Site, running: Daemon) -> None:
    site.configure(web="scheduler = rr")
    assert "pybal.conf is not what is loaded; a reload would apply it" in running.get("/v1/alerts")
    assert running.get("/alerts") == "OK - All pools are healthy"
    (site.directory / "pybal.conf").unlink()
    assert "pybal.conf cannot be read; what was loaded before serves on" in running.get("/v1/alerts")
    assert not running.reload()["accepted"]


def test_a_reload_that_removes_too_much_is_refused(site: Site, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    site.configure(general="max-blast-radius = .5")
    assert running.reload()["accepted"]
    site.configure(drop=r"\[web\].*(?=\[other\])")
    outcome = running.reload()
    (problem,) = outcome["problems"]
    assert problem.startswith("would remove 4 of 6 pooled servers, wanted at most 0.5 of them (max-blast-radius)")
    assert running.get("/v1/ipvs") == table


def test_a_storm_of_signals_is_few_reloads_and_the_last_file_counts(site: Site, running: Daemon) -> None:
    before = series(running, "other", "pybal_monitor_up_results_total")
    for number in range(100):
        site.configure(web=f"scheduler = {('rr', 'mh')[number % 2]}")
        running.process.send_signal(signal.SIGHUP)
        assert running.get("/pools") == "web\nother\n"
    running.wait(lambda: f"192.0.2.1:{site.port} -s mh" in running.get("/v1/ipvs"), "the last scheduler")
    running.wait(lambda: '"changed": false' in running.get("/v1/config", "application/json"), "the last file")
    assert pooled(running, "web") == 4
    now = series(running, "other", "pybal_monitor_up_results_total")
    assert all(now[key] >= count for key, count in before.items())


def test_the_endpoints_move_without_a_moment_closed(site: Site, running: Daemon) -> None:
    site.configure(general="instrumentation_ips = ['127.0.0.1', '127.0.3.8']")
    assert running.reload()["accepted"]
    there = Daemon.__new__(Daemon)
    there.endpoint = f"http://127.0.3.8:{site.status_port}"
    assert there.get("/pools") == "web\nother\n"
    site.configure(general="instrumentation_ips = ['127.0.3.8']")
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not running.get("/pools"), lambda: "the old address closed")
    assert there.get("/pools") == "web\nother\n"
