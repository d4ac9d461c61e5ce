"""Client, director and real servers in one kernel: decisions judged by the responses of clients."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybal.core.model import Address
from tests.harness.daemon_process import Daemon, WebServer, daemon, wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import VIP, VIP6, Host, LVSNetwork, lab

ENDPOINT = "http://127.0.0.1:9090"

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']

[web]
protocol = tcp
ip = {vip}
port = 80
scheduler = wrr
tunneling = {tunneling}
config = file://{directory}/web.pool
depool-threshold = .5
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 1
proxyfetch.timeout = 3
idleconnection.max-delay = 1
idleconnection.timeout-clean-reconnect = 1
"""


@dataclass(frozen=True)
class Forwarding:
    """A forwarding method from the director to a server."""

    vip: Address
    tunneling: bool
    ipv4_servers: bool

    def address(self, server: Host) -> Address:
        return server.address if self.ipv4_servers else server.address6


FORWARDINGS = {
    "IPv4 by direct routing": Forwarding(VIP, tunneling=False, ipv4_servers=True),
    "IPv6 by direct routing": Forwarding(VIP6, tunneling=False, ipv4_servers=False),
    "IPv4 through IPIP": Forwarding(VIP, tunneling=True, ipv4_servers=True),
    "IPv6 through IPv6": Forwarding(VIP6, tunneling=True, ipv4_servers=False),
    "IPv6 through IPv4": Forwarding(VIP6, tunneling=True, ipv4_servers=True),
}
DIRECT = FORWARDINGS["IPv4 by direct routing"]


class ConfiguredDirector:
    """A network whose director has a pybal.conf and a pool file; the thread is on the director."""

    def __init__(self, made: LVSNetwork, directory: Path, forwarding: Forwarding) -> None:
        self.lab = made
        self.directory = directory
        self.forwarding = forwarding
        self.web: Mapping[str, WebServer] = {server.name: server.serve() for server in made.servers}
        conf = CONF.format(vip=forwarding.vip, tunneling="yes" if forwarding.tunneling else "no", directory=directory)
        (directory / "pybal.conf").write_text(conf)
        self.pool(*made.servers)

    def pool(self, *servers: Host, weights: Mapping[str, int] | None = None, disabled: tuple[Host, ...] = ()) -> None:
        """Write the pool file."""
        lines = [
            {
                "host": str(self.forwarding.address(server)),
                "weight": (weights or {}).get(server.name, 10),
                "enabled": server not in disabled,
            }
            for server in servers
        ]
        (self.directory / "web.pool").write_text("".join(f"{line}\n" for line in lines))

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Daemon]:
        """Run the daemon and wait until all servers are up and pooled."""
        with daemon(self.directory, *arguments, endpoint=ENDPOINT) as process:
            wanted = len(self.lab.servers)
            process.wait(lambda: process.get("/pools/web").count("/up/pooled") == wanted, "all servers pooled")
            if "-n" not in arguments:  # a dry run writes nothing
                process.wait(lambda: all(self.in_table(server) for server in self.lab.servers), "the table")
            yield process

    def table(self) -> str:
        """Return the output of ``ipvsadm -Sn``, sorted."""
        printed = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout
        return "".join(sorted(printed.splitlines(keepends=True)))

    def served_by(self, requests: int = 20) -> Counter[str]:
        """Send requests to the VIP, one connection each; return responses by server. Raises OSError."""
        return Counter(self.lab.client.get(self.forwarding.vip) for _ in range(requests))

    def in_table(self, server: Host) -> bool:
        address = self.forwarding.address(server)
        return f" -r {f'[{address}]' if address.version == 6 else address}:80 " in self.table()


@contextmanager
def balancer(directory: Path, forwarding: Forwarding = DIRECT, servers: int = 2) -> Iterator[ConfiguredDirector]:
    with lab(servers) as made, made.director.entered():
        yield ConfiguredDirector(made, directory, forwarding)


@pytest.mark.parametrize("forwarding", FORWARDINGS.values(), ids=FORWARDINGS)
def test_dead_server_leaves_and_returns_without_failed_requests(forwarding: Forwarding, tmp_path: Path) -> None:
    with balancer(tmp_path, forwarding) as site, site.running() as process:
        first, second = site.lab.servers
        assert sorted(process.get("/v1/ipvs").splitlines()) == site.table().splitlines()
        assert site.served_by() == {"server1": 10, "server2": 10}
        site.web["server1"].stop()
        process.wait(lambda: not site.in_table(first), "the dead server out of the table")
        assert site.served_by() == {"server2": 20}
        site.web["server1"].start()
        process.wait(lambda: site.in_table(first), "the server back in the table")
        assert site.served_by() == {"server1": 10, "server2": 10}
        assert site.in_table(second)


def test_floor_stays_in_the_table_when_all_servers_are_dead(tmp_path: Path) -> None:
    with balancer(tmp_path, servers=4) as site, site.running() as process:
        for web in site.web.values():
            web.stop()
        process.wait(lambda: process.get("/pools/web").count("/down/") == 4, "all servers down")
        assert sum(site.in_table(server) for server in site.lab.servers) == 2
        assert process.get("/alerts").startswith("CRITICAL - web: Servers ")
        for web in site.web.values():
            web.start()
        process.wait(lambda: all(site.in_table(server) for server in site.lab.servers), "all servers back")
        process.wait(lambda: process.get("/alerts") == "OK - All pools are healthy", "no alert")


def test_pool_file_changes_reach_the_kernel(tmp_path: Path) -> None:
    with balancer(tmp_path, servers=3) as site, site.running() as process:
        first, second, third = site.lab.servers
        site.pool(first, second, third, weights={"server1": 30})
        process.wait(lambda: f"-r {first.address}:80 -g -w 30" in site.table(), "the new weight")
        assert site.served_by(10) == {"server1": 6, "server2": 2, "server3": 2}
        site.pool(first, second, third, disabled=(first,))
        process.wait(lambda: not site.in_table(first), "the disabled server out of the table")
        site.pool(second, third)
        process.wait(lambda: str(first.address) not in process.get("/pools/web"), "the removed server gone")
        site.pool(second)
        process.wait(lambda: not site.in_table(third), "the removed server out of the table")
        site.pool(first, second, third)
        process.wait(lambda: all(site.in_table(server) for server in site.lab.servers), "the added servers there")


def test_restart_under_load_fails_no_connection_and_changes_no_entry(tmp_path: Path) -> None:
    with balancer(tmp_path) as site, site.running() as process:
        before = site.table()
        with RequestLoop(site.lab.client, VIP) as load:
            wait_for(lambda: load.answered > 20, lambda: "clients served")
            assert process.stop() == 0
            assert site.table() == before
            with site.running("-d") as again:
                wait_for(lambda: load.answered > 60, lambda: "clients served")
                assert site.table() == before
                assert "-t 10.2.1.1:80" not in again.log.partition("Exiting...")[2]
        assert load.failures == []


def test_table_stays_after_a_kill_and_is_adopted(tmp_path: Path) -> None:
    with balancer(tmp_path) as site:
        with site.running() as process:
            before = site.table()
            process.process.kill()
            process.process.wait()
        assert site.table() == before
        with site.running():
            assert site.table() == before


def test_server_that_died_while_the_daemon_was_down_leaves(tmp_path: Path) -> None:
    with balancer(tmp_path) as site:
        with site.running() as process:
            process.stop()
        site.web["server1"].stop()
        with daemon(tmp_path, endpoint=ENDPOINT) as again:
            again.wait(lambda: not site.in_table(site.lab.servers[0]), "the dead server out of the table")
            assert site.served_by() == {"server2": 20}


def test_clock_step_back_stops_no_check(tmp_path: Path) -> None:
    with balancer(tmp_path) as site, site.running() as process:
        stepped = time.clock_gettime(time.CLOCK_REALTIME) - 3600
        time.clock_settime(time.CLOCK_REALTIME, stepped)
        try:
            site.web["server2"].stop()
            process.wait(lambda: not site.in_table(site.lab.servers[1]), "the dead server out of the table")
            site.pool(site.lab.servers[0])
            process.wait(lambda: process.get("/pools/web").count("\n") == 1, "the pool file followed")
        finally:
            time.clock_settime(time.CLOCK_REALTIME, stepped + 3600)


def test_dry_run_changes_nothing_in_the_kernel_and_logs_its_operations(tmp_path: Path) -> None:
    with balancer(tmp_path) as site:
        foreign = "-A -t 10.9.9.9:80 -s rr\n"
        subprocess.run(["ipvsadm", "-R"], input=foreign, text=True, check=True)
        with site.running("-n") as process:
            process.wait_for_log(f"would run: ipvsadm -a -t {VIP}:80 -r {site.lab.servers[0].address}:80 -g -w 10")
            assert site.table() == foreign


def test_daemon_without_the_capability_serves_its_alert_and_writes_nothing(tmp_path: Path) -> None:
    with balancer(tmp_path) as site:
        prefix = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-all")
        with daemon(tmp_path, prefix=prefix, endpoint=ENDPOINT) as process:
            process.wait(lambda: "CAP_NET_ADMIN" in process.get("/v1/alerts"), "the alert")
            assert process.stop() == 0
            assert "Traceback" not in process.log
        assert site.table() == ""
