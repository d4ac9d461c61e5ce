"""The enabled unit at boot, with an etcd that does not respond.

systemd stops all units of the guest after these tests.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.packaged_balancer import UNIT, attempt, run, show

STATUS = re.compile(r"2 services \(1 without a server list\), 1 of 1 server serving, 1 of [12] VIPs? announced, [1-9]")
ROUTES = ("birdc", "-s", "/run/bird-router.ctl", "show", "route")


def test_dead_etcd_does_not_block_the_boot() -> None:
    # The guest runs this after multi-user.target, which waits until the daemon is ready.
    assert run("systemctl", "is-active", "multi-user.target", UNIT) == "active\nactive\n"
    assert run("systemctl", "list-jobs", "--no-legend").split() == []


def test_vip_of_another_source_is_announced_while_etcd_is_dead() -> None:
    wait_for(lambda: "10.2.1.1/32" in attempt(*ROUTES).stdout, lambda: run("pybal", "status"))
    routes = run(*ROUTES)
    assert "10.2.1.2/32" not in routes
    Path("/host/routes-before-the-end").write_text(routes)


def test_status_line_counts_the_service_without_a_list() -> None:
    wait_for(lambda: STATUS.match(show("StatusText")), lambda: show("StatusText"))
