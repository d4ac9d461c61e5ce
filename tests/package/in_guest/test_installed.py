"""The package as it was installed, without a change of its configuration."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.guest.packaged_balancer import ENDPOINT, UNIT, attempt, run, show, table


@pytest.fixture
def started(installed: None) -> Iterator[None]:
    """The unit runs with the shipped configuration."""
    assert Path("/etc/pybal/pybal.conf").read_bytes() == Path("/usr/share/pybal/pybal.conf").read_bytes()
    run("systemctl", "start", UNIT)
    yield
    run("systemctl", "stop", UNIT)


def test_installation_neither_enables_nor_starts_the_unit(installed: None) -> None:
    assert attempt("systemctl", "is-enabled", UNIT).stdout == "disabled\n"
    assert show("ActiveState") == "inactive"


def test_installation_makes_the_user(installed: None) -> None:
    assert run("getent", "passwd", "pybal").split(":")[4:6] == ["PyBal", "/var/lib/pybal"]


def test_shipped_configuration_answers_on_loopback_only(started: None) -> None:
    with urllib.request.urlopen(ENDPOINT + "/alerts", timeout=60) as answer:
        assert answer.read() == b"OK - All pools are healthy"
    listening = run("ss", "--no-header", "--listening", "--tcp", "--numeric").splitlines()
    assert sorted(line.split()[3] for line in listening) == ["127.0.0.1:9090", "[::1]:9090"]


def test_shipped_configuration_shows_that_no_services_are_configured(started: None) -> None:
    assert show("StatusText") == "no services configured"
    assert 'Status: "no services configured"' in run("systemctl", "status", "--no-pager", UNIT)
    assert "no services configured" in run("pybal", "status")
    wait_for(
        lambda: "no services configured" in run("journalctl", "-u", UNIT, "-o", "cat"), lambda: "no line in the log"
    )


def test_shipped_configuration_changes_nothing_in_ipvs(installed: None) -> None:
    run("modprobe", "ip_vs")
    run("ipvsadm", "--add-service", "--tcp-service", "10.2.1.9:80", "--scheduler", "rr")
    before = table()
    run("systemctl", "start", UNIT)
    try:
        assert table() == before
    finally:
        run("systemctl", "stop", UNIT)
        run("ipvsadm", "--clear")
