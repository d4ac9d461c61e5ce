"""Names of all servers move to a dead address: clients are served, also over a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from tests.harness.daemon_process import Daemon, daemon
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP, Host, lab

ENDPOINT = "http://127.0.0.1:9090"
DEAD = "10.0.0.99"
CONF = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']

[web]
protocol = tcp
ip = {vip}
port = 80
scheduler = wrr
config = file://{directory}/web.pool
dns-move-wait = {wait}
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 1
proxyfetch.timeout = 3
"""
HAS_OWN_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


class NamedServers:
    """Real servers with names, and the hosts file that only the daemon has."""

    def __init__(self, directory: Path, servers: tuple[Host, ...], wait: int = 60) -> None:
        self.names = {f"{server.name}.example": str(server.address) for server in servers}
        self.hosts = directory / "hosts"
        self._directory = directory
        (directory / "pybal.conf").write_text(CONF.format(vip=VIP, directory=directory, wait=wait))
        (directory / "web.pool").write_text("".join(f"{{'host': '{name}'}}\n" for name in self.names))
        self.move(self.names)

    def move(self, addresses: Mapping[str, str]) -> None:
        """Set the addresses of the names; the file stays the same for the mount."""
        self.hosts.write_text("".join(f"{address} {name}\n" for name, address in addresses.items()))

    @contextmanager
    def process(self) -> Iterator[Daemon]:
        prefix = ("unshare", "--mount", "sh", "-c", HAS_OWN_HOSTS, str(self.hosts))
        with daemon(self._directory, prefix=prefix, endpoint=ENDPOINT) as process:
            yield process

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        with self.process() as process:
            process.wait(lambda: process.get("/pools/web").count("/up/pooled") == len(self.names), "all pooled")
            process.wait(lambda: len(destinations(process)) == len(self.names), "all in the table")
            yield process


def destinations(running: Daemon) -> set[str]:
    """Return the addresses in the kernel's table."""
    table = cast("list[dict[str, list[dict[str, str]]]]", running.get_json("/v1/ipvs"))
    return {each["address"] for entry in table for each in entry["destinations"]}


def test_clients_are_served_while_all_names_have_a_dead_address(tmp_path: Path) -> None:
    with lab(3) as network, network.director.entered():
        for server in network.servers:
            server.serve()
        *first, spare = network.servers
        site = NamedServers(tmp_path, tuple(first))
        before = {str(server.address) for server in first}
        with site.running() as process, RequestLoop(network.client, VIP) as clients:
            site.move(dict.fromkeys(site.names, DEAD))
            process.wait(lambda: process.get("/v1/alerts").count(" dns-move: ") == len(first), "alerts of the moves")
            answered = clients.answered
            process.wait(lambda: clients.more(answered + 50), "more responses")
            assert (destinations(process), clients.failures) == (before, [])

            one, other = site.names
            site.move({one: str(spare.address), other: site.names[other]})
            expected = {str(spare.address), site.names[other]}
            process.wait(lambda: destinations(process) == expected, "the address that passed its checks")
            process.wait(lambda: " dns-move: " not in process.get("/v1/alerts"), "the end of the alerts")
            answered = clients.answered
            process.wait(lambda: clients.more(answered + 50), "more responses")
        # The kernel drops packets of connections to a removed address: the request in progress at the swap may be lost.
        assert len(clients.failures) <= 1


def test_restart_during_a_move_keeps_the_addresses_in_the_table(tmp_path: Path) -> None:
    with lab(2) as network, network.director.entered():
        for server in network.servers:
            server.serve()
        site = NamedServers(tmp_path, network.servers, wait=3)
        before = {str(server.address) for server in network.servers}
        with site.running():
            pass
        site.move(dict.fromkeys(site.names, DEAD))
        with site.process() as process, RequestLoop(network.client, VIP) as clients:
            process.wait(
                lambda: process.get("/v1/alerts").count("counting as down") == len(before), "the end of the wait"
            )
            process.wait(lambda: clients.more(50), "responses")
            assert (destinations(process), clients.failures) == (before, [])
            site.move(site.names)
            process.wait(lambda: process.get("/pools/web").count("/up/pooled") == len(before), "all pooled again")
            assert (destinations(process), clients.failures) == (before, [])
