"""1.15 -> 2 -> 1.15 with a stand-in for the old package; the package is not installed at first."""

from __future__ import annotations

from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.packaged_balancer import UNIT, PackagedBalancer, attempt, run, show, table

CONFIG = Path("/etc/pybal/pybal.conf")
GENERATED = "/run/systemd/generator.late/pybal.service"


def is_running() -> bool:
    """Return whether the program of the stand-in runs."""
    return attempt("pgrep", "--full", "sleep 86400").returncode == 0


def is_enabled() -> str:
    return attempt("systemctl", "is-enabled", UNIT).stdout.splitlines()[-1]


def test_init_script_of_version_1_runs_under_systemd(balancer: PackagedBalancer) -> None:
    run("dpkg", "--install", "/host/version-1.deb")
    balancer.configure()
    wait_for(is_running, lambda: "PyBal 1.15 runs")
    assert show("FragmentPath") == GENERATED
    assert is_enabled() == "enabled"


def test_upgrade_of_running_version_1_keeps_configuration_and_enablement(balancer: PackagedBalancer) -> None:
    before = CONFIG.read_text()
    output = run("dpkg", "--install", "/host/pybal.deb")
    assert CONFIG.read_text() == before
    assert is_enabled() == "enabled"
    assert "pybal: upgraded from PyBal 1.15, whose package stopped the daemon." in output
    assert not is_running()
    assert show("ActiveState") == "inactive"


def test_start_after_an_upgrade_of_version_1_runs_the_new_unit(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert show("FragmentPath").endswith("/lib/systemd/system/pybal.service")
    assert show("Type") == "notify"
    assert list(Path("/run/systemd/generator.late").glob("pybal*")) == []


def test_downgrade_to_version_1_withdraws_the_vip_and_keeps_ipvs(balancer: PackagedBalancer) -> None:
    balancer.start()
    before, text = table(), CONFIG.read_text()
    run("dpkg", "--install", "--force-confold", "/host/version-1.deb")
    assert CONFIG.read_text() == text
    assert not balancer.routed()
    assert table() == before
    assert attempt("pgrep", "--full", "exabgp").stdout == ""


def test_init_script_runs_after_the_downgrade(balancer: PackagedBalancer) -> None:
    wait_for(is_running, lambda: run("journalctl", "-u", UNIT, "-o", "cat", "-n", "20"))
    assert show("FragmentPath") == GENERATED
    assert is_enabled() == "enabled"


def test_second_upgrade_starts_the_new_unit_again(balancer: PackagedBalancer) -> None:
    run("dpkg", "--install", "/host/pybal.deb")
    assert not is_running()
    assert is_enabled() == "enabled"
    balancer.start()
    assert show("Type") == "notify"
