"""A balancer with its servers, names, lists and configuration: everything that a random run changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.faulty_servers import FaultyNames, FaultyServer, Mode
from tests.harness.daemon_process import Daemon, daemon, free_port
from tests.harness.list_line import Line, pool_file

_GENERAL = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {port}
ipvs-backend = memory
ipvs-remove-grace = 1
ipvs-audit-interval = 2
max-blast-radius = 1
log-burst = 0

[DEFAULT]
protocol = tcp
port = {checked}
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.5
proxyfetch.timeout = 1
tcpconnect.interval = 0.5
tcpconnect.timeout = 1
idleconnection.timeout-clean-reconnect = 0.5
idleconnection.max-delay = 2
idleconnection.timeout = 2
"""
NAMED, PLAIN = 5, 3
"""Servers with a host name, each with two addresses, and servers given by address."""


@dataclass(slots=True)
class ServiceState:
    """A section of the configuration and the list of its servers."""

    name: str
    vip: str
    kind: str = "file"
    options: dict[str, str] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)

    @property
    def list_text(self) -> str:
        return pool_file(self.lines)


class Site:
    """The parts around one daemon.

    Addresses depend on the process, so that several runs fit on one machine.
    """

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        prefix = f"127.{64 + os.getpid() % 64}"
        self.directory = directory
        addresses = [f"{prefix}.{net}.{n}" for net in (1, 2) for n in range(1, NAMED + 1)]
        addresses += [f"{prefix}.3.{n}" for n in range(1, PLAIN + 1)]
        self._checked = free_port(*addresses)
        self._status = free_port("127.0.0.1")
        self.servers = {address: FaultyServer(address, self._checked) for address in addresses}
        self.names = {f"w{n}.test": (f"{prefix}.1.{n}", f"{prefix}.2.{n}") for n in range(1, NAMED + 1)}
        self.hosts = [*self.names, *addresses[-PLAIN:]]
        self.services: dict[str, ServiceState] = {}
        self.dns = FaultyNames(f"{prefix}.0.53", {name: first for name, (first, _) in self.names.items()})
        self.web = {
            vip: FaultyServer(f"{prefix}.4.{n}", self._checked, lambda vip=vip: self.services[vip].list_text.encode())  # type: ignore[misc]
            for n, vip in enumerate((f"192.0.2.{n}" for n in range(1, 5)), 1)
        }
        stack.callback(self.dns.close)
        for each in (*self.servers.values(), *self.web.values()):
            stack.callback(each.close)
        self.present = list(self.web)
        self.heal()

    def heal(self) -> None:
        """Repair everything: servers serve, names have their first address, lists are complete."""
        for server in (*self.servers.values(), *self.web.values()):
            server.change(Mode.SERVING)
        self.dns.code = 0
        self.dns.addresses.update({name: first for name, (first, _) in self.names.items()})
        self.present = list(self.web)
        for n, vip in enumerate(self.web):
            options = {"scheduler": "wrr", "depool-threshold": ".5", "monitors": "['ProxyFetch', 'IdleConnection']"}
            lines = {host: Line() for host in self.hosts[: len(self.hosts) - n]}
            self.services[vip] = ServiceState(f"s{n}", vip, "http" if n % 2 else "file", options, lines)
            self.write_list(vip)
        self.configure()

    def write_list(self, vip: str, text: str | None = None) -> None:
        """Replace a pool file, by default with the list of its service."""
        new = self.directory / "new"
        new.write_text(self.services[vip].list_text if text is None else text)
        new.replace(self.directory / f"{vip}.pool")

    def configure(self, more: str = "") -> None:
        """Write pybal.conf with the present services."""
        text = _GENERAL.format(port=self._status, checked=self._checked)
        for vip in self.present:
            service = self.services[vip]
            url = f"file://{self.directory}/{vip}.pool"
            if service.kind == "http":
                url = f"http://{self.web[vip].host}:{self._checked}/{vip}"
            options = {"ip": vip, "config": url, **service.options}
            text += f"\n[{service.name}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
        (self.directory / "pybal.conf").write_text(text + more)

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Run the daemon; its resolver is the name server of this site."""
        (self.directory / "resolv.conf").write_text(f"nameserver {self.dns.host}\n")
        (self.directory / "state").mkdir(exist_ok=True)
        own_resolver = f'mount --bind {self.directory}/resolv.conf /etc/resolv.conf && exec "$@"'
        prefix = (
            "env",
            f"STATE_DIRECTORY={self.directory}/state",
            "unshare",
            "--mount",
            "sh",
            "-c",
            own_resolver,
            "sh",
        )
        with daemon(self.directory, prefix=prefix, endpoint=f"http://127.0.0.1:{self._status}") as started:
            yield started


def random_options(random: Random) -> dict[str, str]:
    """Return options of a service, any of them with any other."""
    kinds = ["ProxyFetch", "IdleConnection", "TCPConnect"]
    return {
        "scheduler": random.choice(["wrr", "rr", "mh", "sh"]),
        "depool-threshold": random.choice(["0", ".3", ".5", ".75", "1"]),
        "monitors": str(random.sample(kinds, random.randrange(4))),
        "proxyfetch.interval": random.choice([".3", ".5", "1"]),
        "share-checks": random.choice(["yes", "no"]),
        "initial-state": random.choice(["unknown", "up"]),
        "suspect-check": random.choice(["alert", "hold", "off"]),
        "max-depool-step": random.choice([".5", "1"]),
    }
