"""2022-09-08: a member of etcd is partitioned while operators depool servers, and catches up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP
from tests.harness.servers.conftool import DIRECTORY, Conftool
from tests.harness.servers.etcd import Cluster
from tests.incidents.replay import replay

PORT = 80
NAMES = tuple(f"web{number}" for number in range(1, 7))
HALF = 3
SLOW = ("--heartbeat-interval=500", "--election-timeout=5000")
"""Options of etcd, whose members elect a new leader if a slow guest delays their heartbeats."""


def test_20220908_stale_store_and_half_a_fleet_disabled_are_alerts(tmp_path: Path) -> None:
    with replay("2022-09-08-stale-store", NAMES) as incident:
        hosts = [str(server.address) for server in incident.network.servers]
        for server in incident.network.servers:
            server.serve(PORT)
        store = incident.network.add("etcd1", 20)
        with (
            store.entered(),
            Cluster(tmp_path, port=2379, address=str(store.address), options=SLOW) as cluster,
            Conftool(tmp_path, cluster.members[1]) as conftool,
        ):
            stale = cluster.members[0]

            def change(hosts: Sequence[str], value: str) -> None:
                for host in hosts:
                    cluster.members[1].put(f"{DIRECTORY}/web/{host}", f'{{"weight": 10, "pooled": "{value}"}}')

            change(hosts, "yes")
            lvs1 = incident.balancer("lvs1")
            incident.play("Before the failure")
            incident.keep_pooled(lvs1, PORT, HALF)
            with RequestLoop(incident.network.client, VIP, PORT) as clients:
                # IPVS drops the packets of a server that has left: those of the request in progress, for each server that leaves.
                incident.keep_served(clients, but=2 * HALF)

                cluster.isolate(stale)
                incident.expect(lvs1, "WARNING web source: ")
                for host in hosts[:HALF]:
                    conftool.set("web", host, "pooled=no")
                incident.play("The store is stale")
                assert sorted(lvs1.destinations(PORT)) == hosts

                cluster.join()
                incident.expect(lvs1, "WARNING web disabled: only 3 of 6 servers enabled")
                incident.play("The store catches up")
                assert sorted(lvs1.destinations(PORT)) == hosts[HALF:]

                change(hosts[:HALF], "yes")
                wait_for(lambda: sorted(lvs1.destinations(PORT)) == hosts, lambda: "all servers in IPVS")
                incident.expect_end(lvs1, "web")
