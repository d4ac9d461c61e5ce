"""The whole system in one kernel: balancers, routers, etcd, a name server, servers and clients.

    client1 ── bird ─┬─ balancer1 ─┬─ server1 … server4
    client2 ── frr ──┴─ balancer2 ─┘
                          │
                etcd1 etcd2 etcd3, names (unbound)

All hosts are on one switch. Each VIP has a preferred balancer, by its MED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from tests.chaos.faulty_servers import FaultyServer, Mode
from tests.chaos.whole_system.balancer import Balancer
from tests.chaos.whole_system.etcd import EtcdCluster
from tests.harness.daemon_process import wait_for
from tests.harness.guest.network import Host, LVSNetwork, lab
from tests.harness.guest.program import HostProgram
from tests.harness.guest.router import BirdRouter, FrrRouter
from tests.harness.hung_names import SWITCH, HungNames
from tests.harness.list_line import Line, pool_file
from tests.harness.servers import unbound
from tests.harness.servers.process import accepts

SERVERS = 4
VIPS = {"web": IPv4Address("10.2.1.1"), "api": IPv4Address("10.2.1.2"), "files": IPv4Address("10.2.1.3")}
"""The VIP of each service: ``web`` has its list in etcd by API v2, ``api`` by v3, ``files`` in a file."""
PREFERRED = {"web": 1, "api": 2, "files": 1}
"""The number of the balancer with the lower MED for each service."""
PASSWORD = "first-Secret"
TTL = 10
"""Time to live of addresses, in seconds."""

Router = BirdRouter | FrrRouter


class Site:
    """Everything that a run changes; the balancers are not started."""

    def __init__(self, network: LVSNetwork, directory: Path) -> None:
        self.directory = directory
        self.network = network
        self._password = directory / "md5"
        second = network.add("balancer2", 4)
        self.clients = (network.client, network.add("client2", 6))
        self.names = self._name_server(network.add("names", 53))
        self.servers = {
            f"s{n}.test": FaultyServer("", 80, partial(bytes, host.name, "ascii"), host.entered)
            for n, host in enumerate(network.servers, 1)
        }
        self.addresses = dict(zip(self.servers, (str(host.address) for host in network.servers), strict=True))
        hosts = (network.director, second)
        for host in (*hosts, *network.servers):
            host.ip(*(f"addr replace {vip}/32 dev lo" for vip in VIPS.values()))
        self.etcd = EtcdCluster([network.add(f"etcd{n}", 20 + n) for n in (1, 2, 3)], directory)
        self.routers: Mapping[str, Router] = {
            "bird": BirdRouter(network.add("bird", 3), self._place("bird"), hosts, password=PASSWORD, hold_time=30),
            "frr": FrrRouter(network.add("frr", 5), self._place("frr"), hosts, password=PASSWORD, hold_time=30),
        }
        for client, router in zip(self.clients, self.routers.values(), strict=True):
            client.ip(*(f"route replace {vip}/32 via {router.host.address}" for vip in VIPS.values()))
        self._password.write_text(f"{PASSWORD}\n")
        self.name_service = HungNames(self._place("nss"))
        Path("/etc/nsswitch.conf").write_text(SWITCH)
        self.balancers = tuple(
            Balancer(
                f"balancer{n}",
                host,
                self._place(f"balancer{n}"),
                self._conf(n, host),
                self.name_service.variable,
            )
            for n, host in enumerate(hosts, 1)
        )
        self.lists = {name: {host: Line() for host in self.servers} for name in VIPS}
        self.write_lists()

    def start(self, balancer: Balancer) -> None:
        """Start a balancer and wait until every router has its routes to every VIP.

        Starts at the same time would take longer than ExaBGP may take on a slow machine.
        """
        balancer.start()

        def announced() -> bool:
            return all(len(router.routes(balancer.host)) == len(VIPS) for router in self.routers.values())

        wait_for(announced, lambda: balancer.daemon.log)

    def serving(self, name: str) -> Mapping[str, int]:
        """Return the weight of each server of a service that is enabled and serves, by address."""
        return {
            self.addresses[host]: line.weight
            for host, line in self.lists[name].items()
            if line.enabled and self.servers[host].mode is Mode.SERVING
        }

    def write_lists(self) -> None:
        """Write the list of each service, in etcd or in its pool file."""
        for name in VIPS:
            for host in self.servers:
                self.write_line(name, host)

    def write_line(self, name: str, host: str) -> None:
        """Write what the list of a service says about a server."""
        lines = self.lists[name]
        if name == "files":
            text = pool_file({address: lines[each] for each, address in self.addresses.items()})
            (self.directory / "new").write_text(text)
            (self.directory / "new").replace(self.directory / "files.pool")
        else:
            self.etcd.put(f"/pools/{name}/{host}", lines[host].value)

    def _place(self, name: str) -> Path:
        place = self.directory / name
        place.mkdir()
        return place

    def _name_server(self, host: Host) -> HostProgram:
        records = [f"s{n}.test. {TTL} IN A {server.address}" for n, server in enumerate(self.network.servers, 1)]
        place = self._place("names")
        command = unbound.command(place, 53, records, [str(host.address), "127.0.0.1"])
        program = HostProgram(host, command, place, partial(accepts, 53))
        program.start()
        resolver = Path("/etc/resolv.conf")
        resolver.unlink(missing_ok=True)
        resolver.write_text(f"nameserver {host.address}\n")
        return program

    def _conf(self, number: int, host: Host) -> str:
        """Return the configuration of a balancer."""
        place = self.directory / f"balancer{number}"
        text = _GLOBAL.format(balancer=host.address, directory=place, password=self._password)
        text += "".join(_PEER.format(name=name, router=router.host.address) for name, router in self.routers.items())
        text += f"\n[etcd {self.etcd.authority}]\ntls = no\n"
        urls = {
            "web": f"etcd://{self.etcd.authority}/pools/web/",
            "api": f"etcd://{self.etcd.authority}/pools/api/?api=3",
            "files": f"file://{self.directory}/files.pool",
        }
        for name, vip in VIPS.items():
            text += _SERVICE.format(name=name, vip=vip, url=urls[name], med=0 if PREFERRED[name] == number else 100)
        return text


@contextmanager
def running_site(directory: Path) -> Iterator[Site]:
    """Run the whole system; its balancers are announced."""
    with lab(SERVERS) as network:
        site = Site(network, directory)
        try:
            for balancer in site.balancers:
                site.start(balancer)
            yield site
        finally:
            for balancer in site.balancers:
                balancer.end()
            for server in site.servers.values():
                server.change(Mode.STOPPED)


_GLOBAL = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
control-socket = {directory}/run/control.sock
control-group = adm
bgp = yes
bgp-local-asn = 64600
bgp-peer-asn = 64601
bgp-local-address = {balancer}
bgp-nexthop-ipv4 = {balancer}
bgp-hold-time = 30
bgp-md5-password-file = {password}
ipvs-audit-interval = 5
ipvs-remove-grace = 5
journal = yes
journal-size = 10
max-blast-radius = 1
"""
_PEER = """
[bgp {name}]
bgp-peer-address = {router}
"""
_SERVICE = """
[{name}]
protocol = tcp
ip = {vip}
port = 80
scheduler = mh
scheduler-flag = mh-port
config = {url}
bgp-med = {med}
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 4
idleconnection.timeout-clean-reconnect = 1
idleconnection.max-delay = 5
idleconnection.timeout = 5
"""
