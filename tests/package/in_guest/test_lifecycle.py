"""The unit as root: its sandbox, reloads, restarts, crashes and stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from tests.harness.daemon_process import PATIENCE, wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP
from tests.harness.guest.packaged_balancer import UNIT, PackagedBalancer, attempt, run, status, table

NET_RAW = f"{1 << 13:016x}"
NONE = f"{0:016x}"


def test_unit_has_no_problem_that_systemd_reports(balancer: PackagedBalancer) -> None:
    assert run("systemd-analyze", "verify", "--man=no", UNIT) == ""


def test_security_score_is_at_most_2_2(balancer: PackagedBalancer) -> None:
    run("systemd-analyze", "security", "--threshold=22", UNIT)


def test_unit_starts_with_every_kind_of_check(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert table().count("-a -t") == 4
    assert balancer.show("SubState") == "running"


def test_commands_for_the_operator_work_in_the_sandbox(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert "4 monitors" not in run("pybal", "status")
    assert run("pybal", "diff")
    run("setpriv", "--reuid=1000", "--regid=1000", "--groups=4", "pybal", "pools", "web")
    stranger = attempt("setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", "pybal", "status")
    assert stranger.returncode == 1, stranger.stdout


def test_command_of_runcommand_holds_no_capability_but_net_raw(balancer: PackagedBalancer) -> None:
    balancer.start()
    seen = balancer.seen()
    assert [seen[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == [NET_RAW] * 4
    assert seen["NoNewPrivs"] == "1"
    assert seen["Ping"] == "ok"


def test_command_of_runcommand_writes_to_its_own_tmp_only(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert balancer.seen()["Writable"] == "/var/lib/pybal, /tmp"
    assert not Path("/tmp/written").exists()


def test_command_of_runcommand_is_not_protected_from_the_oom_killer(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert balancer.seen()["Score"] == "0"
    assert Path(f"/proc/{balancer.main_pid()}/oom_score_adj").read_text() == "-900\n"
    assert Path(f"/proc/{balancer.exabgp()}/oom_score_adj").read_text() == "-900\n"


def test_exabgp_holds_no_capability(balancer: PackagedBalancer) -> None:
    balancer.start()
    held = status(balancer.exabgp())
    assert [held[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == [NONE] * 4


def test_command_that_needs_all_memory_is_killed_and_not_the_daemon(balancer: PackagedBalancer) -> None:
    balancer.start()
    before = (balancer.main_pid(), balancer.exabgp())
    run("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=300M")
    balancer.command("exec python3 -c \"taken = [bytes(b'x' * (1 << 24)) for _ in range(1000)]\"")
    try:
        wait_for(lambda: "Killed process" in run("dmesg"), lambda: run("dmesg") + balancer.log())
    finally:
        balancer.command()
        run("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=infinity")
        run("systemctl", "revert", UNIT)
    balancer.wait(balancer.healthy, "healthy")
    assert (balancer.main_pid(), balancer.exabgp()) == before


def test_systemctl_reload_loads_a_scheduler_and_succeeds(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.configure(scheduler="mh")
    balancer.systemctl("reload")
    assert f"-A -t {VIP}:80 -s mh" in table()
    balancer.configure()
    balancer.systemctl("reload")
    assert f"-A -t {VIP}:80 -s wrr" in table()


def test_systemctl_reload_fails_with_the_reason_in_the_journal(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.configure(scheduler="nonsense")
    refused = attempt("systemctl", "reload", UNIT)
    balancer.configure()
    assert refused.returncode != 0
    assert "pybal: reload refused, nothing changed" in balancer.log()
    assert "scheduler: found 'nonsense'" in balancer.log()
    assert balancer.show("ActiveState") == "active"


def test_sighup_reloads(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.configure(scheduler="lc")
    balancer.systemctl("kill", "--signal=HUP", "--kill-whom=main")
    balancer.wait(lambda: f"-A -t {VIP}:80 -s lc" in table(), "the reload")
    balancer.configure()
    balancer.systemctl("reload")


def test_restart_answers_every_request_on_port_9090(
    balancer: PackagedBalancer, record_property: Callable[[str, object], None]
) -> None:
    balancer.start()
    before = balancer.main_pid()
    with RequestLoop(balancer.network.director, IPv4Address("127.0.0.1"), 9090, timeout=PATIENCE) as requests:
        wait_for(lambda: requests.more(10), balancer.log)
        balancer.systemctl("restart")
        balancer.wait(balancer.healthy, "healthy")
        after = requests.answered
        wait_for(lambda: requests.more(after + 10), balancer.log)
    assert balancer.main_pid() != before
    assert requests.failures == []
    record_property("port 9090 in a restart", f"0 of {requests.answered} refused, slowest {requests.slowest:.2f} s")


def test_upgrade_and_restart_fail_no_connection_of_a_client(
    balancer: PackagedBalancer, record_property: Callable[[str, object], None]
) -> None:
    balancer.start()
    before = balancer.main_pid()
    with RequestLoop(balancer.network.client, VIP, timeout=PATIENCE) as requests:
        wait_for(lambda: requests.more(10), balancer.log)
        run("dpkg", "--install", "/host/newer.deb")
        assert balancer.main_pid() == before
        assert balancer.show("NeedDaemonReload") == "no"
        balancer.systemctl("restart")
        balancer.wait(balancer.healthy, "healthy")
        after = requests.answered
        wait_for(lambda: requests.more(after + 10), balancer.log)
    assert balancer.main_pid() != before
    assert requests.failures == []
    record_property("clients in an upgrade", f"0 of {requests.answered} failed, slowest {requests.slowest:.2f} s")


def test_killed_daemon_loses_the_route_and_is_restarted(balancer: PackagedBalancer) -> None:
    balancer.start()
    killed = balancer.main_pid()
    children = set(balancer.processes()) - {killed}
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not balancer.routed(), balancer.log)
    balancer.wait(lambda: balancer.main_pid() not in (0, killed) and balancer.healthy(), "healthy")
    assert not children & set(balancer.processes())


def test_hung_daemon_is_killed_by_the_watchdog_and_restarted(balancer: PackagedBalancer) -> None:
    balancer.start()
    hung = balancer.main_pid()
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: not balancer.routed(), balancer.log)
    balancer.wait(lambda: balancer.main_pid() not in (0, hung) and balancer.healthy(), "healthy")
    assert "Watchdog timeout" in balancer.log() + run("journalctl", "-u", UNIT, "-o", "cat")


def test_crash_loop_does_not_end_and_recovers_by_itself(balancer: PackagedBalancer) -> None:
    balancer.systemctl("stop")
    crashing = Path("/run/systemd/system/pybal.service.d/crashing.conf")
    crashing.parent.mkdir(parents=True, exist_ok=True)
    crashing.write_text("[Service]\nExecStart=\nExecStart=/bin/false\n")
    run("systemctl", "daemon-reload")
    before = int(balancer.show("NRestarts"))
    run("systemctl", "start", "--no-block", UNIT)
    # By default systemd gives up after 5 starts within 10 s.
    wait_for(lambda: int(balancer.show("NRestarts")) > before + 6, balancer.log)
    crashing.unlink()
    crashing.parent.rmdir()
    run("systemctl", "daemon-reload")
    balancer.wait(balancer.healthy, "healthy")


def test_refused_configuration_is_not_started_again(balancer: PackagedBalancer) -> None:
    balancer.systemctl("stop")
    balancer.configure(scheduler="nonsense")
    refused = attempt("systemctl", "start", UNIT)
    try:
        assert refused.returncode != 0
        assert balancer.show("ExecMainStatus") == "2"
        assert balancer.show("ActiveState") == "failed"
        assert "scheduler: found 'nonsense'" in balancer.log()
    finally:
        balancer.configure()


def test_stop_withdraws_the_vip_keeps_ipvs_and_leaves_no_process(balancer: PackagedBalancer) -> None:
    balancer.start()
    before = table()
    balancer.systemctl("stop")
    assert not balancer.routed()
    assert table() == before
    assert balancer.show("Result") == "success"
    assert balancer.show("ExecMainStatus") == "0"
    assert balancer.processes() == {}
    assert attempt("pgrep", "-f", "exabgp|sbin/pybal").stdout == ""
