"""The reconciler on the kernel's own table."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

import pytest
from twisted.internet.task import Clock

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs import model as ipvs
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, entry, key_of
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import lines
from tests.harness.immediate import result_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "mh", ("mh-port",))
SERVICES = (
    WEB,
    Service("web6", IPProtocol.TCP, IPv6Address("fd00:2::1"), 80, "wrr"),
    Service("dns", IPProtocol.UDP, IPv4Address("10.2.1.1"), 53, "rr", one_packet=True),
    Service("upload", IPProtocol.TCP, IPv4Address("10.2.1.2"), 443, "sh", ("sh-port", "sh-fallback"), tunneling=True),
)
SERVERS: Sequence[Address] = [ip_address(f"10.0.0.{n}") for n in range(11, 19)]
SERVERS6: Sequence[Address] = [ip_address(f"fd00::{n}") for n in range(11, 19)]


class RecordingBackend:
    """The kernel's table, with a record of the operations."""

    def __init__(self) -> None:
        self._kernel = NetlinkBackend()
        self.applied: list[Op] = []

    def read(self, key: ServiceKey) -> TableEntry | None:
        return self._kernel.read(key)

    def reading(self, key: ServiceKey) -> Generator[None, None, TableEntry | None]:
        return self._kernel.reading(key)

    def table(self) -> Table:
        return self._kernel.table()

    def services(self) -> tuple[ipvs.VirtualService, ...]:
        return self._kernel.services()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        self.applied += ops
        return self._kernel.apply(ops)

    def close(self) -> None:
        self._kernel.close()


@pytest.fixture
def kernel() -> Iterator[RecordingBackend]:
    watched = RecordingBackend()
    yield watched
    watched.close()


def ipvsadm(*arguments: str) -> str:
    return subprocess.run(["ipvsadm", *arguments], capture_output=True, text=True, check=True).stdout


def test_restart_with_an_unchanged_configuration_makes_no_change(kernel: RecordingBackend) -> None:
    goals = {
        service: dict(zip(SERVERS6 if service.vip.version == 6 else SERVERS, range(8), strict=True))
        for service in SERVICES
    }
    clock = Clock()
    first = Reconciler(kernel, clock)
    result_of(first.adopt(SERVICES))
    for service, weights in goals.items():
        first.want(service, weights)
    clock.advance(0)
    first.stop()
    before = ipvsadm("-Sn")
    kernel.applied.clear()
    second = Reconciler(kernel, clock)
    assert result_of(second.adopt(SERVICES)) == {service.name: weights for service, weights in goals.items()}
    for service, weights in goals.items():
        second.want(service, weights)
    clock.advance(0)
    assert kernel.applied == []
    assert all(second.verified(service.name) for service in SERVICES)
    assert ipvsadm("-Sn") == before


def test_entry_made_by_hand_is_edited_in_place(kernel: RecordingBackend) -> None:
    ipvsadm("-A", "-t", "10.2.1.1:80", "-s", "wlc", "-p", "300")
    ipvsadm("-a", "-t", "10.2.1.1:80", "-r", "10.0.0.11:80", "-i", "-w", "7", "-x", "10", "-y", "3")
    clock = Clock()
    reconciler = Reconciler(kernel, clock)
    assert result_of(reconciler.adopt([WEB])) == {"web": {SERVERS[0]: 7}}
    reconciler.want(WEB, {SERVERS[0]: 7})
    clock.advance(0)
    assert [op.command.name for op in kernel.applied] == ["EDIT_SERVICE", "EDIT"]
    assert ipvsadm("-Sn") == "-A -t 10.2.1.1:80 -s mh -b mh-port\n-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 7\n"
    assert reconciler.verified("web")


def test_partly_failed_batch_is_repaired_and_completed(kernel: RecordingBackend) -> None:
    clock = Clock()
    reconciler = Reconciler(kernel, clock)
    reconciler.want(WEB, dict.fromkeys(SERVERS[:3], 1))
    clock.advance(0)
    ipvsadm("-d", "-t", "10.2.1.1:80", "-r", "10.0.0.11:80")
    ipvsadm("-a", "-t", "10.2.1.1:80", "-r", "10.0.0.14:80", "-i", "-w", "9")
    reconciler.want(WEB, {SERVERS[1]: 5, SERVERS[3]: 5})
    clock.advance(0)
    assert reconciler.verified("web")
    assert list(lines(kernel.table())) == ipvsadm("-Sn").splitlines()
    assert kernel.read(key_of(WEB)) == entry(WEB, {SERVERS[1]: 5, SERVERS[3]: 5})


def test_refused_destination_raises_an_alert_and_the_others_serve(kernel: RecordingBackend) -> None:
    clock = Clock()
    reconciler = Reconciler(kernel, clock)
    reconciler.want(WEB, {SERVERS[0]: 1, ip_address("255.255.255.255"): 1})
    clock.advance(0)
    (alert,) = reconciler.alerts()
    assert alert.text == "ipvsadm -a -t 10.2.1.1:80 -r 255.255.255.255:80 -g -w 1: Invalid argument (for 0 s)"
    assert kernel.read(key_of(WEB)) == entry(WEB, {SERVERS[0]: 1})
    reconciler.want(WEB, {SERVERS[0]: 1})
    clock.advance(0)
    assert reconciler.alerts() == ()
    reconciler.stop()


@pytest.mark.parametrize("seed", range(4))
def test_random_goals_and_foreign_changes_end_in_the_wanted_table(kernel: RecordingBackend, seed: int) -> None:
    random = Random(seed)
    clock = Clock()
    reconciler = Reconciler(kernel, clock)
    services = {service.name: service for service in SERVICES}
    result_of(reconciler.adopt(SERVICES))
    goals: dict[str, dict[Address, int]] = {}
    for step in range(60):
        for name in random.sample(sorted(services), random.randint(1, 3)):
            service = services[name]
            if random.random() < 0.2:
                services[name] = replace(service, scheduler=random.choice(["wlc", "sed"]), scheduler_flags=())
            addresses = SERVERS6 if service.vip.version == 6 and not service.tunneling else SERVERS
            chosen = random.sample(addresses, random.randint(0, len(addresses)))
            goals[name] = {address: random.randint(0, 3) for address in chosen}
            reconciler.want(services[name], goals[name])
        if step % 3 == 0:
            clock.advance(0)
            _meddle(kernel, random)
            result_of(reconciler.adopt(SERVICES))
            for name, weights in goals.items():
                reconciler.want(services[name], weights)
        clock.advance(0)
        assert all(reconciler.verified(name) for name in goals)
        wanted: Table = {key_of(services[name]): entry(services[name], weights) for name, weights in goals.items()}
        assert kernel.table() == wanted
    assert ipvsadm("-Sn").splitlines() == list(lines(wanted))
    reconciler.stop()


def _meddle(kernel: RecordingBackend, random: Random) -> None:
    """Remove a service or a destination like another program with ipvsadm."""
    key, held = random.choice(sorted(kernel.table().items(), key=str))
    words = list(lines({key: held}))
    if len(words) == 1 or random.random() < 0.3:
        ipvsadm("-D", *words[0].split()[1:3])
    else:
        ipvsadm("-d", *words[1].split()[1:5])
