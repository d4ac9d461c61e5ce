"""The daemon as a process, unprivileged, with real servers on loopback and the IPVS table in memory."""

from __future__ import annotations

import re
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, Deployment, daemon, run_pybal, wait_for

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


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, HOSTS, CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield running


def check_pybal(text: str) -> str:
    """Return the state that Icinga's check_pybal derives from /alerts."""
    for word in ("OK", "WARNING"):
        if re.match(f"^{word}", text):
            return word
    return "CRITICAL"


def test_dead_server_leaves_the_table_until_it_is_up_again(deployment: Deployment, running: Daemon) -> None:
    victim = deployment.servers["127.0.1.2"]
    victim.stop()
    running.wait(lambda: "127.0.1.2:" not in running.get("/v1/ipvs"), "the dead server out of the table")
    running.wait(lambda: "127.0.1.2:\tenabled/down/not pooled\n" in running.get("/pools/web"), "both monitors down")
    assert check_pybal(running.get("/alerts")) == "OK"
    victim.start()
    running.wait(lambda: "127.0.1.2:" in running.get("/v1/ipvs"), "the server back in the table")
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")


def test_table_is_shown_as_ipvsadm_prints_it(deployment: Deployment, running: Daemon) -> None:
    assert running.get("/v1/ipvs") == (
        f"-A -t 192.0.2.1:{deployment.port} -s wrr\n"
        f"-a -t 192.0.2.1:{deployment.port} -r 127.0.1.1:{deployment.port} -g -w 10\n"
        f"-a -t 192.0.2.1:{deployment.port} -r 127.0.1.2:{deployment.port} -g -w 10\n"
        f"-a -t 192.0.2.1:{deployment.port} -r 127.0.1.3:{deployment.port} -g -w 10\n"
    )


def test_check_pybal_reads_all_three_states_of_alerts(deployment: Deployment, running: Daemon) -> None:
    assert running.get("/alerts") == "OK - All pools are healthy"
    for server in deployment.servers.values():
        server.stop()
    running.wait(lambda: check_pybal(running.get("/alerts")) == "CRITICAL", "critical")
    running.wait(lambda: running.get("/pools/web").count("/down/pooled") == 2, "the floor of two of three, forced")
    forced = [line.partition(":")[0] for line in running.get("/pools/web").splitlines() if line.endswith("/pooled")]
    assert running.get("/alerts") == f"CRITICAL - web: Servers {', '.join(forced)} are marked down but pooled"
    running.stop()

    deployment.configure(CONF + "depool-threshold = 1\n")
    for server in deployment.servers.values():
        server.start()
    with daemon(deployment.directory, endpoint=deployment.endpoint) as again:
        again.wait(lambda: again.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        assert again.get("/alerts") == "WARNING - Pool web is too small to allow depooling. "
        assert check_pybal(again.get("/alerts")) == "WARNING"


def test_metrics_include_the_checks_of_the_daemon(running: Daemon) -> None:
    metrics = running.get("/metrics").splitlines()
    assert 'pybal_ipvs_verified{service="web"} 1.0' in metrics
    assert "pybal_checks_inconclusive_total 0.0" in metrics
    (checks,) = (line for line in metrics if line.startswith("pybal_checks_total "))
    assert float(checks.rpartition(" ")[2]) >= 3


def test_pool_file_changes_are_applied(deployment: Deployment, running: Daemon) -> None:
    deployment.pool(*HOSTS, weight=25)
    running.wait(lambda: f"-r 127.0.1.1:{deployment.port} -g -w 25" in running.get("/v1/ipvs"), "the new weight")
    deployment.pool(*HOSTS, enabled=False)
    running.wait(lambda: "127.0.1.1:\tdisabled/up/not pooled" in running.get("/pools/web"), "the server disabled")
    deployment.pool("127.0.1.2", "127.0.1.3")
    running.wait(lambda: "127.0.1.1" not in running.get("/pools/web"), "the server removed")
    assert "127.0.1.1" not in running.get("/metrics")
    deployment.pool(*HOSTS)
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "the server added")


def test_invalid_pool_file_is_an_alert_and_changes_nothing(deployment: Deployment, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    (deployment.directory / "web.pool").write_text("<html>not a pool</html>\n")
    running.wait(lambda: "web.pool" in running.get("/v1/alerts"), "an alert that names the file")
    assert running.get("/v1/ipvs") == table
    deployment.pool(*HOSTS[:2])
    running.wait(lambda: "127.0.1.3" not in running.get("/pools/web"), "the corrected file applied")
    running.wait(lambda: "web.pool" not in running.get("/v1/alerts"), "the alert gone")


def test_pool_file_that_lost_most_servers_is_refused(deployment: Deployment, running: Daemon) -> None:
    deployment.pool("127.0.1.4")
    refusal = "refused a list of 1 server: it lacks 3 of 3 pooled servers"
    running.wait(lambda: refusal in running.get("/v1/sources"), "the refusal")
    assert "127.0.1.3" in running.get("/pools/web")
    assert 'pybal_source_errors_total{kind="shrunk",service="web"} 1.0' in running.get("/metrics").splitlines()


def test_cached_list_is_used_when_the_pool_file_is_missing(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as first:
        first.wait(lambda: first.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        first.stop()
    (deployment.directory / "web.pool").unlink()
    with daemon(deployment.directory, endpoint=deployment.endpoint) as again:
        again.wait(lambda: again.get("/pools/web").count("/up/pooled") == 3, "three servers pooled again")
        assert "using the saved list" in again.get("/v1/alerts")
        deployment.pool(*HOSTS[:2])
        again.wait(lambda: "127.0.1.3" not in again.get("/pools/web"), "the file itself again")
        assert "web source" not in again.get("/v1/alerts")


def test_reason_of_a_depooled_server_is_shown_and_logged(deployment: Deployment, running: Daemon) -> None:
    deployment.servers["127.0.1.3"].status = 503
    running.wait(lambda: "127.0.1.3:\tenabled/partially up/not pooled" in running.get("/pools/web"), "depooled")
    assert "status: HTTP 503, wanted 200" in running.get("/v1/pools/web/127.0.1.3")
    running.wait_for_log("serving 2 of 3, floor 2, 0 forced: 127.0.1.3 depooled")


def test_stopped_process_depools_only_the_dead_server_when_it_continues(
    deployment: Deployment, running: Daemon
) -> None:
    running.process.send_signal(signal.SIGSTOP)
    deployment.servers["127.0.1.3"].stop()
    frozen = time.monotonic()
    wait_for(lambda: time.monotonic() > frozen + 10, lambda: "ten seconds")
    running.process.send_signal(signal.SIGCONT)
    running.wait(lambda: "127.0.1.3:\tenabled/down/not pooled" in running.get("/pools/web"), "the dead server found")
    assert re.search(r"WARNING pybal checker: local error \d+ s ago \(.*loop", running.get("/v1/alerts"))
    assert running.get("/pools/web").count("/up/pooled") == 2
    assert "reports server 127.0.1.1" not in running.log
    assert "reports server 127.0.1.2" not in running.log


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_exhausted_descriptors_depool_no_server(running: Daemon) -> None:
    pid = running.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # open descriptors stay open
    running.wait_for_log("EMFILE")
    exhausted = time.monotonic()
    wait_for(lambda: time.monotonic() > exhausted + 2, lambda: "several intervals")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    running.wait(lambda: 'local_errors_total{error="EMFILE"}' in running.get("/metrics"), "the metric")
    assert re.search(r"WARNING pybal checker: local error \d+ s ago \(EMFILE\)", running.get("/v1/alerts"))
    assert "descriptors in use" not in running.get("/v1/alerts")

    def alerts_few_descriptors() -> object:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_descriptors(pid) + 2, limits[1]))
        return re.search(
            r"WARNING pybal checker: \d+ of \d+ file descriptors in use \(raise", running.get("/v1/alerts")
        )

    running.wait(alerts_few_descriptors, "an alert for few free descriptors")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert running.get("/pools/web").count("/up/pooled") == 3
    assert "reports server" not in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_daemon_in_order(running: Daemon, number: int) -> None:
    assert running.stop(number) == 0
    assert running.log.endswith("[pybal] INFO: Exiting...\n")
    assert "Traceback" not in running.log


def test_sighup_reloads_without_an_alert(running: Daemon) -> None:
    running.process.send_signal(signal.SIGHUP)
    running.wait_for_log("[reload] INFO: reloaded")
    assert running.get("/alerts") == "OK - All pools are healthy"


def test_dry_run_logs_the_commands_it_would_run(deployment: Deployment) -> None:
    unchecked = CONF.replace("['ProxyFetch', 'IdleConnection']", "[]")
    deployment.configure(unchecked.replace("ipvs-backend = memory\n", ""))
    deployment.pool("192.0.2.11")
    with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as dry:
        dry.wait_for_log(f"ipvsadm -a -t 192.0.2.1:{deployment.port} -r 192.0.2.11:{deployment.port} -g -w 10")
        assert dry.stop() == 0


def test_invalid_configuration_is_refused_with_all_its_problems(deployment: Deployment) -> None:
    deployment.configure(CONF.replace("port = {port}", "port = http").replace("tcp", "sctp") + "monitors = ['Ping']\n")
    result = run_pybal("-c", str(deployment.directory / "pybal.conf"))
    assert result.returncode == 2
    for fault in ("[web] port: found 'http'", "[web] protocol: found 'sctp'", "[web] monitors: found 'Ping'"):
        assert fault in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_configuration_file_is_refused(tmp_path: Path) -> None:
    result = run_pybal("-c", str(tmp_path / "nowhere.conf"))
    assert result.returncode == 1
    assert "nowhere.conf" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_config_prints_a_summary(deployment: Deployment) -> None:
    result = run_pybal("--check-config", "-c", str(deployment.directory / "pybal.conf"))
    assert result.returncode == 0
    assert "web" in result.stdout
    assert "ProxyFetch" in result.stdout
