"""2015-11-18, LVS failover: the primaries are stopped, and three services are dead on the backups."""

from __future__ import annotations

from contextlib import ExitStack

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.function_server import FunctionServer
from tests.harness.guest.network import VIP
from tests.incidents.pair import Pair
from tests.incidents.replay import Balancer, replay

VIPS = (VIP, VIP + 1, VIP + 2, VIP + 3)
DEAD = VIPS[1:]
"""The VIPs of the services that are dead on the backup."""


def remove_services(balancer: Balancer) -> None:
    """Remove three services from IPVS as another program does."""
    balancer.host.run("ipvsadm", "-R", stdin="".join(f"-D -t {vip}:80\n" for vip in DEAD))


def services(balancer: Balancer) -> int:
    """Return how many services IPVS has."""
    return balancer.host.run("ipvsadm", "-Sn").count("-A ")


def test_20151118_dead_services_of_a_backup_are_seen_before_the_failover() -> None:
    with replay("2015-11-18-lvs-failover", ("web1", "web2")) as incident, ExitStack() as stack:
        for host in incident.network.servers:
            FunctionServer(host)
        pair = Pair(incident, VIPS)
        lvs1, lvs2 = pair.lvs1, pair.lvs2
        incident.play("The configuration")
        pair.configure_second()
        incident.play("Two balancers")
        pair.keep_announced()
        for vip in VIPS:
            clients = stack.enter_context(RequestLoop(incident.network.client, vip, every=0.2))
            incident.keep_served(clients, but=1)  # a request in progress at the failover

        remove_services(lvs2)
        wait_for(lambda: services(lvs2) == len(VIPS), lambda: f"no repair: {lvs2.log[-4000:]}")
        incident.play("Services vanish from the table of the backup")

        incident.play("The backup only reports")
        remove_services(lvs2)
        for name in ("api", "maps", "wiki"):
            incident.expect(lvs2, f"CRITICAL {name} not-in-ipvs: ", within=30)
        incident.play("Before the failover")
        assert services(lvs2) == len(VIPS) - len(DEAD)

        incident.play("The repair")
        for name in ("api", "maps", "wiki"):
            incident.expect_end(lvs2, name, within=30)
        incident.play("The failover")
        pair.wait_for_route(lvs2)
        answered = clients.answered
        wait_for(lambda: clients.more(answered + 10), lambda: "clients served")

        incident.play("The primary returns")
        pair.wait_for_route(lvs1)
