"""The shipped AppArmor profile of the unit, in complain and in enforce mode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.guest.packaged_balancer import PackagedBalancer, run, table

PROFILE = "/etc/apparmor.d/pybal"
OUTSIDE = Path("/opt/check")


def label(process: int) -> str:
    return Path(f"/proc/{process}/attr/current").read_text().strip()


def labels(balancer: PackagedBalancer) -> set[str]:
    """Return the labels of all processes of the unit."""
    found = set()
    for process in balancer.processes():
        with suppress(FileNotFoundError, ProcessLookupError):  # a command that has ended
            found.add(label(process))
    return found


def enforce(balancer: PackagedBalancer) -> None:
    """Enforce the profile as its first lines say."""
    balancer.systemctl("stop")
    run("aa-enforce", PROFILE)


@pytest.fixture
def enforced(balancer: PackagedBalancer) -> None:
    """The unit runs with the profile in enforce mode."""
    balancer.start()
    if label(balancer.main_pid()) != "pybal (enforce)":
        enforce(balancer)
        balancer.start()


def test_profile_is_shipped_in_complain_mode(balancer: PackagedBalancer) -> None:
    balancer.systemctl("restart")
    balancer.wait(balancer.healthy, "healthy")
    assert label(balancer.main_pid()) == "pybal (complain)"


def test_complain_mode_lets_a_command_outside_run(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.command(path=OUTSIDE)
    balancer.configure(command=str(OUTSIDE))
    balancer.systemctl("reload")
    try:
        assert balancer.seen()["Ping"] == "ok"
    finally:
        balancer.configure()
        balancer.systemctl("reload")


def test_every_kind_of_check_works_with_the_profile_enforced(balancer: PackagedBalancer, enforced: None) -> None:
    assert labels(balancer) == {"pybal (enforce)"}
    assert balancer.seen()["Ping"] == "ok"
    assert table().count("-a -t") == 4
    assert 'apparmor="DENIED"' not in run("dmesg")


def test_reload_drain_and_restart_work_with_the_profile_enforced(balancer: PackagedBalancer, enforced: None) -> None:
    balancer.configure(scheduler="mh")
    balancer.systemctl("reload")
    assert "-s mh" in table()
    run("pybal", "drain", "all", "--keep", "--reason", "test")
    run("pybal", "undrain", "all", "--reason", "test")
    balancer.configure()
    balancer.systemctl("restart")
    balancer.wait(balancer.healthy, "healthy")
    assert 'apparmor="DENIED"' not in run("dmesg")


def test_unit_of_the_user_works_with_the_profile_enforced(balancer: PackagedBalancer, enforced: None) -> None:
    balancer.become_user()
    try:
        balancer.systemctl("restart")
        balancer.wait(balancer.healthy, "healthy")
        assert labels(balancer) == {"pybal (enforce)"}
        assert run("stat", "--format=%U", f"/proc/{balancer.exabgp()}") == "pybal\n"
        balancer.systemctl("reload")
    finally:
        balancer.become_root()
    balancer.systemctl("restart")
    balancer.wait(balancer.healthy, "healthy")
    assert 'apparmor="DENIED"' not in run("dmesg")


def test_enforced_profile_refuses_to_read_etc_shadow(balancer: PackagedBalancer, enforced: None) -> None:
    # Root may read it without the profile.
    balancer.command("cat /etc/shadow >/run/pybal/shadow 2>/run/pybal/refused || echo refused >/run/pybal/ended")
    run("chmod", "644", "/etc/shadow")
    try:
        balancer.wait(Path("/run/pybal/ended").exists, "a refusal")
    finally:
        balancer.command()
        run("chmod", "640", "/etc/shadow")
    assert Path("/run/pybal/shadow").read_text() == ""
    assert "Permission denied" in Path("/run/pybal/refused").read_text()


def test_enforced_profile_refuses_a_program_outside(balancer: PackagedBalancer, enforced: None) -> None:
    balancer.command(path=OUTSIDE)
    balancer.configure(command=str(OUTSIDE))
    balancer.systemctl("reload")
    try:
        balancer.wait(lambda: "Permission denied" in balancer.get("/v1/alerts"), "an alert of the command")
    finally:
        balancer.configure()
        balancer.systemctl("reload")
    balancer.wait(balancer.healthy, "healthy")


def test_local_rules_allow_a_program_outside(balancer: PackagedBalancer, enforced: None) -> None:
    Path("/etc/apparmor.d/local").mkdir(exist_ok=True)
    Path("/etc/apparmor.d/local/pybal").write_text("/opt/* rix,\n")
    run("apparmor_parser", "--replace", PROFILE)
    balancer.command(path=OUTSIDE)
    balancer.configure(command=str(OUTSIDE))
    balancer.systemctl("reload")
    try:
        assert balancer.seen()["Ping"] == "ok"
    finally:
        balancer.configure()
        balancer.systemctl("reload")
