"""Tables and operations in the syntax of ipvsadm, and as JSON; tests/kernel compares with ipvsadm."""

from __future__ import annotations

import errno
import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pybal.ipvs.model import (
    SCTP,
    TCP,
    UDP,
    Command,
    Destination,
    Failure,
    Flags,
    Forward,
    Key,
    Mark,
    Op,
    Persistence,
    Table,
    TableEntry,
    VirtualService,
)
from pybal.ipvs.render import destination_documents, entry_document, failure, lines, operation, order

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "mh", Flags.SCHED2)
DNS6 = VirtualService(Key(UDP, IPv6Address("fd00:2::1"), 53), "rr", Flags.ONE_PACKET)
SERVER = Destination(IPv4Address("10.0.0.11"), 80, 10)
SERVER6 = Destination(IPv6Address("fd00::11"), 53, 1, Forward.TUNNEL)
TABLE: Table = {
    DNS6.key: TableEntry(DNS6, {SERVER6.endpoint: SERVER6}),
    WEB.key: TableEntry(WEB, {SERVER.endpoint: SERVER}),
}


def test_table_is_printed_as_ipvsadm_prints_it() -> None:
    assert list(lines(TABLE)) == [
        "-A -t 10.2.1.1:80 -s mh -b mh-port",
        "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10",
        "-A -u [fd00:2::1]:53 -s rr -o",
        "-a -u [fd00:2::1]:53 -r [fd00::11]:53 -i -w 1 --tun-type ipip",
    ]


def test_destinations_are_sorted_numerically() -> None:
    servers = [Destination(IPv4Address(address), 80) for address in ("10.0.0.11", "10.0.0.9", "9.0.0.1")]
    table: Table = {WEB.key: TableEntry(WEB, {server.endpoint: server for server in servers})}
    assert [line.split()[4] for line in list(lines(table))[1:]] == ["9.0.0.1:80", "10.0.0.9:80", "10.0.0.11:80"]


def test_foreign_services_are_printed() -> None:
    services = [
        VirtualService(Mark(5, ipv6=True), "rr"),
        VirtualService(Key(SCTP, IPv4Address("10.2.1.1"), 9), "sh", Flags.SCHED3, Persistence(20, 16, "sip")),
        VirtualService(Key(47, IPv4Address("10.2.1.1"), 0), "rr"),
    ]
    assert list(lines({service.key: TableEntry(service) for service in services})) == [
        "-A --protocol 47 10.2.1.1:0 -s rr",
        "-A --sctp-service 10.2.1.1:9 -s sh -p 20 -M 255.255.0.0 --pe sip",
        "-A -f 5 -6 -s rr",
    ]
    assert [made["protocol"] for made in document({service.key: TableEntry(service) for service in services[1:]})] == [
        "47",
        "sctp",
    ]
    assert document({services[0].key: TableEntry(services[0])})[0]["mark"] == 5


def test_each_operation_has_its_option() -> None:
    ops = [Op(command, WEB) for command in (Command.ADD_SERVICE, Command.EDIT_SERVICE, Command.DELETE_SERVICE)]
    ops += [Op(command, WEB, SERVER) for command in (Command.ADD, Command.EDIT, Command.DELETE)]
    assert [operation(op) for op in ops] == [
        "-A -t 10.2.1.1:80 -s mh -b mh-port",
        "-E -t 10.2.1.1:80 -s mh -b mh-port",
        "-D -t 10.2.1.1:80",
        "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10",
        "-e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10",
        "-d -t 10.2.1.1:80 -r 10.0.0.11:80",
    ]


def test_failure_text_contains_the_command() -> None:
    failed = Failure(Op(Command.DELETE, WEB, SERVER), errno.ENOENT, "no such destination")
    assert failure(failed) == "ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.11:80: no such destination"


def document(table: Table) -> list[dict[str, Any]]:
    entries = (table[key] for key in sorted(table, key=order))
    return [{**entry_document(each), "destinations": [*destination_documents(each)]} for each in entries]


def test_table_is_a_json_document() -> None:
    assert json.loads(json.dumps(document(TABLE))) == [
        {
            "protocol": "tcp",
            "address": "10.2.1.1",
            "port": 80,
            "scheduler": "mh",
            "flags": ["mh-port"],
            "one_packet": False,
            "destinations": [{"address": "10.0.0.11", "port": 80, "weight": 10, "forward": "route"}],
        },
        {
            "protocol": "udp",
            "address": "fd00:2::1",
            "port": 53,
            "scheduler": "rr",
            "flags": [],
            "one_packet": True,
            "destinations": [{"address": "fd00::11", "port": 53, "weight": 1, "forward": "tunnel"}],
        },
    ]
