"""A real Icinga 2 runs check_pybal by the shipped definitions, and has the state of a real daemon."""

from __future__ import annotations

import shutil

import pytest

from tests.harness.servers.icinga import icinga
from tests.harness.watched_balancer import WatchedBalancer

pytestmark = pytest.mark.skipif(not shutil.which("icinga2"), reason="needs icinga2 (Debian's icinga2-bin)")


def test_icinga_has_the_state_of_every_mode(balancer: WatchedBalancer) -> None:
    with icinga() as running:
        found = running.wait_for_states(
            pybal_alerts="OK", pybal_bgp="OK", pybal_config="OK", pybal_ipvs_diff="OK", pybal_sources="OK", users="OK"
        )
        assert found["pybal-alerts"].output == "PYBAL OK - no alerts"
        assert found["pybal-bgp"].figures.startswith("sessions=1;1:;1:;0;1 announced=2;;;0;2 time=0.")
        assert found["users"].output == "PYBAL OK - OK - All pools are healthy"

        balancer.router.run("disable", "balancer")
        balancer.pybal("freeze")
        balancer.conf.write_text(balancer.conf.read_text() + "# edited\n")
        balancer.list_servers("api")
        balancer.servers["127.0.1.1"].stop()
        for text in ("no-session", "config: ", "refused an empty server list", "web down"):
            balancer.wait_for_alert(text)
        found = running.wait_for_states(
            pybal_alerts="CRITICAL",
            pybal_bgp="CRITICAL",
            pybal_config="WARNING",
            pybal_ipvs_diff="CRITICAL",
            pybal_sources="WARNING",
            users="OK",
        )
        assert found["pybal-alerts"].output.startswith("PYBAL CRITICAL - pybal bgp, ")
        assert found["pybal-ipvs-diff"].output.startswith("PYBAL CRITICAL - 1 service differs in IPVS: web \nweb (tcp ")

        balancer.running.stop()
        unknown = dict.fromkeys(
            ("pybal_alerts", "pybal_bgp", "pybal_config", "pybal_ipvs_diff", "pybal_sources"), "UNKNOWN"
        )
        found = running.wait_for_states(users="UNKNOWN", **unknown)
        refused = "PYBAL UNKNOWN - 127.0.0.1 port 9090, /v1/bgp: Connection refused"
        assert found["pybal-bgp"].output == refused
