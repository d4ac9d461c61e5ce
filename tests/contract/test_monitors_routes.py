"""A server without a route is down for every kind of monitor: IPVS uses the same routes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pybal.monitors.kinds import KINDS
from tests.contract.test_monitors_all import Checked, KindCase
from tests.harness.guest import namespace
from tests.harness.kind_servers import SCRIPTED

ROUTES = ("unreachable", "prohibit", "blackhole", "none")
CAUSES = "host unreachable|network unreachable|prohibited by a route|discarded by a route"
SERVERS = {"192.0.2.7": "192.0.2.7/32", "2001:db8::7": "2001:db8::7/128"}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"RunCommand"}))
@pytest.mark.parametrize("host", SERVERS)
@pytest.mark.parametrize("route", ROUTES)
def test_server_without_a_route_is_down_with_the_command_to_see_it(
    kind: str, host: str, route: str, tmp_path: Path
) -> None:
    async def test(checked: Checked) -> None:
        checked.setup.host = host
        monitor = checked.start()
        report = await checked.setup.report()
        assert (report.up, monitor.up) == (False, False)
        assert re.search(rf": ({CAUSES}) \(see ip route get {host}\)", report.reason)
        assert checked.setup.engine.unanswered >= 1

    with namespace.fresh():
        if route != "none":
            subprocess.run(["ip", "route", "add", route, SERVERS[host]], check=True)
        KindCase(kind, SCRIPTED[kind](tmp_path)).run(test)
