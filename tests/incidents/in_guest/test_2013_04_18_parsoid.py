"""2013-04-18, Parsoid: complete responses on connections that are never closed."""

from __future__ import annotations

import socket

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.function_server import FunctionServer, page, response
from tests.harness.guest.network import VIP
from tests.incidents.replay import replay

PORT = 8000
NAMES = ("parsoid1", "parsoid2", "parsoid3", "parsoid4")
FLOOR = 2
"""Half of the servers."""


class Parsoid(FunctionServer):
    """A Parsoid: ``/`` is what is checked, all other paths are what clients request."""

    checked = 0

    def keep_open(self, text: bytes) -> None:
        """Respond to ``/`` with ``text``, and then wait for the client to close."""
        self.checked = 0

        def serve(connection: socket.socket, path: str) -> None:
            connection.sendall(text if path == "/" else page(self.host))
            if path == "/":
                self.checked += 1
                connection.recv(1)

        self.serve = serve

    def close_connections(self) -> None:
        """Respond to all paths alike, and close."""
        self.serve = lambda connection, _: connection.sendall(page(self.host))


def test_20130418_check_that_never_ends_says_where_and_costs_no_client() -> None:
    with replay("2013-04-18-parsoid", NAMES) as incident:
        servers = [Parsoid(host, PORT) for host in incident.network.servers]
        lvs1 = incident.balancer("lvs1")
        incident.play("Before the change")
        incident.keep_pooled(lvs1, PORT, FLOOR)
        with RequestLoop(incident.network.client, VIP, PORT, path="/page") as clients:
            # IPVS drops the packets of a server that has left, with those of the request in progress: two servers leave with the
            # failures, and two forced ones when the others have recovered.
            incident.keep_served(clients, but=4)

            for server in servers:
                server.keep_open(page(server.host))
            wait_for(lambda: all(server.checked > 1 for server in servers), lambda: "two checks of each server")
            incident.play("Connections that stay open")
            assert len(lvs1.destinations(PORT)) == len(servers)

            for server in servers:
                server.keep_open(response("200 OK", "parsoid web service"))
            incident.expect(lvs1, "CRITICAL parsoid pooled-down: 2 of 4 servers down but pooled: ", within=30)
            incident.expect(lvs1, "WARNING parsoid suspect-check: 4 of 4 servers began to fail ProxyFetch", within=30)
            incident.play("Responses without an end")
            answered = clients.answered
            wait_for(lambda: clients.more(answered + 20), lambda: "clients served")

            for server in servers:
                server.close_connections()
            incident.expect_end(lvs1, "parsoid", within=30)
            incident.play("After the repair")
        assert len(lvs1.destinations(PORT)) == len(servers)
