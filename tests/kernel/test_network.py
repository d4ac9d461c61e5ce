"""The test network itself: requests reach the servers with every forwarding method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.diff import diff
from pybal.ipvs.model import entry
from pybal.ipvs.netlink import NetlinkBackend
from tests.harness.guest.network import VIP, VIP6, LVSNetwork, lab


@pytest.fixture(scope="module")
def small_network() -> Iterator[LVSNetwork]:
    with lab() as made:
        for server in made.servers:
            server.serve()
        yield made


@pytest.fixture
def director(small_network: LVSNetwork) -> Iterator[NetlinkBackend]:
    backend = NetlinkBackend()
    with small_network.director.entered():
        backend.apply(diff({}, backend.table()))
    yield backend
    backend.close()


@pytest.mark.parametrize("tunneling", [False, True], ids=["direct", "tunnel"])
@pytest.mark.parametrize("vip", [VIP, VIP6], ids=str)
def test_requests_to_a_vip_are_balanced_over_its_destinations(
    small_network: LVSNetwork, director: NetlinkBackend, vip: Address, tunneling: bool
) -> None:
    service = Service("web", IPProtocol.TCP, vip, 80, "rr", tunneling=tunneling)
    addresses = [server.address if vip is VIP else server.address6 for server in small_network.servers]
    assert director.apply(diff({entry(service, {}).service.key: entry(service, dict.fromkeys(addresses, 1))}, {})) == ()
    answers = Counter(small_network.client.get(vip) for _ in range(20))
    assert answers == {"server1": 10, "server2": 10}


@pytest.mark.parametrize("vip", [VIP, VIP6], ids=str)
def test_tunnel_reaches_servers_of_the_other_family(
    small_network: LVSNetwork, director: NetlinkBackend, vip: Address
) -> None:
    service = Service("web", IPProtocol.TCP, vip, 80, "rr", tunneling=True)
    addresses = [server.address6 if vip is VIP else server.address for server in small_network.servers]
    assert director.apply(diff({entry(service, {}).service.key: entry(service, dict.fromkeys(addresses, 1))}, {})) == ()
    assert Counter(small_network.client.get(vip) for _ in range(20)) == {"server1": 10, "server2": 10}


def test_stopped_server_refuses_and_restarted_server_responds(small_network: LVSNetwork) -> None:
    server = small_network.servers[0].serve(8080)
    assert small_network.client.get(small_network.servers[0].address, 8080) == "server1"
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        small_network.client.get(small_network.servers[0].address, 8080)
    server.start()
    assert small_network.client.get(small_network.servers[0].address6, 8080) == "server1"
    server.stop()


def test_process_runs_on_its_host(small_network: LVSNetwork) -> None:
    assert "10.0.0.12/24" in small_network.servers[1].run("ip", "-br", "address")
    process = small_network.servers[1].popen(["ip", "-br", "address"], stdout=-1)
    assert b"10.0.0.12/24" in process.communicate()[0]
