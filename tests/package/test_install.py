"""Installation, upgrade, removal and purge without systemd as init."""

from __future__ import annotations

import pytest

from tests.harness.package.machine import Machine

CONFIG = "/etc/pybal/pybal.conf"
OWN = "[global]\ninstrumentation = yes\n# written by the operator\n"
STATE = ["dpkg-query", "--show", "--showformat=${Status}", "pybal"]
# Files that dpkg and the users of sysusers.d leave behind for every package.
ORDINARY = (
    "/var/lib/dpkg/",
    "/var/log/",
    "/var/cache/",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/.pwd",
)
PURGED = ("/var/lib/systemd/deb-systemd-helper-enabled",)


def test_package_runs_on_what_it_depends_on(installed: Machine) -> None:
    assert installed.run("pybal", "--version").startswith("pybal 2.")
    assert installed.run(*STATE) == "install ok installed"


def test_first_installation_neither_starts_nor_enables(machine: Machine) -> None:
    output = machine.run("dpkg", "--install", "/tmp/pybal.deb")
    assert "pybal: installed, neither started nor enabled. Edit /etc/pybal/pybal.conf, then run:" in output
    assert machine.attempt("systemctl", "is-enabled", "pybal").stdout == "disabled\n"
    assert daemons(machine) == []


def test_first_installation_provides_a_configuration_without_services(installed: Machine) -> None:
    lines = installed.path(CONFIG).read_text().splitlines()
    assert [line for line in lines if line[:1] not in ("", "#")] == ["[global]", "instrumentation = yes"]
    assert "#[text_80]" in lines
    assert mode(installed, CONFIG) == "644 root root"


def test_first_installation_keeps_an_existing_configuration(machine: Machine) -> None:
    machine.path("/etc/pybal").mkdir()
    machine.path(CONFIG).write_text(OWN)
    machine.run("dpkg", "--install", "/tmp/pybal.deb")
    assert machine.path(CONFIG).read_text() == OWN


@pytest.mark.parametrize("content", [OWN, None])
def test_upgrade_leaves_the_configuration_as_it_is(installed: Machine, content: str | None) -> None:
    write_or_delete(installed, content)
    installed.run("dpkg", "--install", "/tmp/later.deb")
    assert content == (installed.path(CONFIG).read_text() if installed.path(CONFIG).exists() else None)


def test_upgrade_keeps_the_unit_enabled(installed: Machine) -> None:
    installed.run("systemctl", "enable", "pybal")
    installed.run("dpkg", "--install", "/tmp/later.deb")
    assert installed.attempt("systemctl", "is-enabled", "pybal").stdout == "enabled\n"


@pytest.mark.parametrize("script", ["preinst", "prerm"])
def test_upgrade_that_fails_early_leaves_the_old_version(installed: Machine, script: str) -> None:
    installed.path(CONFIG).write_text(OWN)
    failed = installed.attempt("dpkg", "--install", f"/tmp/failing-{script}.deb")
    if script == "prerm":
        failed = installed.attempt("dpkg", "--install", "/tmp/pybal.deb")
    assert installed.path(CONFIG).read_text() == OWN
    installed.run("dpkg", "--configure", "--pending")
    assert installed.run(*STATE) == "install ok installed", failed.stdout


def test_installation_that_fails_late_is_completed_later(machine: Machine) -> None:
    failed = machine.attempt("dpkg", "--install", "/tmp/failing-postinst.deb")
    assert failed.returncode != 0
    assert "failing for the test" in failed.stdout
    machine.run("dpkg", "--install", "/tmp/later.deb")
    assert machine.run(*STATE) == "install ok installed"
    assert machine.path(CONFIG).exists()


def test_removal_keeps_the_configuration_and_the_state(installed: Machine) -> None:
    installed.path(CONFIG).write_text(OWN)
    installed.path("/var/lib/pybal").mkdir(exist_ok=True)
    installed.path("/var/lib/pybal/drains.json").write_text("{}")
    installed.run("dpkg", "--remove", "pybal")
    assert installed.path(CONFIG).read_text() == OWN
    assert installed.path("/var/lib/pybal/drains.json").exists()


def test_purge_saves_the_configuration_of_the_operator(installed: Machine) -> None:
    installed.path(CONFIG).write_text(OWN)
    output = installed.run("dpkg", "--purge", "pybal")
    assert "pybal: saved /etc/pybal/pybal.conf as /etc/pybal/pybal.conf.dpkg-bak" in output
    assert installed.path(f"{CONFIG}.dpkg-bak").read_text() == OWN
    assert not installed.path(CONFIG).exists()


def test_second_purge_keeps_the_first_backup(installed: Machine) -> None:
    for content in ("[global]\n# first\n", "[global]\n# second\n"):
        installed.run("dpkg", "--install", "/tmp/pybal.deb")
        installed.path(CONFIG).write_text(content)
        installed.run("dpkg", "--purge", "pybal")
    backups = sorted(file.read_text() for file in installed.path("/etc/pybal").iterdir())
    assert backups == ["[global]\n# first\n", "[global]\n# second\n"]


def test_purge_leaves_nothing_of_an_unchanged_installation(machine: Machine) -> None:
    before = files(machine)
    machine.run("dpkg", "--install", "/tmp/real.deb")
    machine.run("systemctl", "enable", "pybal")
    machine.path("/var/lib/pybal").mkdir(exist_ok=True)
    machine.path("/var/lib/pybal/overrides.json").write_text("{}")
    machine.run("pybal", "check-config", "-c", "/usr/share/doc/pybal/examples/pybal.conf")
    assert files(machine) - before
    machine.run("dpkg", "--purge", "pybal")
    assert files(machine) - before == set()


def test_purge_keeps_the_user_and_reinstallation_works(installed: Machine) -> None:
    installed.run("dpkg", "--purge", "pybal")
    assert "pybal" in installed.run("getent", "passwd", "pybal")
    installed.run("dpkg", "--install", "/tmp/pybal.deb")
    assert installed.path(CONFIG).exists()


def files(machine: Machine) -> set[str]:
    """Return the paths of the root and of /run, without those that every package changes."""
    found = machine.run("find", "/", "/run", "-xdev", "-path", "/tmp", "-prune", "-o", "-print").splitlines()
    return {name for name in found if not name.startswith((*ORDINARY, *PURGED))}


def daemons(machine: Machine) -> list[str]:
    listing = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").splitlines()
    return [line for line in listing if "sbin/pybal" in line]


def mode(machine: Machine, path: str) -> str:
    return machine.run("stat", "--format=%a %U %G", path).strip()


def write_or_delete(machine: Machine, content: str | None) -> None:
    if content is None:
        machine.path(CONFIG).unlink()
    else:
        machine.path(CONFIG).write_text(content)
