"""2015-06-13, esams: the checked URL becomes a redirect, and an edit of the pool empties it."""

from __future__ import annotations

import socket

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.function_server import FunctionServer, page, response
from tests.harness.guest.network import VIP
from tests.incidents.replay import DOMAIN, replay

NAMES = ("text1", "text2", "text3", "text4")
FLOOR = 2
"""Half of four servers, and of three."""


def redirect(server: FunctionServer) -> None:
    """Respond to ``/check`` with a redirect, and to all other paths as before."""
    moved = response("301 Moved Permanently", "", "Location: https://www.example.org/check", "Content-Length: 0")

    def serve(connection: socket.socket, path: str) -> None:
        connection.sendall(moved if path == "/check" else page(server.host))

    server.serve = serve


def test_20150613_edit_of_a_pool_that_is_all_down_empties_nothing() -> None:
    with replay("2015-06-13-esams", NAMES) as incident:
        servers = [FunctionServer(host) for host in incident.network.servers]
        lvs1 = incident.balancer("lvs1")
        incident.play("Before the change")
        incident.keep_pooled(lvs1, 80, FLOOR)
        with RequestLoop(incident.network.client, VIP, path="/page") as clients:
            # IPVS drops the packets of a server that has left, with those of the request in progress: two servers leave with the
            # failures, one with the edit, and a forced one when the others have recovered.
            incident.keep_served(clients, but=4)

            for server in servers:
                redirect(server)
            incident.expect(lvs1, "CRITICAL text pooled-down: 2 of 4 servers down but pooled: ", within=30)
            incident.expect(lvs1, "WARNING text suspect-check: 4 of 4 servers began to fail ProxyFetch", within=30)
            incident.play("The URL becomes a redirect")

            # The worst case: the edit removes a server that the floor keeps in the pool.
            forced = lvs1.destinations(80)[0]
            gone = next(
                name for name, host in zip(NAMES, incident.network.servers, strict=True) if str(host.address) == forced
            )
            lvs1.shell(f"sed -i /{gone}.{DOMAIN}/d /etc/pybal/pools/text")
            wait_for(lambda: forced not in lvs1.destinations(80), lambda: f"{gone} out of the pool")
            incident.expect(lvs1, "CRITICAL text pooled-down: 2 of 3 servers down but pooled: ", within=30)
            incident.play("An unrelated edit")
            incident.play("A restart")
            answered = clients.answered
            wait_for(lambda: clients.more(answered + 20), lambda: "clients served")

            incident.play("The repair of the check")
            incident.expect_end(lvs1, "text", within=30)
        assert len(lvs1.destinations(80)) == len(servers) - 1
