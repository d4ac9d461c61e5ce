"""A server that gets weight 0 under load, with each scheduler that hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from twisted.internet.task import Clock

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.diff import diff
from pybal.ipvs.model import Traffic, key_of
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.reconciler import Reconciler
from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import OpenConnection
from tests.harness.guest.network import VIP, LVSNetwork, lab
from tests.harness.immediate import result_of

HELD, NEW = 20, 60


@pytest.fixture
def network() -> Iterator[LVSNetwork]:
    """A network for each test, because a client port that is used again keeps its server for minutes."""
    with lab(3) as made:
        for server in made.servers:
            server.serve()
        yield made


class Director:
    """The daemon's writer of IPVS on the director of the network."""

    def __init__(self, network: LVSNetwork) -> None:
        self.network = network
        self._clock = Clock()
        backend = NetlinkBackend()
        backend.apply(diff({}, backend.table()))
        self._reconciler = Reconciler(backend, self._clock)

    def want(self, service: Service, *weights: int) -> None:
        with self.network.director.entered():
            addresses: Mapping[Address, int] = {
                server.address: weight for server, weight in zip(self.network.servers, weights, strict=True)
            }
            self._reconciler.want(service, addresses)
            self._clock.advance(0)
            assert self._reconciler.verified(service.name)

    def traffic(self) -> Mapping[str, Traffic]:
        """Return the traffic of each server, as the audit reads it."""
        names: Mapping[Address, str] = {
            server.address: f"server{number}" for number, server in enumerate(self.network.servers, 1)
        }
        with self.network.director.entered():
            comparison = result_of(self._reconciler.compare(key_of(web("wrr"))))
        assert comparison
        return {names[address]: traffic for (address, _), traffic in comparison.traffic}

    def new_connections(self, number: int = NEW) -> Counter[str]:
        """Return the responses to new connections, by server, or the name of the error."""
        found = Counter[str]()
        for _ in range(number):
            try:
                found[self.network.client.get(VIP)] += 1
            except OSError as error:
                found[type(error).__name__] += 1
        return found


@pytest.fixture
def director(network: LVSNetwork) -> Director:
    with network.director.entered():
        return Director(network)


def web(scheduler: str, *flags: str) -> Service:
    return Service("web", IPProtocol.TCP, VIP, 80, scheduler, flags)


@pytest.mark.parametrize(
    "service",
    [
        web("mh", "mh-port"),
        web("mh", "mh-port", "mh-fallback"),
        web("sh", "sh-port", "sh-fallback"),
        web("wrr"),
    ],
    ids=lambda service: " ".join((service.scheduler, *service.scheduler_flags)),
)
def test_weight_0_refuses_no_client_and_ends_no_connection(director: Director, service: Service) -> None:
    director.want(service, 10, 10, 10)
    held = [OpenConnection(director.network.client, VIP, 80) for _ in range(HELD)]
    director.want(service, 0, 10, 10)
    assert director.new_connections().keys() == {"server2", "server3"}
    servers = Counter(connection.answer() for connection in held)
    assert servers.total() == HELD
    assert servers["server1"], "some connections were with the server that got weight 0"
    director.want(service, 10, 10, 10)
    assert director.new_connections().keys() == {"server1", "server2", "server3"}


def test_scheduler_changed_to_mh_refuses_no_client_of_weight_0(director: Director) -> None:
    director.want(web("wrr"), 10, 10, 10)
    director.want(web("wrr"), 0, 10, 10)
    director.want(web("mh", "mh-port"), 0, 10, 10)
    assert director.new_connections().keys() == {"server2", "server3"}


def test_traffic_of_each_destination_is_read(director: Director) -> None:
    director.want(web("wrr"), 10, 10, 0)
    responses = director.new_connections()
    held = [OpenConnection(director.network.client, VIP, 80) for _ in range(HELD)]
    # The kernel sums up its counters every two seconds.
    wait_for(
        lambda: sum(each.connections for each in director.traffic().values()) == NEW + len(held), lambda: "no counters"
    )
    counted = director.traffic()
    for name in ("server1", "server2"):
        assert counted[name].active == HELD // 2
        assert counted[name].inactive > 0
        assert counted[name].connections == responses[name] + HELD // 2
        assert counted[name].packets > 2 * counted[name].connections
        assert counted[name].bytes > 40 * counted[name].packets
    assert counted["server3"] == Traffic(0, 0, 0, 0, 0)


def test_sh_without_fallback_refuses_clients_of_weight_0(director: Director) -> None:
    """The reason for the alert that names sh-fallback."""
    director.want(web("sh", "sh-port"), 10, 10, 10)
    director.want(web("sh", "sh-port"), 0, 10, 10)
    assert director.new_connections(300)["ConnectionRefusedError"]
