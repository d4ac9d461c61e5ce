"""1.15.14 -> 2 -> 1.15.14, with a stand-in for the old package, without systemd as init."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.package.machine import Machine

CONFIG = "/etc/pybal/pybal.conf"
DEFAULT = "/etc/default/pybal"
OWN = "[global]\nbgp = no\n# written by the operator\n"
PROFILE = "/etc/apparmor.d/pybal"
OLD_FILES = ("/etc/init.d/pybal", DEFAULT, "/etc/rc2.d/S01pybal", "/etc/rc6.d/K01pybal")


@pytest.fixture
def old(machine: Machine) -> Machine:
    """A machine that runs 1.15.14 with a configuration of the operator."""
    policy = machine.path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\n")
    policy.chmod(0o755)
    machine.run("dpkg", "--install", "/tmp/version-1.deb")
    machine.path(CONFIG).write_text(OWN)
    assert present(machine, OLD_FILES) == list(OLD_FILES)
    wait_until_running(machine)
    return machine


def test_upgrade_keeps_the_configuration_and_forgets_it_as_conffile(old: Machine) -> None:
    output = old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.path(CONFIG).read_text() == OWN
    assert old.run("dpkg-query", "--show", "--showformat=${Conffiles}", "pybal").split()[::2] == [PROFILE]
    assert "pybal: upgraded from PyBal 1.15, whose package stopped the daemon." in output
    assert present(old, (f"{CONFIG}.dpkg-keep", f"{CONFIG}.dpkg-remove", f"{CONFIG}.dpkg-bak")) == []


def test_upgrade_removes_the_init_script_and_its_links(old: Machine) -> None:
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    left = old.run("find", "/etc", "-name", "*pybal*", "-not", "-path", "/etc/pybal*").split()
    assert sorted(left) == [
        "/etc/apparmor.d/local/pybal",
        PROFILE,
        "/etc/systemd/system/multi-user.target.wants/pybal.service",
    ]


def test_upgrade_enables_the_unit_when_the_init_script_was_enabled(old: Machine) -> None:
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.attempt("systemctl", "is-enabled", "pybal").stdout == "enabled\n"


def test_upgrade_keeps_the_unit_disabled_when_the_init_script_was(old: Machine) -> None:
    old.run("update-rc.d", "pybal", "disable")
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.attempt("systemctl", "is-enabled", "pybal").stdout == "disabled\n"


def test_upgrade_starts_nothing(old: Machine) -> None:
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert not is_running(old)


def test_upgrade_keeps_changed_options_as_backup(old: Machine) -> None:
    old.path(DEFAULT).write_text('PYBAL_OPTIONS="--dryrun"\n')
    output = old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.path(f"{DEFAULT}.dpkg-bak").read_text() == 'PYBAL_OPTIONS="--dryrun"\n'
    assert "Your changes are in /etc/default/pybal.dpkg-bak" in output


def test_removal_and_purge_after_an_upgrade_save_the_configuration(old: Machine) -> None:
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    old.run("dpkg", "--remove", "pybal")
    assert old.path(CONFIG).read_text() == OWN
    old.run("dpkg", "--purge", "pybal")
    assert old.path(f"{CONFIG}.dpkg-bak").read_text() == OWN


def test_installation_over_a_removed_version_1_keeps_the_configuration(old: Machine) -> None:
    old.run("dpkg", "--remove", "pybal")
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.path(CONFIG).read_text() == OWN
    old.run("dpkg", "--purge", "pybal")
    assert old.path(f"{CONFIG}.dpkg-bak").read_text() == OWN


def test_upgrade_that_fails_in_preinst_restores_version_1(old: Machine) -> None:
    failed = old.attempt("dpkg", "--install", "/tmp/failing-preinst.deb")
    assert failed.returncode != 0
    assert "failing for the test" in failed.stdout
    assert old.path(CONFIG).read_text() == OWN
    assert (
        old.run("dpkg-query", "--show", "--showformat=${Version} ${Status}", "pybal") == "1.15.14 install ok installed"
    )
    assert present(old, OLD_FILES) == list(OLD_FILES)
    wait_until_running(old)


def test_upgrade_that_fails_in_postinst_has_the_configuration(old: Machine) -> None:
    # The commands that debhelper adds to the script fail.
    old.path("/usr/bin/systemd-sysusers").write_text("#!/bin/sh\nexit 1\n")
    assert old.attempt("dpkg", "--install", "/tmp/pybal.deb").returncode != 0
    assert old.path(CONFIG).read_text() == OWN
    old.path("/usr/bin/systemd-sysusers").write_text("#!/bin/sh\n")
    old.run("dpkg", "--configure", "--pending")
    assert old.path(CONFIG).read_text() == OWN
    assert old.attempt("systemctl", "is-enabled", "pybal").stdout == "enabled\n"


def test_downgrade_and_second_upgrade_keep_the_configuration(old: Machine) -> None:
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    old.run("dpkg", "--install", "--force-confold", "/tmp/version-1.deb")
    assert old.path(CONFIG).read_text() == OWN
    assert present(old, OLD_FILES) == list(OLD_FILES)
    wait_until_running(old)
    old.run("dpkg", "--install", "/tmp/pybal.deb")
    assert old.path(CONFIG).read_text() == OWN
    assert present(old, OLD_FILES) == []


def present(machine: Machine, names: Sequence[str]) -> list[str]:
    return [name for name in names if machine.path(name).is_symlink() or machine.path(name).exists()]


def wait_until_running(machine: Machine) -> None:
    # Its init script returns before the program runs.
    wait_for(lambda: is_running(machine), lambda: "PyBal 1.15 runs")


def is_running(machine: Machine) -> bool:
    return (
        machine.attempt("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'sleep 8640[0]'").returncode == 0
    )
