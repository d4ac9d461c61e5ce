"""2021-07-16, a rack switch: its servers die together, and disabled servers keep them pooled."""

from __future__ import annotations

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP
from tests.incidents.replay import replay

PORT = 80
RACK = ("a1", "a2")
NAMES = (*RACK, *(f"b{number}" for number in range(1, 9)), "old1", "old2")
FLOOR, LIVE = 10, 8
"""The floor of 12 servers, 0.8 of them, and the servers that remain: two are disabled and two die."""


def test_20210716_dead_rack_leaves_when_disabled_servers_are_removed() -> None:
    with replay("2021-07-16-rack-switch", NAMES) as incident:
        servers = incident.network.servers
        for server in servers:
            server.serve(PORT)
        dead = {str(server.address) for server in servers[: len(RACK)]}
        lvs1 = incident.balancer("lvs1")
        incident.play("Before the failure")
        incident.keep_pooled(lvs1, PORT, LIVE)

        def switch(state: str) -> None:
            incident.network.switch.ip(*(f"link set to-{server.name} {state}" for server in servers[: len(RACK)]))

        with RequestLoop(incident.network.client, VIP, PORT, timeout=1.0) as clients:
            wait_for(lambda: clients.more(20), lambda: "clients served")
            assert clients.failures == []
            # Eight of ten connections reach a server that works.
            incident.invariants.add(
                "clients served", lambda: "" if _is_mostly_served(clients) else f"{len(clients.failures)} failures"
            )

            switch("down")
            incident.expect(lvs1, "CRITICAL web pooled-down: 2 of 12 servers down but pooled: ")
            incident.play("The switch dies")
            assert dead < {*lvs1.destinations(PORT)}
            assert len(lvs1.destinations(PORT)) == FLOOR

            incident.play("Another threshold")

            incident.play("Disabled servers leave the list")
            assert not dead & {*lvs1.destinations(PORT)}
            failed, answered = len(clients.failures), clients.answered
            wait_for(lambda: clients.answered > answered + 40, lambda: f"clients served: {clients.failures}")
            # A request may have been in progress.
            assert len(clients.failures) <= failed + 1

            switch("up")
            incident.expect_end(lvs1, "web")
            incident.play("A new switch")
            assert dead < {*lvs1.destinations(PORT)}


def _is_mostly_served(clients: RequestLoop) -> bool:
    return len(clients.failures) <= 0.4 * clients.answered
