"""The daemon as a process, unprivileged, with real servers on loopback and the IPVS table in memory."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import PATIENCE, Daemon, WebServer, daemon, free_port, wait_for

HOSTS = ("127.0.1.1", "127.0.1.2", "127.0.1.3")

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
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3
idleconnection.max-delay = 1
"""


class Site:
    """A directory with pybal.conf and a pool file, and the web servers of that pool."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port(*HOSTS)
        self.status_port = free_port("127.0.0.1")
        self.endpoint = f"http://127.0.0.1:{self.status_port}"
        self.servers = {host: WebServer(host, self.port) for host in HOSTS}
        self.configure(CONF)
        self.pool(*HOSTS)

    def configure(self, text: str) -> None:
        text = text.format(directory=self.directory, port=self.port, status_port=self.status_port)
        (self.directory / "pybal.conf").write_text(text)

    def pool(self, *hosts: str, **options: object) -> None:
        """Write the pool file; options apply to the first host."""
        lines = [{"host": host, **(options if host == hosts[0] else {})} for host in hosts]
        (self.directory / "web.pool").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for server in site.servers.values():
        server.stop()


@pytest.fixture
def running(site: Site) -> Iterator[Daemon]:
    with daemon(site.directory, endpoint=site.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield running


def check_pybal(text: str) -> str:
    """What Icinga's check_pybal makes of /alerts."""
    for word in ("OK", "WARNING"):
        if re.match(f"^{word}", text):
            return word
    return "CRITICAL"


def run_pybal(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pybal.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_dead_server_leaves_the_table_and_comes_back(site: Site, running: Daemon) -> None:
    victim = site.servers["127.0.1.2"]
    victim.stop()
    running.wait(lambda: "127.0.1.2:" not in running.get("/v1/ipvs"), "the dead server out of the table")
    running.wait(lambda: "127.0.1.2:\tenabled/down/not pooled\n" in running.get("/pools/web"), "both monitors say so")
    assert check_pybal(running.get("/alerts")) == "OK"
    victim.start()
    running.wait(lambda: "127.0.1.2:" in running.get("/v1/ipvs"), "the server back in the table")
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")


def test_the_table_is_shown_as_ipvsadm_prints_it(site: Site, running: Daemon) -> None:
    assert running.get("/v1/ipvs") == (
        f"-A -t 192.0.2.1:{site.port} -s wrr\n"
        f"-a -t 192.0.2.1:{site.port} -r 127.0.1.1:{site.port} -g -w 10\n"
        f"-a -t 192.0.2.1:{site.port} -r 127.0.1.2:{site.port} -g -w 10\n"
        f"-a -t 192.0.2.1:{site.port} -r 127.0.1.3:{site.port} -g -w 10\n"
    )


def test_check_pybal_reads_all_three_states_of_alerts(site: Site, running: Daemon) -> None:
    assert running.get("/alerts") == "OK - All pools are healthy"
    for server in site.servers.values():
        server.stop()
    running.wait(lambda: check_pybal(running.get("/alerts")) == "CRITICAL", "critical")
    running.wait(lambda: running.get("/pools/web").count("/down/pooled") == 2, "the floor of two of three, forced")
    forced = [line.partition(":")[0] for line in running.get("/pools/web").splitlines() if line.endswith("/pooled")]
    assert running.get("/alerts") == f"CRITICAL - web: Servers {', '.join(forced)} are marked down but pooled"
    running.stop()

    site.configure(CONF + "depool-threshold = 1\n")
    for server in site.servers.values():
        server.start()
    with daemon(site.directory, endpoint=site.endpoint) as again:
        again.wait(lambda: again.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        assert again.get("/alerts") == "WARNING - Pool web is too small to allow depooling. "
        assert check_pybal(again.get("/alerts")) == "WARNING"


def test_the_daemon_tells_of_itself_in_metrics(running: Daemon) -> None:
    metrics = running.get("/metrics").splitlines()
    assert 'pybal_ipvs_verified{service="web"} 1.0' in metrics
    assert "pybal_checks_inconclusive_total 0.0" in metrics
    (checks,) = (line for line in metrics if line.startswith("pybal_checks_total "))
    assert float(checks.rpartition(" ")[2]) >= 3


def test_the_pool_file_is_followed(site: Site, running: Daemon) -> None:
    site.pool(*HOSTS, weight=25)
    running.wait(lambda: f"-r 127.0.1.1:{site.port} -g -w 25" in running.get("/v1/ipvs"), "the new weight")
    site.pool(*HOSTS, enabled=False)
    running.wait(lambda: "127.0.1.1:\tdisabled/up/not pooled" in running.get("/pools/web"), "the server disabled")
    site.pool("127.0.1.2", "127.0.1.3")
    running.wait(lambda: "127.0.1.1" not in running.get("/pools/web"), "the server removed")
    assert "127.0.1.1" not in running.get("/metrics")
    site.pool(*HOSTS)
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "the server added")


def test_a_broken_pool_file_changes_nothing_and_is_an_alert(site: Site, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    (site.directory / "web.pool").write_text("<html>not a pool</html>\n")
    running.wait(lambda: "web.pool" in running.get("/v1/alerts"), "an alert that names the file")
    assert running.get("/v1/ipvs") == table
    site.pool(*HOSTS[:2])
    running.wait(lambda: "127.0.1.3" not in running.get("/pools/web"), "the mended file obeyed")
    running.wait(lambda: "web.pool" not in running.get("/v1/alerts"), "the alert gone")


def test_a_file_that_lost_most_of_its_servers_is_refused(site: Site, running: Daemon) -> None:
    site.pool(*HOSTS, "127.0.1.4")
    running.wait(lambda: "127.0.1.4" in running.get("/pools/web"), "four servers")
    site.pool("127.0.1.1")
    running.wait(lambda: "refused a list of 1 servers after one of 4" in running.get("/v1/sources"), "the refusal")
    assert "127.0.1.3" in running.get("/pools/web")
    assert 'pybal_source_errors_total{service="web",kind="shrunk"} 1.0' in running.get("/metrics").splitlines()


def test_a_start_without_the_pool_file_serves_the_list_of_last_time(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with daemon(site.directory, endpoint=site.endpoint) as first:
        first.wait(lambda: first.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        first.stop()
    (site.directory / "web.pool").unlink()
    with daemon(site.directory, endpoint=site.endpoint) as again:
        again.wait(lambda: again.get("/pools/web").count("/up/pooled") == 3, "three servers pooled again")
        assert "using the saved list" in again.get("/v1/alerts")
        site.pool(*HOSTS[:2])
        again.wait(lambda: "127.0.1.3" not in again.get("/pools/web"), "the file itself again")
        assert "web source" not in again.get("/v1/alerts")


def test_why_a_server_is_out_is_told(site: Site, running: Daemon) -> None:
    site.servers["127.0.1.3"].status = 503
    running.wait(lambda: "127.0.1.3:\tenabled/partially up/not pooled" in running.get("/pools/web"), "depooled")
    assert "status: HTTP 503, wanted 200" in running.get("/v1/pools/web/127.0.1.3")
    running.wait_for_log("serving 2 of 3, floor 2, 0 forced: 127.0.1.3 depooled")


def test_a_daemon_that_was_frozen_blames_no_server_and_still_finds_the_dead_one(site: Site, running: Daemon) -> None:
    running.process.send_signal(signal.SIGSTOP)
    site.servers["127.0.1.3"].stop()
    frozen = time.monotonic()
    wait_for(lambda: time.monotonic() > frozen + 10, lambda: "ten seconds")
    running.process.send_signal(signal.SIGCONT)
    running.wait(lambda: "127.0.1.3:\tenabled/down/not pooled" in running.get("/pools/web"), "the dead server found")
    assert "WARNING pybal checker: a frozen loop, " in running.get("/v1/alerts")
    assert running.get("/pools/web").count("/up/pooled") == 2
    assert "reports server 127.0.1.1" not in running.log
    assert "reports server 127.0.1.2" not in running.log


def used_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_daemon_without_descriptors_blames_no_server(running: Daemon) -> None:
    pid = running.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # what is open stays open
    running.wait_for_log("EMFILE")
    exhausted = time.monotonic()
    wait_for(lambda: time.monotonic() > exhausted + 2, lambda: "several intervals")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    running.wait(lambda: 'local_errors_total{error="EMFILE"}' in running.get("/metrics"), "the metric")
    assert "WARNING pybal checker: EMFILE, " in running.get("/v1/alerts")
    assert "descriptors in use" not in running.get("/v1/alerts")

    def is_told() -> object:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used_of(pid) + 2, limits[1]))
        return re.search(r"WARNING pybal checker: \d+ of \d+ descriptors in use\n", running.get("/v1/alerts"))

    running.wait(is_told, "an alert that tells of few descriptors left")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert running.get("/pools/web").count("/up/pooled") == 3
    assert "reports server" not in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(running: Daemon, number: int) -> None:
    assert running.stop(number) == 0
    assert running.log.endswith("[pybal] INFO: Exiting...\n")
    assert "Traceback" not in running.log


def test_a_hangup_reloads_and_interrupts_nothing(running: Daemon) -> None:
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_log("[reload] INFO: reloaded")
    assert running.get("/alerts") == "OK - All pools are healthy"


def test_a_dry_run_touches_nothing_and_says_what_it_would_do(site: Site) -> None:
    site.configure(CONF.replace("ipvs-backend = memory\n", ""))
    with daemon(site.directory, "-n", endpoint=site.endpoint) as dry:
        dry.wait_for_log(f"ipvsadm -a -t 192.0.2.1:{site.port} -r 127.0.1.1:{site.port} -g -w 10")
        assert dry.stop() == 0


def test_a_configuration_with_many_faults_is_refused_with_all_of_them(site: Site) -> None:
    site.configure(CONF.replace("port = {port}", "port = http").replace("tcp", "sctp") + "monitors = ['Ping']\n")
    result = run_pybal("-c", str(site.directory / "pybal.conf"))
    assert result.returncode == 2
    for fault in ("[web] port: found 'http'", "[web] protocol: found 'sctp'", "[web] monitors: found 'Ping'"):
        assert fault in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run_pybal("-c", str(tmp_path / "nowhere.conf"))
    assert result.returncode == 2
    assert "nowhere.conf" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_config_says_what_it_read_and_starts_nothing(site: Site) -> None:
    result = run_pybal("--check-config", "-c", str(site.directory / "pybal.conf"))
    assert result.returncode == 0
    assert "web" in result.stdout
    assert "ProxyFetch" in result.stdout


def test_a_port_in_use_is_named_and_ends_the_start(site: Site, running: Daemon) -> None:
    result = run_pybal("-c", str(site.directory / "pybal.conf"))
    assert result.returncode == 1
    assert f"127.0.0.1:{site.status_port}" in result.stderr
    assert "Traceback" not in result.stderr
