"""A balancer in virtual time with everything that changes: services, servers, lists, routers."""

from __future__ import annotations

import json
import shutil
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp

from pybal.control.durations import DEPOOL_LONGEST
from pybal.control.overrides import FILE
from pybal.ipvs.model import TCP, Command, Key, Op, ServiceKey, VirtualService
from pybal.journal.reader import segments_of
from tests.harness.list_line import Line, pool_file
from tests.harness.simulated.balancer import SimulatedBalancer
from tests.harness.simulated.etcd import SimulatedEtcd
from tests.harness.simulated.etcd3 import SimulatedEtcd3
from tests.harness.simulated.network import Mode

PEERS = ("192.0.2.9", "192.0.2.10")
SHIFT = 2
"""Each service has the hosts of the one before, without this many and with as many others."""

UNSYNCED = 8192
"""Bytes at the end of a file that a loss of power may cut or fill with zeros."""

_GENERAL = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = 9090
ipvs-backend = memory
journal = yes
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = {peers}
bgp-peer-asn = 64601
bgp-router-id = 192.0.2.8
bgp-nexthop-ipv4 = 192.0.2.8
max-blast-radius = 1
log-burst = 0

[DEFAULT]
protocol = tcp
port = 80
max-depool-step = 1
proxyfetch.url = ['http://www.example.org/']
idleconnection.max-delay = 30
"""
KINDS = ("['ProxyFetch']", "['IdleConnection']", "['IdleConnection', 'ProxyFetch']", "['TCPConnect']")


@dataclass(slots=True)
class ServiceState:
    """A section of the configuration and the list of its servers."""

    name: str
    vip: str
    url: str
    source: str = ""
    """The address of the server of its list, empty for a file."""
    etcd: SimulatedEtcd | SimulatedEtcd3 | None = None
    options: dict[str, str] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)

    @property
    def list_text(self) -> str:
        return pool_file(self.lines)

    @property
    def values(self) -> Mapping[str, str]:
        """The same list as conftool writes it to etcd."""
        return {host: line.value for host, line in self.lines.items()}


class Site:
    """``services`` with ``servers`` each, and the monitors ``kinds`` in turn. Neighbours share servers.

    ``present`` are the configured services, by name; ``stale`` is the virtual time at which the file on disk began to differ from the
    loaded one, ``broken`` that of each list that cannot be read. Both are ``None`` or absent without a deviation.
    """

    foreign_vips = tuple(ip_address(f"192.0.2.{n}") for n in (200, 201, 202))
    """The VIPs of the services of other programs."""

    def __init__(self, directory: Path, seed: int, services: int, servers: int, kinds: Sequence[str] = KINDS) -> None:
        self.directory = directory
        count = servers + SHIFT * (services - 1)
        self.homes = {
            f"w{n}.test": (f"10.1.{n // 200}.{n % 200 + 1}", f"10.2.{n // 200}.{n % 200 + 1}") for n in range(count)
        }
        self.hosts = list(self.homes)
        self.services = {
            f"s{n}": ServiceState(f"s{n}", f"198.51.{100 + n // 200}.{n % 200 + 1}", f"file://{directory}/s{n}.pool")
            for n in range(services)
        }
        self.present: list[str] = []
        self.stale: float | None = None
        self.broken: dict[str, float] = {}
        self.moved: dict[str, float] = {}
        """The virtual time of the last change of each host's address."""
        self.changed: dict[str, float] = {}
        """The virtual time of the last change of each service's list or options."""
        self.depooled: dict[tuple[str, str], float] = {}
        """The virtual time until which the operator has taken each host out of a service."""
        self._ends: dict[tuple[str, str], datetime] = {}
        """The same by the wall clock, as the daemon has saved it."""
        self._saved = True
        """False if the last save was not confirmed."""
        self.floors: dict[str, str] = {}
        """The thresholds of the services, as loaded last."""
        self.filled = 0
        """The number of times that the disk of the journal became full."""
        self.torn: set[str] = set()
        """The segments of the journal whose last record is torn."""
        self.last_depool = 0.0
        """The virtual time at which the operator took a host out of a service last."""
        self.started = 0.0
        """The virtual time at which the present daemon started."""
        self.adopted: set[ServiceKey] = set()
        """The services that had servers in the table at that time."""
        self.foreign_since: float | None = None
        self.refusing: float | None = None
        self.woken = self.routed = self.named = self.nameless = 0.0
        """The virtual times of the last suspension, lost session, change and failure of the name service."""
        self._servers = servers
        self._kinds = kinds
        self.balancer = SimulatedBalancer(directory, "", seed=seed, peers=PEERS)
        self.balancer.network.add([address for home in self.homes.values() for address in home])
        for n, service in enumerate(self.services.values()):
            address = f"10.3.{n // 200}.{n % 200 + 1}"
            if n % 3 == 1:
                service.source, service.url = address, f"http://{address}/{service.name}"
                self.balancer.network.serve(address, partial(self._served_list, service))
            elif n % 3 == 2:
                make, api = (SimulatedEtcd3, 3) if n % 2 == 0 else (SimulatedEtcd, 2)
                service.source, service.url = address, f"etcd://{address}/pools/{service.name}?api={api}"
                service.etcd = make(self.balancer.network, f"/pools/{service.name}")
                self.balancer.network.servers[address] = service.etcd
        self._reset()
        self._loaded()
        self.balancer.file.write_text(self.configuration())

    # -- repairs

    def heal(self) -> None:
        """Repair everything around the daemon, and its configuration."""
        balancer = self.balancer
        for server in balancer.network.servers.values():
            server.change(Mode.SERVING)
        balancer.names.failing = False
        balancer.ipvs.refuses = ""
        balancer.ipvs.change([each for each in self.foreign() if each.key in balancer.ipvs.held])
        balancer.threads.release()
        balancer.threads.full = False
        balancer.bgp.starts = True
        if balancer.bgp.child is not None:
            balancer.bgp.child.hung = False
        for address in balancer.bgp.routers:
            balancer.bgp.restore(address)
        self.foreign_since = self.refusing = None
        self.woken = self.balancer.now
        self._reset()

    def _reset(self) -> None:
        self.present = list(self.services)
        self.balancer.names.addresses.update({host: first for host, (first, _) in self.homes.items()})
        for n, service in enumerate(self.services.values()):
            service.options = {
                "scheduler": "wrr",
                "depool-threshold": ".5",
                "monitors": self._kinds[n % len(self._kinds)],
            }
            service.lines = {host: Line() for host in self.hosts[SHIFT * n : SHIFT * n + self._servers]}
            self.write_list(service.name)
        for host in self.hosts:
            self.moved[host] = self.balancer.now

    # -- changes

    def _served_list(self, service: ServiceState) -> bytes:
        try:
            return (self.directory / f"{service.name}.pool").read_bytes()
        except FileNotFoundError:
            return b""

    def write_list(self, name: str, text: str | None = None) -> None:
        """Replace a list, by default with that of its service; in etcd, ``text`` is the value of one server."""
        now, service = self.balancer.now, self.services[name]
        if service.etcd:
            broken = {} if text is None else {next(iter(service.lines)): text}
            service.etcd.write({**service.values, **broken})
        else:
            self.balancer.write(self.directory / f"{name}.pool", service.list_text if text is None else text)
        self.changed[name] = now
        if text is None:
            self.broken.pop(name, None)
        else:
            self.broken.setdefault(name, now)

    def remove_list(self, name: str) -> None:
        """Remove a pool file, or a directory in etcd."""
        if etcd := self.services[name].etcd:
            etcd.write(None)
        (self.directory / f"{name}.pool").unlink(missing_ok=True)
        self.broken.setdefault(name, self.balancer.now)

    def configuration(self, more: str = "") -> str:
        """Return the text of pybal.conf."""
        text = _GENERAL.format(peers=list(PEERS))
        for name in self.present:
            service = self.services[name]
            options = {"ip": service.vip, "config": service.url, **service.options}
            text += f"\n[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
            text += f"\n[etcd {service.source}]\ntls = no\n" if service.etcd else ""
        return text + more

    def edit(self, more: str = "") -> None:
        """Write pybal.conf, without a reload."""
        if self.balancer.file.read_text() != (text := self.configuration(more)):
            self.balancer.write(self.balancer.file, text)
            if self.stale is None:
                self.stale = self.balancer.now

    def reload(self, more: str = "") -> str:
        """Write pybal.conf and reload it; return the refusal, empty if it was accepted."""
        self.edit(more)
        reply = self.balancer.command("reload", force=True)
        if reply["exit"] == 0:
            self._loaded()
            for name in self.services:
                self.changed[name] = self.balancer.now
            return ""
        return str(reply["text"]) or "refused without a reason"

    def restart(self) -> None:
        """Stop the daemon and start it again."""
        self.balancer.stop()
        self.start()

    def kill(self, *, power: bool = False) -> None:
        """Kill the daemon; with ``power``, the machine loses its power."""
        self.balancer.kill()
        self.routed = self.balancer.now
        if power:
            self.balancer.ipvs.clear()
            self.foreign_since = None
        if segments := segments_of(self.directory / "state" / "journal"):
            self._tear(segments[-1], power=power)

    def _tear(self, segment: Path, *, power: bool) -> None:
        """Let a segment lose its end with the power; note whether its last record is torn."""
        text, random = segment.read_bytes(), self.balancer.threads.random
        if power:
            kept = text[: random.randint(max(0, len(text) - UNSYNCED), len(text))]
            text = kept + random.choice((b"", bytes(len(text) - len(kept))))
            segment.write_bytes(text)
        self.torn.discard(segment.name)
        if text and not text.endswith(b"\n"):
            self.torn.add(segment.name)

    def start(self) -> None:
        """Start a daemon with the present configuration."""
        self.edit()
        self._loaded()
        self._load_overrides()
        self.adopted = {key for key, entry in self.balancer.ipvs.held.items() if entry.serves}
        self.balancer.start()
        self.started = self.balancer.now
        for name in self.services:
            self.changed[name] = self.balancer.now

    def _loaded(self) -> None:
        self.stale = None
        self.floors = {name: self.services[name].options["depool-threshold"] for name in self.present}

    def command_override(self, command: str, name: str, host: str, lasts: float = 0.0, **more: object) -> None:
        """Depool a server for ``lasts`` seconds, or repool it."""
        more |= {"duration": lasts} if lasts else {}
        reply = self.balancer.command(command, "a test", service=name, host=host, **more)
        if reply["exit"] == 0 or command == "repool":  # which fails without an override
            now = self.balancer.now
            self.depooled |= {(name, host): now + lasts}
            self.last_depool = now
            self._saved = "warning: cannot" not in reply["text"]
            self._save_overrides()

    def step_wall_clock(self, hours: int) -> None:
        """Set the wall clock forward, or back."""
        self._expire_overrides()
        self.balancer.wall_step += timedelta(hours=hours)

    def _expire_overrides(self) -> None:
        if any(until <= self.balancer.now for until in self.depooled.values()):
            self._save_overrides()

    def _save_overrides(self) -> None:
        """Follow the daemon, which saves all overrides by the wall clock when one begins or ends."""
        now, wall = self.balancer.now, self.balancer.wall()
        self.depooled = {key: until for key, until in self.depooled.items() if until > now}
        self._ends = {key: wall + timedelta(seconds=until - now) for key, until in self.depooled.items()}

    def _load_overrides(self) -> None:
        """Follow a new daemon, for which overrides end by the wall clock.

        The file decides if the last save was not confirmed.
        """
        self._expire_overrides()
        file, wall = self.directory / "state" / FILE, self.balancer.wall()
        if not self._saved:
            found = json.loads(file.read_text())["overrides"] if file.exists() else ()
            self._ends = {(each["service"], each["host"]): datetime.fromisoformat(each["until"]) for each in found}
        left = {key: min(DEPOOL_LONGEST, (end - wall).total_seconds()) for key, end in self._ends.items()}
        self.depooled = {key: self.balancer.now + seconds for key, seconds in left.items() if seconds > 0.0}
        self._ends = {key: self._ends[key] for key in self.depooled}

    def move(self, host: str) -> None:
        """Give a host its other address."""
        first, second = self.homes[host]
        names = self.balancer.names.addresses
        names[host] = second if names[host] == first else first
        self.moved[host] = self.balancer.now

    def foreign(self) -> Iterator[Op]:
        """Yield the removal of each entry that another program may have added."""
        for vip in self.foreign_vips:
            yield Op(Command.DELETE_SERVICE, VirtualService(Key(TCP, vip, 80), "wrr"))

    def fill_disk(self) -> None:
        """Let the journal find no space on its disk."""
        self.filled += not self.balancer.threads.full
        self.balancer.threads.full = True

    # -- facts

    def mode(self, host: str) -> Mode:
        """Return the behaviour of the server of a host."""
        return self.balancer.network.servers[self.balancer.names.addresses[host]].mode

    def since(self, host: str) -> float:
        """Return the virtual time since when the server of a host has been the same."""
        server = self.balancer.network.servers[self.balancer.names.addresses[host]]
        return max(server.since - self.balancer.began, self.moved[host])

    @property
    def monitors(self) -> int:
        """The number of monitors of all configured services."""
        services = map(self.services.__getitem__, self.present)
        return sum(len(each.lines) * len(literal_eval(each.options["monitors"])) for each in services)

    @property
    def members(self) -> int:
        """The number of servers of all configured services, counted once for each."""
        return sum(len(self.services[name].lines) for name in self.present)


@contextmanager
def site(seed: int, services: int, servers: int, kinds: Sequence[str] = KINDS) -> Iterator[Site]:
    """Yield a site with a started daemon, in its own directory."""
    directory = Path(mkdtemp(prefix="pybal-virtual-"))
    made = Site(directory, seed, services, servers, kinds)
    try:
        made.balancer.start()
        yield made
    finally:
        try:
            made.balancer.close()
        finally:
            shutil.rmtree(directory)
