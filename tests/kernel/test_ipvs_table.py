"""The kernel's table: limits, permissions and agreement with ipvsadm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.backend import BackendError
from pybal.ipvs.diff import diff
from pybal.ipvs.genl import Datagrams, connect
from pybal.ipvs.model import Command, Destination, Endpoint, Forward, Key, Op, Table, TableEntry, entry
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.render import lines, operation

SERVICE = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
SERVICE6 = replace(SERVICE, vip=IPv6Address("fd00:2::1"))


@pytest.fixture
def backend() -> Iterator[NetlinkBackend]:
    made = NetlinkBackend()
    yield made
    made.close()


def ipvsadm(*arguments: str, stdin: str = "") -> list[str]:
    done = subprocess.run(["ipvsadm", *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout.split("\n")[:-1]


def table(*entries: TableEntry) -> Table:
    return {made.service.key: made for made in entries}


SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf")
FEATURES = [
    *(replace(SERVICE, scheduler=scheduler) for scheduler in SCHEDULERS),
    *(replace(SERVICE, scheduler="sh", scheduler_flags=flags) for flags in [("sh-port",), ("sh-fallback", "sh-port")]),
    *(replace(SERVICE, scheduler="mh", scheduler_flags=flags) for flags in [("mh-port",), ("mh-port", "mh-fallback")]),
    replace(SERVICE, scheduler_flags=("flag-1", "flag-2", "flag-3")),
    replace(SERVICE, protocol=IPProtocol.UDP),
    replace(SERVICE, protocol=IPProtocol.UDP, one_packet=True),
    replace(SERVICE, tunneling=True),
    SERVICE6,
    replace(SERVICE6, tunneling=True),
    replace(SERVICE6, protocol=IPProtocol.UDP, one_packet=True, scheduler="mh", scheduler_flags=("mh-port",)),
]


@pytest.mark.parametrize(
    "service", FEATURES, ids=lambda service: operation(Op(Command.ADD_SERVICE, entry(service, {}).service))
)
def test_ipvsadm_prints_the_same_lines(backend: NetlinkBackend, service: Service) -> None:
    addresses = ["10.0.0.11", "10.0.0.12"] if service.vip.version == 4 else ["fd00::11", "fd00::12"]
    if service.tunneling:
        addresses = ["2001:db8::11", "10.0.0.11"]
    wanted = table(entry(service, {ip_address(address): n * 10 for n, address in enumerate(addresses)}))
    assert backend.apply(diff(wanted, {})) == ()
    assert ipvsadm("-Sn") == list(lines(wanted)) == list(lines(backend.table()))


def test_ipvsadm_applies_our_operations_to_the_same_table(backend: NetlinkBackend) -> None:
    before = table(*(entry(replace(service, port=n), {}) for n, service in enumerate(FEATURES, 1)))
    wanted = dict(before)
    for made in before.values():
        destination = Destination(ip_address("10.0.0.11"), _port(made), 3, Forward.TUNNEL)
        wanted[made.service.key] = TableEntry(made.service, {destination.endpoint: destination})
    edited = {key: TableEntry(made.service, _reweighted(made)) for key, made in wanted.items()}
    for goal, start in [(before, {}), (wanted, before), (edited, wanted), (before, edited), ({}, before)]:
        ipvsadm("-R", stdin="".join(f"{operation(op)}\n" for op in diff(goal, start)))
        assert backend.table() == goal


def _port(made: TableEntry) -> int:
    assert isinstance(made.service.key, Key)
    return made.service.key.port


def _reweighted(made: TableEntry) -> dict[Endpoint, Destination]:
    return {endpoint: replace(destination, weight=9) for endpoint, destination in made.destinations.items()}


def test_foreign_entries_are_read(backend: NetlinkBackend) -> None:
    for words in [
        "-A -f 5 -s rr",
        "-a -f 5 -r 10.0.0.3 -g",
        "-A -f 6 -6 -s rr -p 300",
        "-A --sctp-service 10.1.1.1:9 -s sh -b sh-port,sh-fallback -p 20 -M 255.255.0.0",
        "-A -u [fd00::9]:5060 -s rr -p 30 -M 64",
        "-A -u 10.1.1.1:5060 -s wlc -p 30 --pe sip -o",
        "-A -t 10.1.1.3:51 -s wlc",
        "-a -t 10.1.1.3:51 -r 10.0.0.4:99 -m -w 5",
        "-a -t 10.1.1.3:51 -r 10.0.0.5 -i --tun-type gue --tun-port 6080",
        "-a -t 10.1.1.3:51 -r 10.0.0.6 -i --tun-type gre --tun-csum",
        "-a -t 10.1.1.3:51 -r [fd00::3]:51 -i",
        "-a -t 10.1.1.3:51 -r 127.0.0.1:51 -g",
    ]:
        ipvsadm(*words.split())
    # Sorted: ipvsadm compares addresses by a signed difference, so its order depends on the order of creation.
    assert sorted(lines(backend.table())) == sorted(ipvsadm("-Sn"))


def test_ten_thousand_destinations_are_written_and_read_back(backend: NetlinkBackend) -> None:
    weights: dict[Address, int] = {IPv4Address("10.64.0.0") + n: n % 100 for n in range(10_000)}
    wanted = table(entry(SERVICE, weights))
    assert backend.apply(diff(wanted, {})) == ()
    assert backend.table() == wanted
    fewer = table(entry(SERVICE, dict(list(weights.items())[5_000:])))
    assert backend.apply(diff(fewer, backend.table())) == ()
    assert backend.read(entry(SERVICE, {}).service.key) == fewer[entry(SERVICE, {}).service.key]


def test_several_hundred_failures_do_not_overflow_the_receive_buffer(backend: NetlinkBackend) -> None:
    service = entry(SERVICE, {}).service
    long_reasons = [Op(Command.ADD, service, Destination(ip_address("fd00::1") + n, 80)) for n in range(900)]
    failures = backend.apply([Op(Command.ADD_SERVICE, service), *long_reasons])
    assert [failure.op for failure in failures] == long_reasons


@pytest.mark.parametrize(
    "call", ["read(key)", "table()", "apply([Op(Command.ADD_SERVICE, VirtualService(key, 'rr'))])"]
)
def test_calls_without_the_capability_name_it_in_the_error(call: str) -> None:
    script = f"""
from ipaddress import ip_address
from pybal.ipvs.backend import BackendError
from pybal.ipvs.model import Command, Key, Op, VirtualService
from pybal.ipvs.netlink import NetlinkBackend
key = Key(6, ip_address("10.2.1.1"), 80)
try:
    NetlinkBackend().{call}
except BackendError as error:
    print(error)
"""
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = subprocess.run([*without, sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "no permission to use IPVS (CAP_NET_ADMIN is missing)\n"


def test_broken_connection_is_reopened_by_the_next_call() -> None:
    connections: list[Datagrams] = []

    def recorded() -> Datagrams:
        connections.append(connect())
        return connections[-1]

    backend = NetlinkBackend(recorded)
    wanted = table(entry(SERVICE, {ip_address("10.0.0.11"): 1}))
    backend.apply(diff(wanted, {}))
    (connection,) = connections
    connection.close()
    with pytest.raises(BackendError, match="cannot reach IPVS: Bad file descriptor"):
        backend.table()
    assert backend.table() == wanted
