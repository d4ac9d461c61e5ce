"""A dry run logs its operations and applies none."""

from __future__ import annotations

from ipaddress import IPv4Address

from twisted.logger import capturedLogs, formatEvent

from pybal.config.settings import IPVSBackend
from pybal.core.model import IPProtocol, Service
from pybal.ipvs.backend import BackendError, MemoryBackend
from pybal.ipvs.diff import diff
from pybal.ipvs.dry_run import DryRunBackend
from pybal.ipvs.kinds import backend
from pybal.ipvs.model import Command, Op, Table, entry
from pybal.ipvs.netlink import NetlinkBackend

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
HELD: Table = {entry(WEB, {}).service.key: entry(WEB, {IPv4Address("10.0.0.11"): 10})}
WANTED: Table = {entry(WEB, {}).service.key: entry(WEB, {IPv4Address("10.0.0.12"): 5})}


class Unreadable(MemoryBackend):
    def table(self) -> Table:
        raise BackendError("CAP_NET_ADMIN is missing")


class Closing(MemoryBackend):
    closed = False

    def close(self) -> None:
        self.closed = True


def test_dry_run_copies_the_table_logs_operations_and_writes_nothing() -> None:
    source = Closing(HELD)
    inert = DryRunBackend(source)
    assert source.closed
    assert inert.table() == HELD
    with capturedLogs() as events:
        assert inert.apply(diff(WANTED, HELD)) == ()
    assert [formatEvent(event) for event in events] == [
        "would run: ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 5",
        "would run: ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.11:80",
    ]
    assert inert.table() == WANTED
    assert source.table() == HELD


def test_dry_run_starts_with_an_empty_table_without_permission() -> None:
    with capturedLogs() as events:
        inert = DryRunBackend(Unreadable(HELD))
    assert inert.table() == {}
    assert [formatEvent(event) for event in events] == [
        "Cannot read the IPVS table: CAP_NET_ADMIN is missing; the dry run starts with an empty table"
    ]


def test_each_backend_can_be_created_without_using_the_kernel() -> None:
    assert isinstance(backend(IPVSBackend.NETLINK), NetlinkBackend)
    assert isinstance(backend(IPVSBackend.MEMORY), MemoryBackend)
    assert isinstance(backend(IPVSBackend.MEMORY, dry_run=True), DryRunBackend)


def test_loopback_servers_are_accepted_by_the_table_in_memory_only() -> None:
    (add,) = diff(
        {key: entry(WEB, {IPv4Address("127.0.0.2"): 1}) for key in HELD}, {key: entry(WEB, {}) for key in HELD}
    )
    for memory in (backend(IPVSBackend.MEMORY), backend(IPVSBackend.MEMORY, dry_run=True)):
        assert memory.apply([Op(Command.ADD_SERVICE, add.service), add]) == ()
    (failure,) = DryRunBackend(MemoryBackend(HELD)).apply([add])
    assert failure.reason == "127.0.0.2 is a loopback address"
