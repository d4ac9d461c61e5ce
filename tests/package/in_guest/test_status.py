"""Ready and the status line, as systemd shows them."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.harness.guest.packaged_balancer import UNIT, PackagedBalancer, attempt, run, table

DEAD = """
[dead]
port = 81
config = etcd://10.0.0.99:2379/conftool/v1/pools/dc/cluster/dead/
"""
AWAITED = "the first server list of dead (etcd://10.0.0.99:2379/conftool/v1/pools/dc/cluster/dead/)"


def test_start_returns_when_ipvs_holds_what_the_first_checks_decided(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.systemctl("stop")
    run("ipvsadm", "--clear")
    balancer.systemctl("start")
    run("pybal", "diff")  # ends with 0 if IPVS is as wanted
    assert table().count("-A -t") == 2
    assert table().count("-a -t") > 0
    assert re.match("2 services, [1-4] of 4 servers serving, ", balancer.show("StatusText"))


def test_status_line_has_the_totals(balancer: PackagedBalancer) -> None:
    balancer.start()
    totals = "2 services, 4 of 4 servers serving, 1 of 1 VIP announced, 0 alerts"
    balancer.wait(lambda: balancer.show("StatusText") == totals, "the totals")
    assert f'Status: "{totals}"' in run("systemctl", "status", "--no-pager", "--full", UNIT)


def test_status_line_has_the_problem_of_a_refused_reload(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.configure(scheduler="nonsense")
    refused = attempt("systemctl", "reload", UNIT)
    balancer.configure()
    assert refused.returncode != 0
    balancer.wait(lambda: "; last reload refused: " in balancer.show("StatusText"), "a refused reload in the status")
    assert "scheduler: found 'nonsense'" in balancer.show("StatusText")
    balancer.systemctl("reload")
    balancer.wait(
        lambda: "; reloaded: 2 of 2 services unchanged" in balancer.show("StatusText"), "a reload in the status"
    )


def test_start_does_not_wait_for_a_dead_etcd(
    balancer: PackagedBalancer, record_property: Callable[[str, object], None]
) -> None:
    balancer.configure(more=DEAD)
    try:
        balancer.systemctl("restart")
        assert balancer.show("ActiveState") == "active"
        assert balancer.show("StatusText").startswith("3 services (1 without a server list), ")
        (seconds,) = re.findall(r"ready after ([0-9.]+) s: 3 services", balancer.log())
        record_property("ready with a dead etcd", f"after {seconds} s")
    finally:
        balancer.configure()


def test_status_line_names_the_dead_etcd_during_the_start(balancer: PackagedBalancer) -> None:
    balancer.configure(more=DEAD)
    try:
        balancer.wait(lambda: any(AWAITED in line for line in lines_of_a_start(balancer)), AWAITED)
    finally:
        balancer.configure()
        balancer.systemctl("stop")


def lines_of_a_start(balancer: PackagedBalancer) -> set[str]:
    """Restart the unit and return the status lines that were seen until it was ready."""
    balancer.systemctl("stop")
    balancer.systemctl("start", "--no-block")
    lines: set[str] = set()

    def is_active() -> bool:
        lines.add(balancer.show("StatusText"))
        return balancer.show("ActiveState") == "active"

    balancer.wait(is_active, "active")
    return lines
