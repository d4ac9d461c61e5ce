"""A site for deployments: two balancers, servers whose states are in etcd, and the deploy tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.harness.guest.network import VIP, Host, LVSNetwork
from tests.harness.servers.etcd import Etcd, etcd
from tests.harness.tools.balancer import DIRECTORY
from tests.harness.tools.safe_service_restart import SafeServiceRestart

POOL = f"{DIRECTORY}/web"


class DeploySite:
    """The hosts of a deployment; ``second`` is the second balancer, and has the traffic."""

    def __init__(self, network: LVSNetwork, store: Host, source: Etcd) -> None:
        self.servers = {str(server.address): server.serve() for server in network.servers}
        self.second = network.add("lvs2", 4)
        self.second.ip(f"addr add {VIP}/32 dev lo")
        self._client = network.client
        self._client.ip(f"route replace {VIP}/32 via {self.second.address}")
        self._balancers = (network.director, self.second)
        self._store = store
        self._source = source

    def pool(self, *hosts: str, value: str = "yes") -> None:
        """Set servers, by default all, to ``yes`` or ``no``, as confctl does."""
        for host in hosts or self.servers:
            self._put(host, value)

    def pooled(self) -> Mapping[str, bool]:
        """Return for each server whether etcd has it with ``yes``."""
        with self._store.entered():
            nodes = self._source.v2("GET", POOL)["node"]["nodes"]
        return {node["key"].rpartition("/")[2]: '"yes"' in node["value"] for node in nodes}

    def deploy(self, host: str, restart: Callable[[], int], **options: float) -> SafeServiceRestart:
        """Return the deploy tool for a server, which asks both balancers."""
        urls = [f"http://{balancer.address}:9090/pools/web/{host}" for balancer in self._balancers]
        return SafeServiceRestart(
            urls,
            lambda: self.pooled()[host],
            lambda value: self._put(host, value),
            restart,
            **options,  # type: ignore[arg-type]
        )

    def run(self, tool: SafeServiceRestart) -> int:
        """Run the deploy tool, on the host of the clients."""
        with self._client.entered():
            return tool.run()

    def _put(self, host: str, value: str) -> None:
        with self._store.entered():
            self._source.put(f"{POOL}/{host}", f'{{"weight": 10, "pooled": "{value}"}}')


@contextmanager
def deploy_site(network: LVSNetwork, directory: Path) -> Iterator[DeploySite]:
    """Make the site on a network; all servers are pooled."""
    store = network.add("etcd1", 20)
    with store.entered():
        source = etcd(directory, port=2379, address=str(store.address))
        source.server.start()
    network.client.stack.callback(source.server.stop)
    site = DeploySite(network, store, source)
    site.pool()
    yield site
