"""The contract of every IPVS backend: in memory, and on the kernel in tests/kernel."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from pybal.ipvs.backend import Backend, MemoryBackend
from pybal.ipvs.ipvsadm import IpvsadmBackend
from pybal.ipvs.model import (
    SCTP,
    TCP,
    UDP,
    Command,
    Destination,
    Encapsulation,
    Flags,
    Forward,
    Key,
    Mark,
    Op,
    Persistence,
    TableEntry,
    Tunnel,
    VirtualService,
)
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.render import operation
from pybal.runtime import child
from tests.harness.guest import namespace

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
WEB6 = VirtualService(Key(TCP, IPv6Address("fd00:2::1"), 80), "wrr")
DNS = VirtualService(Key(UDP, IPv4Address("10.2.1.1"), 53), "rr", Flags.ONE_PACKET)


KINDS: dict[str, type[Backend]] = {"memory": MemoryBackend, "netlink": NetlinkBackend, "ipvsadm": IpvsadmBackend}


@pytest.fixture(params=KINDS if namespace.available() else ["memory"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    # prlimit and setpriv would take the guest 80 s; tests/kernel/test_ipvs_storm.py runs them.
    monkeypatch.setattr(child, "limited", lambda argv, **_: argv)
    with nullcontext() if request.param == "memory" else namespace.fresh():
        made = KINDS[request.param]()
        yield made
        made.close()


def at(address: str, weight: int = 1, forward: Forward = Forward.ROUTE, port: int = 80) -> Destination:
    return Destination(ip_address(address), port, weight, forward)


def adding(service: VirtualService, *destinations: Destination) -> list[Op]:
    return [Op(Command.ADD_SERVICE, service), *(Op(Command.ADD, service, destination) for destination in destinations)]


def entry(service: VirtualService, *destinations: Destination) -> TableEntry:
    return TableEntry(service, {destination.endpoint: destination for destination in destinations})


def words(value: object) -> str:
    match value:
        case Op():
            return operation(value)
        case VirtualService():
            return operation(Op(Command.ADD_SERVICE, value))
        case Destination():
            return operation(Op(Command.ADD, WEB, value))
    return errno.errorcode[value] if isinstance(value, int) else repr(value)


@pytest.mark.parametrize(
    "service",
    [
        *(
            replace(WEB, scheduler=name)
            for name in ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf")
        ),
        replace(WEB, scheduler="sh", flags=Flags.SCHED1),
        replace(WEB, scheduler="sh", flags=Flags.SCHED1 | Flags.SCHED2),
        replace(WEB, scheduler="mh", flags=Flags.SCHED2),
        replace(WEB, scheduler="mh", flags=Flags.SCHED1 | Flags.SCHED2),
        replace(WEB, flags=Flags.SCHED3),
        DNS,
        replace(WEB6, scheduler="mh", flags=Flags.SCHED2),
        replace(WEB, persistence=Persistence(300, 24)),
        replace(WEB6, persistence=Persistence(60, 64)),
        VirtualService(Mark(7), "rr"),
        VirtualService(Mark(7, ipv6=True), "rr"),
    ],
    ids=words,
)
def test_added_service_reads_back(backend: Backend, service: VirtualService) -> None:
    assert backend.apply([Op(Command.ADD_SERVICE, service)]) == ()
    assert backend.read(service.key) == entry(service)


@pytest.mark.parametrize(
    ("service", "destination"),
    [
        (WEB, at("10.0.0.11", 10)),
        (WEB, at("10.0.0.11", 0)),
        (WEB, at("10.0.0.11", 2**31 - 1)),
        (WEB, at("10.0.0.11", forward=Forward.TUNNEL)),
        (WEB, at("10.0.0.11", forward=Forward.MASQUERADE, port=8080)),
        (WEB, at("fd00::11", forward=Forward.TUNNEL)),
        (WEB, replace(at("10.0.0.11"), upper=10, lower=3)),
        (WEB, replace(at("10.0.0.11", forward=Forward.TUNNEL), tunnel=Tunnel(Encapsulation.GUE, 6080, 1))),
        (WEB, replace(at("10.0.0.11", forward=Forward.TUNNEL), tunnel=Tunnel(Encapsulation.GRE))),
        (WEB6, at("fd00::11", 10)),
        (WEB6, at("fd00::11", forward=Forward.TUNNEL)),
        (WEB6, at("10.0.0.11", forward=Forward.TUNNEL)),
        (DNS, at("10.0.0.11", port=53)),
        (VirtualService(Mark(7), "rr"), at("10.0.0.11", port=0)),
    ],
    ids=words,
)
def test_added_destination_reads_back(backend: Backend, service: VirtualService, destination: Destination) -> None:
    assert backend.apply(adding(service, destination)) == ()
    assert backend.read(service.key) == entry(service, destination)


@pytest.mark.parametrize(
    ("service", "changed"),
    [
        (WEB, replace(WEB, scheduler="mh", flags=Flags.SCHED2)),
        (DNS, replace(DNS, flags=Flags(0))),
        (WEB, replace(WEB, persistence=Persistence(300, 24))),
    ],
    ids=words,
)
def test_every_attribute_of_a_service_is_edited_in_place_both_ways(
    backend: Backend, service: VirtualService, changed: VirtualService
) -> None:
    server = at("10.0.0.11", port=53 if service is DNS else 80)
    backend.apply(adding(service, server))
    assert backend.apply([Op(Command.EDIT_SERVICE, changed)]) == ()
    assert backend.read(service.key) == entry(changed, server)
    assert backend.apply([Op(Command.EDIT_SERVICE, service)]) == ()
    assert backend.read(service.key) == entry(service, server)


@pytest.mark.parametrize(
    "changed",
    [
        at("10.0.0.11", 0),
        at("10.0.0.11", 7, Forward.TUNNEL),
        at("10.0.0.11", 7, Forward.MASQUERADE),
        replace(at("10.0.0.11"), upper=10, lower=3),
        replace(at("10.0.0.11", forward=Forward.TUNNEL), tunnel=Tunnel(Encapsulation.GUE, 6080)),
    ],
    ids=words,
)
def test_every_attribute_of_a_destination_is_edited_in_place_both_ways(backend: Backend, changed: Destination) -> None:
    backend.apply(adding(WEB, at("10.0.0.11"), at("10.0.0.12")))
    assert backend.apply([Op(Command.EDIT, WEB, changed)]) == ()
    assert backend.read(WEB.key) == entry(WEB, changed, at("10.0.0.12"))
    assert backend.apply([Op(Command.EDIT, WEB, at("10.0.0.11"))]) == ()
    assert backend.read(WEB.key) == entry(WEB, at("10.0.0.11"), at("10.0.0.12"))


def test_replaced_destination_has_the_new_attributes(backend: Backend) -> None:
    backend.apply(adding(WEB, at("10.0.0.11", 7), at("10.0.0.12")))
    assert backend.apply([Op(Command.REPLACE, WEB, at("10.0.0.11", 0))]) == ()
    assert backend.read(WEB.key) == entry(WEB, at("10.0.0.11", 0), at("10.0.0.12"))


ABSENT = replace(WEB, key=Key(TCP, IPv4Address("10.2.1.9"), 80))


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (Op(Command.ADD_SERVICE, WEB), errno.EEXIST),
        (Op(Command.ADD_SERVICE, replace(ABSENT, scheduler="best")), errno.ENOENT),
        (Op(Command.EDIT_SERVICE, replace(WEB, scheduler="best")), errno.ENOENT),
        (Op(Command.EDIT_SERVICE, ABSENT), errno.ESRCH),
        (Op(Command.DELETE_SERVICE, ABSENT), errno.ESRCH),
        (Op(Command.ADD, ABSENT, at("10.0.0.11")), errno.ESRCH),
        (Op(Command.EDIT, ABSENT, at("10.0.0.11")), errno.ESRCH),
        (Op(Command.DELETE, ABSENT, at("10.0.0.11")), errno.ESRCH),
        (Op(Command.ADD, WEB, at("10.0.0.11")), errno.EEXIST),
        (Op(Command.EDIT, WEB, at("10.0.0.12")), errno.ENOENT),
        (Op(Command.REPLACE, ABSENT, at("10.0.0.12", 0)), errno.ESRCH),
        (Op(Command.DELETE, WEB, at("10.0.0.12")), errno.ENOENT),
        (Op(Command.ADD, WEB, at("10.0.0.12", 2**31)), errno.ERANGE),
        (Op(Command.EDIT, WEB, at("10.0.0.11", 2**32 - 1)), errno.ERANGE),
        (Op(Command.ADD, WEB, replace(at("10.0.0.12"), upper=1, lower=2)), errno.ERANGE),
        (Op(Command.ADD, WEB, at("fd00::11")), errno.EINVAL),
        (Op(Command.ADD, WEB6, at("10.0.0.11")), errno.EINVAL),
        (Op(Command.EDIT, WEB6, at("10.0.0.21")), errno.EINVAL),
        (Op(Command.ADD, WEB6, at("fe80::1")), errno.EINVAL),
        (Op(Command.ADD, WEB, at("255.255.255.255")), errno.EINVAL),
    ],
    ids=words,
)
def test_failure_has_the_errno_of_the_kernel_and_changes_nothing(backend: Backend, op: Op, code: int) -> None:
    backend.apply(adding(WEB, at("10.0.0.11")) + adding(WEB6, at("10.0.0.21", forward=Forward.TUNNEL)))
    before = backend.table()
    (failure,) = backend.apply([op])
    assert (failure.op, failure.errno) == (op, code)
    assert failure.reason
    assert backend.table() == before


@pytest.mark.parametrize(
    "op",
    [
        Op(Command.ADD, WEB, at("10.0.0.12", port=8080)),
        Op(Command.EDIT, WEB, at("10.0.0.11", port=8080)),
        Op(Command.ADD, WEB, at("10.0.0.12", forward=Forward.TUNNEL, port=8080)),
        Op(Command.ADD, WEB, at("127.0.0.1")),
        Op(Command.ADD, WEB, at("127.0.1.1")),
        Op(Command.ADD, WEB6, at("::1")),
        Op(Command.ADD, WEB, at("0.0.0.0")),
        Op(Command.ADD, WEB6, at("::")),
        Op(Command.ADD, WEB, at("224.0.0.1")),
        Op(Command.ADD, WEB6, at("ff02::1")),
        Op(Command.ADD, WEB, at("10.0.0.12", -1)),
        Op(Command.ADD, WEB, at("10.0.0.12", 2**32)),
        Op(Command.ADD_SERVICE, replace(ABSENT, key=Key(SCTP, IPv4Address("10.2.1.1"), 80))),
        Op(Command.ADD_SERVICE, replace(ABSENT, key=Key(47, IPv4Address("10.2.1.1"), 80))),
    ],
    ids=words,
)
def test_invalid_operations_that_the_kernel_accepts_are_refused(backend: Backend, op: Op) -> None:
    backend.apply(adding(WEB, at("10.0.0.11")) + adding(WEB6))
    before = backend.table()
    (failure,) = backend.apply([op])
    assert (failure.op, failure.errno) == (op, errno.EINVAL)
    assert backend.table() == before


def test_batch_continues_after_each_failure(backend: Backend) -> None:
    failures = backend.apply(
        [
            Op(Command.DELETE, WEB, at("10.0.0.11")),
            *adding(WEB, at("10.0.0.11"), at("10.0.0.11"), at("fd00::11"), at("10.0.0.12")),
            Op(Command.EDIT, WEB, at("10.0.0.13")),
            Op(Command.DELETE, WEB, at("10.0.0.11")),
        ]
    )
    assert [(failure.errno, failure.reason) for failure in failures] == [
        (errno.ESRCH, "no such service"),
        (errno.EEXIST, "already exists"),
        (errno.EINVAL, "Invalid argument"),
        (errno.ENOENT, "no such destination"),
    ]
    assert backend.read(WEB.key) == entry(WEB, at("10.0.0.12"))


def test_all_failures_of_a_large_batch_are_returned(backend: Backend) -> None:
    ops = [Op(Command.DELETE, WEB, Destination(IPv4Address("10.1.0.0") + n, 80)) for n in range(1000)]
    failures = backend.apply([*adding(WEB), *ops, Op(Command.ADD, WEB, at("10.0.0.11"))])
    assert [failure.op for failure in failures] == ops
    assert {failure.errno for failure in failures} == {errno.ENOENT}
    assert backend.read(WEB.key) == entry(WEB, at("10.0.0.11"))


def test_table_holds_services_that_differ_in_one_part_of_their_key(backend: Backend) -> None:
    services = [
        WEB,
        replace(WEB, key=Key(TCP, IPv4Address("10.2.1.1"), 81)),
        replace(WEB, key=Key(UDP, IPv4Address("10.2.1.1"), 80)),
        replace(WEB, key=Key(TCP, IPv4Address("10.2.1.2"), 80)),
        WEB6,
        replace(WEB, key=Mark(7)),
        replace(WEB, key=Mark(7, ipv6=True)),
    ]
    backend.apply([Op(Command.ADD_SERVICE, service) for service in services])
    assert backend.table() == {service.key: entry(service) for service in services}
    assert set(backend.services()) == set(services)


def test_deleted_service_takes_its_destinations_along(backend: Backend) -> None:
    backend.apply(adding(WEB, at("10.0.0.11")) + adding(DNS))
    assert backend.apply([Op(Command.DELETE_SERVICE, WEB)]) == ()
    assert backend.read(WEB.key) is None
    backend.apply(adding(WEB))
    assert backend.table() == {WEB.key: entry(WEB), DNS.key: entry(DNS)}


def test_read_entry_is_a_snapshot(backend: Backend) -> None:
    backend.apply(adding(WEB))
    before = backend.table()
    backend.apply([Op(Command.ADD, WEB, at("10.0.0.11"))])
    assert before == {WEB.key: entry(WEB)}


def test_empty_batch_does_nothing(backend: Backend) -> None:
    assert backend.apply([]) == ()
    assert backend.table() == {}


def test_table_stays_when_the_backend_is_closed(backend: Backend) -> None:
    backend.apply(adding(WEB))
    backend.close()
    backend.close()
    assert backend.read(WEB.key) == entry(WEB)
