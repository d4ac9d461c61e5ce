"""2023-04-17: a deployment goes on while a balancer restarts."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP, Host
from tests.harness.service_manager import ServiceManager
from tests.incidents.in_guest.deploy import deploy_site
from tests.incidents.replay import Balancer, replay

PORT = 80
NAMES = tuple(f"web{number}" for number in range(1, 7))
SLOW = 60.0
"""Timeout of the deploy tool in seconds; 5 of the real one, because a guest starts the daemon slowly."""


def test_20230417_restarts_and_a_crash_leave_no_server_depooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        replay("2023-04-17-deploy-balancer-restart", NAMES) as incident,
        deploy_site(incident.network, tmp_path) as site,
    ):
        lvs1 = incident.balancer("lvs1")
        lvs2 = incident.balancer("lvs2", site.second)
        client = incident.network.client
        incident.play("Before the deployment")
        incident.keep_pooled(lvs2, PORT, len(NAMES) - 1)
        restarted: list[str] = []

        def restart(host: str) -> int:
            assert host not in {*lvs1.destinations(PORT), *lvs2.destinations(PORT)}
            restarted.append(host)
            return 0

        with lvs1.host.entered(), RequestLoop(client, VIP, PORT) as clients:
            manager = systemd(lvs1, monkeypatch)
            # IPVS drops the packets of a server that has left: those of the request in progress, for each server that leaves.
            incident.keep_served(clients, but=len(NAMES))
            incident.invariants.add("port 9090 of lvs1 is open", lambda: refusal(client, lvs1.host))
            for number, host in enumerate(site.servers, 1):
                disturbance = {2: manager.restart, 4: manager.restart, 6: lambda: crash(manager)}.get(number)
                thread = threading.Thread(target=disturbance)
                thread.start()
                tool = site.deploy(host, lambda host=host: restart(host), retries=200, wait=0.2, timeout=SLOW)  # type: ignore[misc]
                assert (site.run(tool), tool.log) == (0, ["confirmed"] * 4)
                thread.join()
            assert restarted == list(site.servers)
            assert all(site.pooled().values())
            incident.play("The deployment")
            incident.play("After the deployment")
            answered = clients.answered
            wait_for(lambda: clients.more(answered + 20), lambda: "clients served")


def refusal(client: Host, balancer: Host) -> str:
    """Return how a balancer refuses a connection to port 9090; empty if it does not."""
    with client.entered():
        try:
            socket.create_connection((str(balancer.address), 9090), SLOW).close()
        except OSError as error:
            return repr(error)
    return ""


def crash(manager: ServiceManager) -> None:
    """Kill the daemon, and start it again as systemd does."""
    assert manager.daemon is not None
    manager.daemon.process.kill()
    manager.daemon.process.wait()
    manager.start()


def systemd(balancer: Balancer, monkeypatch: pytest.MonkeyPatch) -> ServiceManager:
    """Start the daemon under a service manager that keeps sockets; the thread is in its network."""
    for variable, place in ("RUNTIME_DIRECTORY", "run/pybal"), ("STATE_DIRECTORY", "var/lib/pybal"):
        (balancer.root / place).mkdir()
        monkeypatch.setenv(variable, str(balancer.root / place))
    balancer.shell("ln -s ../../etc/pybal/log /var/log/pybal.log")
    manager = ServiceManager(balancer.root / "etc/pybal", "http://127.0.0.1:9090")
    balancer.host.stack.callback(manager.close)
    manager.start()
    manager.wait_until_ready()
    return manager
