"""Commands to the daemon, both as processes."""

from __future__ import annotations

import json
import os

import pytest

from pybal import __version__
from tests.e2e.control.conftest import CONF, HOSTS, WITH_BGP
from tests.harness.daemon_process import Daemon, Deployment, daemon


def test_status_lists_services_and_alerts(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("status")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.startswith(f"pybal {__version__}, process {running.process.pid}, up for ")
    assert head.endswith("s: 1 service, 3 monitors")
    assert [row.split() for row in rows] == [
        ["SERVICE", "ADDRESS", "SERVING", "DOWN", "POOLED", "FORCED", "FLOOR", "ANNOUNCED"],
        ["web", "tcp", f"192.0.2.1:{deployment.port}", "3", "of", "3", "0", "3", "0", "2", "-"],
    ]
    for server in deployment.servers.values():
        server.stop()
    running.wait(lambda: deployment.document("status")["services"][0]["forced"] == 2, "two servers forced")
    assert " servers down but pooled: " in deployment.pybal("status").stdout
    document = deployment.document("status")
    (web,) = document["services"]
    assert (web["service"], web["serving"], web["pooled"], web["forced"]) == ("web", 0, 2, 2)
    assert document["alerts"][0]["kind"] == "pooled-down"


def test_freeze_suspends_changes_of_the_table_until_thaw(deployment: Deployment, running: Daemon) -> None:
    table = running.get("/v1/ipvs")
    done = deployment.pybal("freeze", "--for", "10m", "--reason", "new switch")
    assert done.returncode == 0
    assert done.stdout.startswith("frozen for another 600 s by ")
    deployment.servers[HOSTS[0]].stop()
    running.wait(lambda: f"{HOSTS[0]}:\tenabled/down/not pooled" in running.get("/pools/web"), "the dead server found")
    deployment.pool(*HOSTS[:2])
    running.wait(lambda: HOSTS[2] not in running.get("/pools/web"), "the new list")
    assert running.get("/v1/ipvs") == table
    assert "new switch; not changing IPVS or BGP" in running.get("/v1/alerts")
    assert "new switch; not changing IPVS or BGP" in running.get("/")
    assert "pybal_frozen 1.0" in running.get("/metrics").splitlines()
    assert deployment.document("status")["frozen"]["reason"] == "new switch"
    done = deployment.pybal("thaw", "--reason", "it is there")
    assert (done.returncode, done.stdout) == (0, "thawed\n")
    running.wait(lambda: running.get("/v1/ipvs").count("\n-a") == 1, "one server in the table")
    assert "pybal_frozen 0.0" in running.get("/metrics").splitlines()
    assert deployment.document("status")["frozen"] is None
    user = f"(user {os.geteuid()}, process "
    assert "[control] INFO: freeze duration=600.0 by " in running.log
    assert user in running.log
    assert "): new switch\n" in running.log
    assert "): it is there\n" in running.log
    assert deployment.pybal("thaw").stdout == "not frozen\n"


def test_freeze_ends_after_its_duration(deployment: Deployment, running: Daemon) -> None:
    deployment.pybal("freeze", "--for", "2s", "--reason", "a moment")
    deployment.servers[HOSTS[0]].stop()
    running.wait_for_log("thawed: applying all changes made while frozen")
    running.wait(lambda: HOSTS[0] not in running.get("/v1/ipvs"), "the dead server out of the table")


def test_daemon_stops_cleanly_when_frozen(deployment: Deployment, running: Daemon) -> None:
    deployment.pybal("freeze", "--reason", "the end")
    assert running.stop() == 0
    assert not (deployment.directory / "control.sock").exists()


def test_diff_prints_the_difference_and_exits_with_2(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("diff")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 of 1 services in sync\n", "")
    deployment.pybal("freeze", "--reason", "new switch")
    deployment.servers[HOSTS[0]].stop()
    running.wait(lambda: deployment.pybal("diff").returncode == 2, "a difference")
    assert deployment.pybal("diff").stdout.splitlines() == [
        "~ service web: frozen",
        f"    ipvsadm -d -t 192.0.2.1:{deployment.port} -r {HOSTS[0]}:{deployment.port}",
        "0 of 1 services in sync",
    ]
    (web,) = deployment.document("diff")["services"]
    assert web["ipvsadm"] == [f"-d -t 192.0.2.1:{deployment.port} -r {HOSTS[0]}:{deployment.port}"]
    assert web["intent"] != web["kernel"]
    deployment.pybal("thaw")
    running.wait(lambda: deployment.pybal("diff").returncode == 0, "no difference")


@pytest.mark.parametrize("vip", ["192.0.2.1", "web", "all"])
def test_drain_raises_the_med_then_withdraws_until_undrain(deployment: Deployment, vip: str) -> None:
    deployment.configure(WITH_BGP.replace("[web]", "bgp-drain-wait = 2\n[web]"))
    with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as running:
        running.wait(lambda: "192.0.2.1/32 wanted, " in running.get("/v1/bgp"), "the announcement")
        done = deployment.pybal("drain", vip, "--reason", "new kernel")
        assert (done.returncode, done.stderr) == (0, "")
        assert ", MED 4294967294: draining, " in done.stdout
        running.wait(lambda: deployment.document("status")["services"][0]["why"] == "drained", "the withdrawal")
        assert ": new kernel\n" in deployment.pybal("status").stdout
        assert "drained (by " in running.get("/v1/alerts")
        (drain,) = deployment.document("status")["drains"]
        assert (drain["vip"], drain["reason"]) == (None if vip == "all" else "192.0.2.1", "new kernel")
        done = deployment.pybal("undrain", vip, "--json")
        (document,) = json.loads(done.stdout)["vips"]
        assert (done.returncode, document["wanted"], document["med"]) == (0, True, 0)
        assert deployment.document("status")["drains"] == []
        done = deployment.pybal("undrain", vip)
        assert done.stdout.startswith(f"{'all VIPs' if vip == 'all' else '192.0.2.1/32'}: not drained\n")


@pytest.mark.parametrize("keep", [True, False])
def test_drain_survives_a_restart_with_keep_only(
    deployment: Deployment, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(deployment.directory))
    deployment.configure(WITH_BGP)
    for restarted in (False, True):
        with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as running:
            running.wait(lambda: "192.0.2.1/32" in running.get("/v1/bgp"), "the VIP known")
            if not restarted:
                deployment.pybal("drain", "web", "--reason", "new kernel", *(["--keep"] if keep else []))
            drains = [drain["kept"] for drain in deployment.document("status")["drains"]]
            assert drains == ([keep] if keep or not restarted else [])
            assert running.stop() == 0


@pytest.mark.parametrize(
    ("conf", "arguments", "why"),
    [
        (CONF, ["web"], "BGP is off (set bgp = yes to announce services)"),
        (WITH_BGP, ["wbe"], "unknown VIP 'wbe' (use the address of a VIP, the name of a service, or all)"),
        (WITH_BGP, ["192.0.2.9"], "192.0.2.9 is not an announced VIP (use 192.0.2.1, all)"),
        (
            WITH_BGP,
            ["web", "--keep"],
            "--keep requires a state directory (set StateDirectory= in the systemd unit)",
        ),
    ],
)
def test_drain_is_refused_with_a_reason(
    deployment: Deployment, conf: str, arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    deployment.configure(conf)
    with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as running:
        running.wait(lambda: deployment.pybal("status").returncode == 0, "the daemon")
        done = deployment.pybal("drain", *arguments, "--reason", "new kernel")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"pybal: {why}\n")
        assert deployment.document("status")["drains"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["freeze"], "the following arguments are required: --reason"),
        (["freeze", "--reason", "x", "--for", "5h"], "invalid duration '5h' (use 90, 10m or 1h, at most 4h)"),
        (["freeze", "--reason", "x\ny"], "(use one line of at most 500 characters)"),
    ],
)
def test_invalid_command_line_exits_with_1(
    deployment: Deployment, running: Daemon, arguments: list[str], why: str
) -> None:
    done = deployment.pybal(*arguments)
    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr + running.log


def test_doctor_checks_the_daemon_or_its_own_process_without_one(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: deployment.pybal("status").returncode == 0, "the daemon")
        document = deployment.document("doctor")
        assert document["process"] == running.process.pid
        limits = [each for each in document["findings"] if each["about"] == "file descriptors"]
        assert [each["grade"] for each in limits] == ["ok"]
    done = deployment.pybal("doctor")
    assert done.returncode == 0
    assert done.stdout.startswith("checked this process instead of a daemon: no daemon listens at ")


def test_doctor_refuses_an_invalid_configuration(deployment: Deployment) -> None:
    deployment.configure(CONF.replace("protocol = tcp", "protocol = tpc"))
    done = deployment.pybal("doctor")
    assert (done.returncode, done.stdout) == (1, "")
    assert "[web] protocol: found 'tpc'" in done.stderr


def test_command_exits_with_1_when_no_daemon_runs(deployment: Deployment) -> None:
    done = deployment.pybal("status")
    assert (done.returncode, done.stdout) == (1, "")
    error = f"no daemon listens at {deployment.directory}/control.sock (start pybal, or set --socket)"
    assert done.stderr == f"pybal: {error}\n"
    done = deployment.pybal("status", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {"error": error}


def test_status_works_with_an_invalid_configuration_file(deployment: Deployment, running: Daemon) -> None:
    deployment.configure(CONF.replace("protocol = tcp", "protocol = tpc") + "garbage\n")
    assert deployment.pybal("status").returncode == 0


def test_second_daemon_leaves_the_control_socket_to_the_first(deployment: Deployment, running: Daemon) -> None:
    wanted = f"control.sock: in use by another pybal, process {running.process.pid} of user {os.geteuid()}"
    with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as second:
        second.wait_for_log(wanted)
        assert deployment.document("status")["process"] == running.process.pid
    assert deployment.pybal("status").returncode == 0


def test_stale_socket_of_a_killed_daemon_is_replaced(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as first:
        first.wait(lambda: deployment.pybal("status").returncode == 0, "the first")
        first.process.kill()
        first.process.wait()
    assert (deployment.directory / "control.sock").exists()
    with daemon(deployment.directory, "-n", endpoint=deployment.endpoint) as again:
        again.wait(lambda: deployment.pybal("status").returncode == 0, "the second")
        assert "dry run" in deployment.pybal("status").stdout
