"""2023-05-25: a deployment goes on while the port of a balancer is closed."""

from __future__ import annotations

from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP
from tests.harness.tools.safe_service_restart import NOT_VERIFIED
from tests.incidents.in_guest.deploy import deploy_site
from tests.incidents.replay import replay

PORT = 80
NAMES = tuple(f"web{number}" for number in range(1, 7))
FLOOR = 3


def test_20230525_deployment_without_a_balancer_stops_at_the_admin_floor(tmp_path: Path) -> None:
    restarted: list[str] = []

    def restart(host: str) -> int:
        restarted.append(host)
        return 0

    with replay("2023-05-25-deploy-balancer-down", NAMES) as incident, deploy_site(incident.network, tmp_path) as site:
        incident.balancer("lvs1")
        lvs2 = incident.balancer("lvs2", site.second)
        incident.play("Before the deployment")
        incident.keep_pooled(lvs2, PORT, FLOOR)
        with RequestLoop(incident.network.client, VIP, PORT) as clients:
            # IPVS drops the packets of a server that has left: those of the request in progress, for each server that leaves.
            incident.keep_served(clients, but=len(NAMES) - FLOOR + 1)
            incident.play("A balancer is stopped")

            for host in site.servers:
                tool = site.deploy(host, lambda host=host: restart(host))  # type: ignore[misc]
                assert site.run(tool) == NOT_VERIFIED
            assert not any(site.pooled().values())
            assert restarted == []
            incident.expect(lvs2, "WARNING web source: ")
            incident.play("The deployment")
            assert len(lvs2.destinations(PORT)) == FLOOR
            answered = clients.answered
            wait_for(lambda: clients.more(answered + 20), lambda: "clients served")

            incident.play("The balancer is back")
            site.pool()
            incident.expect_end(lvs2, "web")
            incident.play("The servers are pooled again")
            assert len(lvs2.destinations(PORT)) == len(NAMES)

            first = next(iter(site.servers))
            tool = site.deploy(first, lambda: restart(first), retries=100, wait=0.5, timeout=60)
            assert (site.run(tool), tool.log, restarted) == (0, ["confirmed"] * 4, [first])
