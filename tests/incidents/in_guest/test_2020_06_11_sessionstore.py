"""2020-06-11, sessionstore: servers flap; both balancers report servers down but pooled."""

from __future__ import annotations

import socket
import threading

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.function_server import FunctionServer, page
from tests.harness.guest.network import VIP, Host
from tests.incidents.pair import Pair
from tests.incidents.replay import replay

PORT = 8081
SERVICE = "sessionstore_8081"
NAMES = ("sessionstore1", "sessionstore2", "sessionstore3")
FLOOR = 2
"""Half of three servers, rounded up."""


class Sessionstore(FunctionServer):
    """A server that stops to respond while it lacks memory; its kernel still accepts connections."""

    def __init__(self, host: Host) -> None:
        self._memory = threading.Event()
        super().__init__(host, PORT, self._serve)
        self.recover()

    def stall(self) -> None:
        self._memory.clear()

    def recover(self) -> None:
        self._memory.set()

    def _serve(self, connection: socket.socket, _: str) -> None:
        self._memory.wait()
        connection.sendall(page(self.host))


def test_20200611_flapping_servers_stay_at_the_floor_on_both_balancers() -> None:
    with replay("2020-06-11-sessionstore", NAMES) as incident:
        first, second, third = servers = [Sessionstore(host) for host in incident.network.servers]
        pair = Pair(incident, [VIP])
        balancers = pair.lvs1, pair.lvs2
        incident.play("The configuration")
        pair.configure_second()
        incident.play("Two balancers")
        pair.keep_announced()
        for balancer in balancers:
            incident.keep_pooled(balancer, PORT, FLOOR)
        with RequestLoop(incident.network.client, VIP, PORT, timeout=1, every=0.2) as clients:
            incident.keep_answering(clients, seconds=15)

            first.stall()
            for balancer in balancers:
                incident.expect(balancer, f"WARNING {SERVICE} down: 1 of 3 servers down and not pooled: ", within=30)
            incident.play("The first server stalls")

            second.stall()
            for balancer in balancers:
                incident.expect(
                    balancer, f"CRITICAL {SERVICE} pooled-down: 1 of 3 servers down but pooled: ", within=30
                )
            incident.play("A second server stalls")

            for stalls, recovers in ((third, first), (first, second), (second, third)):
                recovers.recover()
                for balancer in balancers:
                    incident.expect_end(balancer, f"{SERVICE} pooled-down:", within=30)
                stalls.stall()
                for balancer in balancers:
                    incident.expect(balancer, f"CRITICAL {SERVICE} pooled-down: 1 of 3 ", within=30)
            incident.play("The servers flap")

            for server in servers:
                server.recover()
            for balancer in balancers:
                incident.expect_end(balancer, SERVICE, within=30)
            incident.play("Recovery")
            failed, answered = len(clients.failures), clients.answered
            wait_for(lambda: clients.answered > answered + 30, lambda: f"clients served: {clients.failures}")
            assert len(clients.failures) == failed
        assert [len(balancer.destinations(PORT)) for balancer in balancers] == [3, 3]
