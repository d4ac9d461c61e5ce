"""Commands to the daemon, with both as processes."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.control.conftest import CONF, HOSTS, Site
from tests.harness.daemon_process import Daemon, daemon


def test_status_shows_services_and_alerts_at_a_glance(site: Site, running: Daemon) -> None:
    said = site.pybal("status")
    assert (said.returncode, said.stderr) == (0, "")
    head, *rows = said.stdout.splitlines()
    assert head.startswith(f"pybal 2.0.0, process {running.process.pid}, up ")
    assert head.endswith(" s: 1 service, 3 monitors")
    assert [row.split() for row in rows] == [
        ["SERVICE", "ADDRESS", "SERVING", "POOLED", "FORCED", "FLOOR", "ANNOUNCED"],
        ["web", "tcp", f"192.0.2.1:{site.port}", "3", "of", "3", "3", "0", "2", "-"],
    ]
    for server in site.servers.values():
        server.stop()
    running.wait(lambda: "CRITICAL web pooled-down: Servers " in site.pybal("status").stdout, "the alert")
    document = site.document("status")
    (web,) = document["services"]
    assert (web["service"], web["serving"], web["pooled"], web["forced"]) == ("web", 0, 2, 2)
    assert document["alerts"][0]["kind"] == "pooled-down"


def test_frozen_the_table_stays_as_it_is_while_checks_go_on_and_thawed_it_is_made_right(
    site: Site, running: Daemon
) -> None:
    table = running.get("/v1/ipvs")
    said = site.pybal("freeze", "--for", "10m", "--reason", "new switch")
    assert said.returncode == 0
    assert said.stdout.startswith("frozen for another 600 s by ")
    site.servers[HOSTS[0]].stop()
    running.wait(lambda: f"{HOSTS[0]}:\tenabled/down/not pooled" in running.get("/pools/web"), "the dead server found")
    site.pool(*HOSTS[:2])
    running.wait(lambda: HOSTS[2] not in running.get("/pools/web"), "the new list")
    assert running.get("/v1/ipvs") == table
    assert "new switch; not changing IPVS or BGP" in running.get("/v1/alerts")
    assert "new switch; not changing IPVS or BGP" in running.get("/")
    assert "pybal_frozen 1.0" in running.get("/metrics").splitlines()
    assert site.document("status")["frozen"]["reason"] == "new switch"
    said = site.pybal("thaw", "--reason", "it is there")
    assert (said.returncode, said.stdout) == (0, "thawed\n")
    running.wait(lambda: running.get("/v1/ipvs").count("\n-a") == 1, "one server in the table")
    assert "pybal_frozen 0.0" in running.get("/metrics").splitlines()
    assert site.document("status")["frozen"] is None
    user = f"(user {os.geteuid()}, process "
    assert "[control] INFO: freeze duration=600.0 by " in running.log
    assert user in running.log
    assert "): new switch\n" in running.log
    assert "): it is there\n" in running.log
    assert site.pybal("thaw").stdout == "was not frozen\n"


def test_a_freeze_ends_by_itself_in_time(site: Site, running: Daemon) -> None:
    site.pybal("freeze", "--for", "2s", "--reason", "a moment")
    site.servers[HOSTS[0]].stop()
    running.wait_for_log("thawed: applying all changes made while frozen")
    running.wait(lambda: HOSTS[0] not in running.get("/v1/ipvs"), "the dead server out of the table")


def test_a_daemon_that_is_stopped_while_frozen_leaves_the_table_and_no_file(site: Site, running: Daemon) -> None:
    site.pybal("freeze", "--reason", "the end")
    assert running.stop() == 0
    assert not (site.directory / "control.sock").exists()


def test_diff_says_what_is_wanted_and_not_there_and_exits_with_2(site: Site, running: Daemon) -> None:
    said = site.pybal("diff")
    assert (said.returncode, said.stdout, said.stderr) == (0, "1 of 1 services as wanted\n", "")
    site.pybal("freeze", "--reason", "new switch")
    site.servers[HOSTS[0]].stop()
    running.wait(lambda: site.pybal("diff").returncode == 2, "a difference")
    assert site.pybal("diff").stdout.splitlines() == [
        "~ service web: frozen",
        f"    ipvsadm -d -t 192.0.2.1:{site.port} -r {HOSTS[0]}:{site.port}",
        "0 of 1 services as wanted",
    ]
    (web,) = site.document("diff")["services"]
    assert web["ipvsadm"] == [f"-d -t 192.0.2.1:{site.port} -r {HOSTS[0]}:{site.port}"]
    assert web["intent"] != web["kernel"]
    site.pybal("thaw")
    running.wait(lambda: site.pybal("diff").returncode == 0, "no difference")


@pytest.mark.parametrize("vip", ["192.0.2.1", "web", "all"])
def test_a_drain_raises_the_med_and_withdraws_in_time_and_is_undone(site: Site, vip: str) -> None:
    site.configure(CONF.replace("[web]", "bgp-drain-wait = 2\n[web]"), bgp="yes")
    with daemon(site.directory, "-n", endpoint=site.endpoint) as running:
        running.wait(lambda: "192.0.2.1/32 announced " in running.get("/v1/bgp"), "the announcement")
        said = site.pybal("drain", vip, "--reason", "new kernel")
        assert (said.returncode, said.stderr) == (0, "")
        assert ", MED 4294967294: draining, " in said.stdout
        running.wait(lambda: site.document("status")["services"][0]["why"] == "drained", "the withdrawal")
        assert ": new kernel\n" in site.pybal("status").stdout
        assert "drained (by " in running.get("/v1/alerts")
        (drain,) = site.document("status")["drains"]
        assert (drain["vip"], drain["reason"]) == (None if vip == "all" else "192.0.2.1", "new kernel")
        said = site.pybal("undrain", vip, "--json")
        (document,) = json.loads(said.stdout)["vips"]
        assert (said.returncode, document["announced"], document["med"]) == (0, True, 0)
        assert site.document("status")["drains"] == []
        said = site.pybal("undrain", vip)
        assert said.stdout.startswith("there was no drain of ")


@pytest.mark.parametrize("keep", [True, False])
def test_a_drain_survives_a_restart_only_if_asked_to(site: Site, keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(site.directory))
    site.configure(bgp="yes")
    for restarted in (False, True):
        with daemon(site.directory, "-n", endpoint=site.endpoint) as running:
            running.wait(lambda: "192.0.2.1/32" in running.get("/v1/bgp"), "the VIP known")
            if not restarted:
                site.pybal("drain", "web", "--reason", "new kernel", *(["--keep"] if keep else []))
            drains = [drain["kept"] for drain in site.document("status")["drains"]]
            assert drains == ([keep] if keep or not restarted else [])
            assert running.stop() == 0


@pytest.mark.parametrize(
    ("bgp", "arguments", "why"),
    [
        ("no", ["web"], "nothing is announced: bgp is off in the configuration"),
        ("yes", ["wbe"], "'wbe', wanted the address of a VIP, the name of a service, or all"),
        (
            "yes",
            ["192.0.2.9"],
            "192.0.2.9 is not announced by this configuration, wanted all or one of: 192.0.2.1",
        ),
        ("yes", ["web", "--keep"], "no state directory to keep a drain in: StateDirectory= of systemd gives one"),
    ],
)
def test_a_drain_that_cannot_be_is_refused(
    site: Site, bgp: str, arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    site.configure(bgp=bgp)
    with daemon(site.directory, "-n", endpoint=site.endpoint) as running:
        running.wait(lambda: site.pybal("status").returncode == 0, "the daemon")
        said = site.pybal("drain", *arguments, "--reason", "new kernel")
        assert (said.returncode, said.stdout, said.stderr) == (1, "", f"pybal: {why}\n")
        assert site.document("status")["drains"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["freeze"], "the following arguments are required: --reason"),
        (["freeze", "--reason", "x", "--for", "5h"], "'5h', wanted a duration such as 90, 10m or 1h, at most 4h"),
        (["freeze", "--reason", "x\ny"], "wanted one line of at most 500 characters"),
    ],
)
def test_a_command_that_makes_no_sense_exits_with_1(
    site: Site, running: Daemon, arguments: list[str], why: str
) -> None:
    said = site.pybal(*arguments)
    assert said.returncode == 1
    assert why in said.stderr
    assert "Traceback" not in said.stderr + running.log


def test_the_doctor_looks_at_the_daemon_and_is_not_kept_from_it_by_there_being_none(site: Site) -> None:
    with daemon(site.directory, endpoint=site.endpoint) as running:
        running.wait(lambda: site.pybal("status").returncode == 0, "the daemon")
        document = site.document("doctor")
        assert document["process"] == running.process.pid
        limits = [each for each in document["findings"] if each["about"] == "file descriptors"]
        assert [each["grade"] for each in limits] == ["ok"]
    said = site.pybal("doctor")
    assert said.returncode == 0
    assert said.stdout.startswith("looks at this process in place of a daemon: pybal does not run: ")


def test_the_doctor_needs_a_configuration_that_is_right(site: Site) -> None:
    site.configure(CONF.replace("protocol = tcp", "protocol = tpc"))
    said = site.pybal("doctor")
    assert (said.returncode, said.stdout) == (1, "")
    assert "[web] protocol: found 'tpc'" in said.stderr


def test_without_a_daemon_a_command_says_so_and_exits_with_1(site: Site) -> None:
    said = site.pybal("status")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"pybal: pybal does not run: nobody listens at {site.directory}/control.sock\n"
    said = site.pybal("status", "--json")
    assert (said.returncode, said.stderr) == (1, "")
    assert json.loads(said.stdout) == {"error": f"pybal does not run: nobody listens at {site.directory}/control.sock"}


def test_a_configuration_that_is_broken_does_not_stand_between_operator_and_daemon(site: Site, running: Daemon) -> None:
    site.configure(CONF.replace("protocol = tcp", "protocol = tpc") + "no sense\n")
    assert site.pybal("status").returncode == 0


def test_a_second_daemon_is_refused_by_the_socket_of_the_first_before_it_does_anything(
    site: Site, running: Daemon
) -> None:
    said = site.pybal("-n")
    assert said.returncode == 1
    wanted = f"control.sock: another pybal listens there, process {running.process.pid} of user {os.geteuid()}"
    assert wanted in said.stderr
    assert "would run" not in said.stderr
    assert site.pybal("status").returncode == 0


def test_a_socket_that_a_killed_daemon_left_is_replaced(site: Site) -> None:
    with daemon(site.directory, endpoint=site.endpoint) as first:
        first.wait(lambda: site.pybal("status").returncode == 0, "the first")
        first.process.kill()
        first.process.wait()
    assert (site.directory / "control.sock").exists()
    with daemon(site.directory, "-n", endpoint=site.endpoint) as again:
        again.wait(lambda: site.pybal("status").returncode == 0, "the second")
        assert "dry run" in site.pybal("status").stdout


def test_a_group_that_is_not_there_is_refused_at_the_start(site: Site) -> None:
    site.configure(CONF.replace("bgp = {bgp}", "control-group = nobody-has-this"))
    said = site.pybal("-n")
    assert said.returncode == 2
    assert "control-group: found 'nobody-has-this', wanted an existing group" in said.stderr
