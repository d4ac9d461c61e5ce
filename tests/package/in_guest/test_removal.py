"""Removal and purge of the package while it serves traffic; the package is not installed afterwards."""

from __future__ import annotations

from pathlib import Path

from tests.harness.daemon_process import PATIENCE, wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP
from tests.harness.guest.packaged_balancer import UNIT, PackagedBalancer, attempt, run, table

PLACES = ("/etc", "/run", "/tmp", "/usr", "/var")


def test_removal_stops_the_daemon_and_fails_no_connection_of_a_client(balancer: PackagedBalancer) -> None:
    balancer.start()
    before = table()
    with RequestLoop(balancer.network.client, VIP, timeout=PATIENCE) as requests:
        wait_for(lambda: requests.more(10), balancer.log)
        output = run("dpkg", "--remove", "pybal")
        after = requests.answered
        wait_for(lambda: requests.more(after + 10), balancer.log)
    assert requests.failures == []
    assert "pybal: stopped; the VIPs are withdrawn." in output
    assert not balancer.routed()
    assert table() == before
    assert attempt("pgrep", "-f", "exabgp|sbin/pybal").stdout == ""


def test_removal_leaves_no_unit(balancer: PackagedBalancer) -> None:
    assert balancer.show("LoadState") == "not-found"
    assert balancer.show("ActiveState") == "inactive"
    assert run("systemctl", "list-jobs", "--no-legend") == ""


def test_purge_leaves_the_backup_of_the_configuration_only(balancer: PackagedBalancer) -> None:
    text = Path("/etc/pybal/pybal.conf").read_text()
    output = run("dpkg", "--purge", "pybal")
    assert "pybal: saved /etc/pybal/pybal.conf as /etc/pybal/pybal.conf.dpkg-bak" in output
    assert Path("/etc/pybal/pybal.conf.dpkg-bak").read_text() == text
    # The other files in /etc/pybal are those of the operator.
    found = run("find", *PLACES, "-xdev", "-iname", "*pybal*").split()
    assert sorted(found) == ["/etc/pybal", "/etc/pybal/pybal.conf.dpkg-bak"]
    assert attempt("systemctl", "status", UNIT).stdout == "Unit pybal.service could not be found.\n"
