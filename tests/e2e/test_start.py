"""The start of the daemon: causes that may pass are alerts, a refused configuration ends it with 2."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal import __version__
from tests.harness.daemon_process import GLOBAL, PATIENCE, WEB, Daemon, Deployment, daemon, run_pybal, wait_for

HOST = "127.0.1.4"
CONF = GLOBAL + WEB
NETWORK = ("unshare", "--net", "--")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, [HOST], CONF)
    yield deployment
    deployment.stop()


def alerts(deployment: Deployment) -> list[tuple[str, str]]:
    """Return kind and text of each alert, by the control socket; empty while the daemon does not respond."""
    status = deployment.pybal("status", "--json", named=False)
    if status.returncode:
        return []
    return [(alert["kind"], alert["text"]) for alert in json.loads(status.stdout)["alerts"]]


def wait_for_alert(running: Daemon, deployment: Deployment, kind: str, text: str) -> None:
    running.wait(lambda: any(k == kind and text in t for k, t in alerts(deployment)), f"{kind}: {text}")


def wait_without_alert(running: Daemon, deployment: Deployment, text: str) -> None:
    running.wait(lambda: all(text not in t for _, t in alerts(deployment)), f"no alert {text}")


def test_taken_port_is_an_alert_until_it_is_free(deployment: Deployment) -> None:
    taken = socket.create_server(("127.0.0.1", deployment.status_port))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        text = f"cannot listen on 127.0.0.1 port {deployment.status_port}: address in use"
        wait_for_alert(running, deployment, "listen", text)
        taken.close()
        running.wait(lambda: "web" in running.get("/pools"), "the endpoint")
        wait_without_alert(running, deployment, "cannot listen")
        assert running.stop() == 0


def test_missing_directory_of_the_control_socket_is_an_alert(deployment: Deployment) -> None:
    place = deployment.directory / "later"
    deployment.configure(CONF.replace("{directory}/control.sock", str(place / "control.sock")))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        text = f"no control socket: {place}/control.sock: No such file or directory"
        running.wait(lambda: text in running.get("/v1/alerts"), "the alert")
        running.wait(lambda: "/up/pooled" in running.get("/pools/web"), "a pooled server")
        place.mkdir()
        running.wait(lambda: "no control socket" not in running.get("/v1/alerts"), "no alert")
        assert run_pybal("status", "--socket", str(place / "control.sock")).returncode == 0


def test_full_runtime_directory_keeps_nothing_from_starting(deployment: Deployment) -> None:
    run = deployment.directory / "run"
    run.mkdir()
    script = f'mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs {run} && head -c 4096 /dev/zero >{run}/full; exec "$@"'
    prefix = ("unshare", "--mount", "--", "sh", "-c", script, "sh")
    deployment.configure(CONF.replace("{directory}/control.sock", str(run / "control.sock")))
    with daemon(deployment.directory, prefix=prefix, endpoint=deployment.endpoint) as running:
        running.wait(lambda: "No space left on device" in running.get("/v1/alerts"), "the alert")
        running.wait(lambda: "/up/pooled" in running.get("/pools/web"), "a pooled server")


def test_unknown_group_is_an_alert(deployment: Deployment) -> None:
    deployment.configure(CONF.replace("[global]", "[global]\ncontrol-group = not-there-yet"))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        wait_for_alert(running, deployment, "control", "control-group not-there-yet: unknown group")
        running.wait(lambda: "/up/pooled" in running.get("/pools/web"), "a pooled server")
    checked = run_pybal("--check-config", "-c", str(deployment.conf))
    assert "control-group: found 'not-there-yet'; expected an existing group" in checked.stderr


def test_incomplete_package_metadata_keeps_nothing_from_starting(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (deployment.directory / "site/Twisted-99.dist-info").mkdir(parents=True)
    (deployment.directory / "site/pybal-99.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(deployment.directory / "site"))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: "/up/pooled" in running.get("/pools/web"), "a pooled server")
        assert "pybal_build_info" in running.get("/metrics")


def test_missing_ipvs_is_an_alert_until_it_is_there(deployment: Deployment) -> None:
    there = deployment.directory / "ip_vs"
    tool = deployment.directory / "ipvsadm"
    tool.write_text(f"#!/bin/sh\n[ -e {there} ] || {{ echo 'no IPVS' >&2; exit 2; }}\n")
    tool.chmod(0o755)
    script = f'mount --bind {tool} "$(command -v ipvsadm)"; exec "$@"'
    deployment.configure(CONF.replace("ipvs-backend = memory", "ipvs-backend = ipvsadm"))
    with daemon(
        deployment.directory,
        endpoint=deployment.endpoint,
        prefix=("unshare", "--net", "--mount", "--", "sh", "-c", script, "sh"),
    ) as running:
        wait_for_alert(running, deployment, "ipvs", "cannot read IPVS: ")
        reload = deployment.pybal("reload", named=False)
        assert "IPVS could not be read yet" in reload.stderr
        there.touch()
        wait_without_alert(running, deployment, "cannot read IPVS")
        assert running.stop() == 0


def test_default_address_that_the_host_lacks_is_skipped_with_a_warning(deployment: Deployment) -> None:
    script = 'ip link set lo up; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; exec "$@"'
    deployment.configure(CONF.replace("instrumentation_ips = ['127.0.0.1']\n", ""))
    with daemon(deployment.directory, prefix=(*NETWORK, "sh", "-c", script, "sh")) as running:
        running.wait_for_log("WARN: not listening on ::1: this host lacks the address")
        running.wait(lambda: alerts(deployment) != [], "status")
        wait_without_alert(running, deployment, "cannot listen")


def test_configured_address_that_the_host_lacks_is_an_alert(deployment: Deployment) -> None:
    deployment.configure(CONF.replace("'127.0.0.1'", "'127.0.0.1', '192.0.2.99'"))
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        text = f"cannot listen on 192.0.2.99 port {deployment.status_port}: this host lacks the address"
        running.wait(lambda: text in running.get("/v1/alerts"), "the alert")
        running.reload()
        assert text in running.get("/v1/alerts")


def test_refused_file_is_read_again_before_the_daemon_ends_with_2(deployment: Deployment) -> None:
    deployment.conf.write_text("[global]\n[web]\nprotocol = tcp\nip = 10.")
    began = time.monotonic()
    ended = run_pybal("-c", str(deployment.conf))
    assert ended.returncode == 2
    assert time.monotonic() - began >= 2
    assert "refused; reading it again in 2 s" in ended.stderr
    assert ended.stderr.count("[web] ip: ") == 1


def test_file_that_is_completed_in_time_starts_the_daemon(deployment: Deployment) -> None:
    whole = deployment.conf.read_text()
    deployment.conf.write_text(whole.partition("scheduler")[0])
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait_for_log("refused; reading it again in 2 s")
        deployment.conf.write_text(whole)
        running.wait(lambda: "/up/pooled" in running.get("/pools/web"), "a pooled server")


def test_unreadable_file_ends_the_daemon_with_1_and_the_remedy(deployment: Deployment) -> None:
    deployment.conf.unlink()
    ended = run_pybal("-c", str(deployment.conf))
    assert ended.returncode == 1
    remedy = "(create it, or name another file with -c)"
    assert ended.stderr == f"{deployment.conf}: cannot be read: No such file or directory {remedy}\n"


class TestSecondDaemon:
    """Two daemons in one network namespace, each with its own files."""

    @pytest.fixture
    def first(self, tmp_path: Path) -> Iterator[Daemon]:
        deployment = Deployment(tmp_path, [], CONF.replace("memory", "netlink").replace("{port}", "80"))
        with daemon(deployment.directory, prefix=NETWORK) as running:
            running.wait_for_log(f"pybal {__version__} starts")
            running.wait(lambda: alerts(deployment) != [], "status")
            yield running

    @pytest.fixture
    def second(self, tmp_path: Path) -> Deployment:
        (tmp_path / "second").mkdir()
        return Deployment(tmp_path / "second", [], CONF.replace("memory", "netlink").replace("{port}", "80"))

    def start(self, first: Daemon, second: Deployment, *arguments: str) -> Daemon:
        prefix = ("nsenter", f"--net=/proc/{first.process.pid}/ns/net", "--")
        return Daemon(second.directory, *arguments, prefix=prefix)

    def test_second_daemon_names_the_first_and_ends_with_1(self, first: Daemon, second: Deployment) -> None:
        other = self.start(first, second)
        assert other.process.wait(PATIENCE) == 1
        text = "another pybal runs in this network namespace: process "
        assert f"{text}{first.process.pid} of user 0" in other.log
        assert first.process.poll() is None
        assert not (second.directory / "control.sock").exists()

    def test_lock_ends_with_a_killed_daemon(self, first: Daemon, second: Deployment) -> None:
        namespace = os.open(f"/proc/{first.process.pid}/ns/net", os.O_RDONLY)
        first.process.kill()
        first.process.wait()
        prefix = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace}", "--")
        with daemon(second.directory, prefix=prefix) as other:
            other.wait(lambda: alerts(second) != [], "status")
        os.close(namespace)

    @pytest.mark.parametrize("way", ["dry run", "memory"])
    def test_daemon_that_does_not_write_ipvs_runs_beside(self, first: Daemon, second: Deployment, way: str) -> None:
        if way == "memory":
            second.configure(second.conf.read_text().replace("netlink", "memory"))
        other = self.start(first, second, *(["-n"] if way == "dry run" else []))
        try:
            other.wait(lambda: alerts(second) != [], "status")
        finally:
            other.stop(signal.SIGKILL)

    def test_socket_of_another_user_is_ignored(self, second: Deployment) -> None:
        code = (
            "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0pybal-daemon/impostor'); s.listen();"
            "print('ready', flush=True); time.sleep(600)"
        )
        impostor = subprocess.Popen(
            [*NETWORK, "setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code], stdout=subprocess.PIPE
        )
        try:
            assert impostor.stdout is not None
            assert impostor.stdout.readline() == b"ready\n"
            prefix = ("nsenter", f"--net=/proc/{impostor.pid}/ns/net", "--")
            with daemon(second.directory, prefix=prefix) as running:
                wait_for(lambda: alerts(second), lambda: running.log)
        finally:
            impostor.kill()
            impostor.wait()
            assert impostor.stdout is not None
            impostor.stdout.close()
