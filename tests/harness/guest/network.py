"""A test network in one kernel: client, director and real servers as network namespaces on one switch.

    ========= ===================== ==========================================================================
    client    10.0.0.2    fd00::2   routes the VIPs through the director
    director  10.0.0.1    fd00::1   has the VIPs on its loopback; IPVS and the daemon go here
    server1 … 10.0.0.11 … fd00::11  have the VIPs on their loopback without ARP, and tunnels for IPIP, 6in6, 4in6, 6in4
    ========= ===================== ==========================================================================

A namespace is a descriptor, so all namespaces end with this process. Sockets and processes stay in the namespace in which they
were created: :meth:`Host.entered` moves the current thread, and no other. The network stops everything that it started when it
ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from pybal.core.model import Address
from tests.harness.daemon_process import WebServer
from tests.harness.guest import namespace

VIP, VIP6 = IPv4Address("10.2.1.1"), IPv6Address("fd00:2::1")
_NET, _NET6 = IPv4Address("10.0.0.0"), IPv6Address("fd00::")
_TUNNELS = (
    "link set tunl0 up",  # IPv4 in IPv4
    "link set sit0 up",  # IPv6 in IPv4
    "link add in6 type ip6tnl external",  # both in IPv6: ip6tnl0, which is there already, takes IPv6 only
    "link set in6 up",
)


@dataclass(frozen=True)
class Host:
    """A host of the network."""

    name: str
    address: IPv4Address
    address6: IPv6Address
    netns: int = field(repr=False)
    stack: ExitStack = field(repr=False)

    def entered(self) -> AbstractContextManager[None]:
        """Move the current thread to the host for the duration of the context."""
        return namespace.entered(self.netns)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process on the host with options of Popen; it is killed at the end."""
        with self.entered():
            process = self.stack.enter_context(subprocess.Popen(command, **options))
        self.stack.callback(process.kill)
        return process

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command on the host and return its output. Raises AssertionError if it fails."""
        with self.entered():
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command} on {self.name}: {done.stderr}"
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run commands of ip(8) on the host, in one process."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines))

    def sysctl(self, key: str, value: int) -> None:
        with self.entered():
            Path("/proc/sys", *key.split(".")).write_text(str(value))

    def serve(self, port: int = 80) -> WebServer:
        """Start a web server on all addresses of the host that responds with its name."""
        server = WebServer("::", port, self.name.encode(), self.entered)
        self.stack.callback(server.stop)
        return server

    def get(self, address: Address, port: int = 80, *, path: str = "/", timeout: float = 5.0) -> str:
        """Send a request on a new connection and return the response. Raises OSError."""
        connection = HTTPConnection(str(address), port, timeout=timeout)
        with self.entered():
            connection.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@dataclass(frozen=True)
class LVSNetwork:
    """The network of the module docstring."""

    client: Host
    director: Host
    servers: tuple[Host, ...]
    switch: Host = field(repr=False)

    def add(self, name: str, number: int) -> Host:
        """Add a host to the switch with the address 10.0.0.``number``."""
        host = _host(self.switch.stack, name, number)
        self.switch.ip(*_cable(host))
        host.sysctl("net.ipv6.conf.all.accept_dad", 0)
        host.ip("link set lo up", "link set eth0 up", f"addr add {host.address}/24 dev eth0")
        return host

    def cable(self, host: Host, *, up: bool) -> None:
        """Plug or unplug the cable of a host at the switch."""
        self.switch.ip(f"link set {_port(host)} {'up' if up else 'down'}")


@contextmanager
def lab(servers: int = 2, *, here: bool = False) -> Iterator[LVSNetwork]:
    """Create the network; needs root, veth, bridge and the tunnel modules.

    With ``here`` the present namespace is the director's.
    """
    subprocess.run(["modprobe", "-a", "ipip", "ip6_tunnel", "sit"], check=True)
    with ExitStack() as stack:
        switch = _host(stack, "switch", 254)
        switch.ip("link add br0 type bridge", "link set br0 up")
        director = _host(stack, "director", 1, namespace.present() if here else None)
        client = _host(stack, "client", 2)
        made = LVSNetwork(
            client, director, tuple(_host(stack, f"server{n}", 10 + n) for n in range(1, servers + 1)), switch
        )
        hosts = (director, client, *made.servers)
        switch.ip(*(line for host in hosts for line in _cable(host)))
        _configure(made)
        yield made


def _host(stack: ExitStack, name: str, number: int, descriptor: int | None = None) -> Host:
    if descriptor is None:
        descriptor = namespace.create()
    stack.callback(os.close, descriptor)
    address6 = _NET6 + int(str(number), 16)  # the digits of the IPv4 address
    return Host(name, _NET + number, address6, descriptor, stack)


def _port(host: Host) -> str:
    """Return the port of a host at the switch."""
    return f"to-{host.name}"


def _cable(host: Host) -> list[str]:
    port = _port(host)
    return [
        f"link add {port} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{host.netns}",
        f"link set {port} master br0",
        f"link set {port} up",
    ]


def _configure(made: LVSNetwork) -> None:
    vips = (f"addr add {VIP}/32 dev lo", f"addr add {VIP6}/128 dev lo nodad")
    for host in (made.client, made.director, *made.servers):
        host.sysctl("net.ipv6.conf.all.accept_dad", 0)
        host.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        host.ip(
            "link set lo up",
            "link set eth0 up",
            f"addr add {host.address}/24 dev eth0",
            f"addr add {host.address6}/64 dev eth0 nodad",
            *(vips if host is not made.client else _routes(made.director)),
            *(_TUNNELS if host in made.servers else ()),
        )
    for server in made.servers:
        # A server must not answer ARP for the VIP, and must accept what comes out of a tunnel from the client.
        server.sysctl("net.ipv4.conf.all.arp_ignore", 1)
        server.sysctl("net.ipv4.conf.all.arp_announce", 2)
        for device in ("all", "eth0", "tunl0", "in6"):
            server.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
    made.director.sysctl("net.ipv4.ip_forward", 1)
    made.director.sysctl("net.ipv6.conf.all.forwarding", 1)


def _routes(director: Host) -> tuple[str, str]:
    return f"route add {VIP}/32 via {director.address}", f"route add {VIP6}/128 via {director.address6}"
