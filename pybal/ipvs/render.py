"""IPVS tables and operations in the syntax of ipvsadm, and tables as JSON. Pure.

:func:`lines` prints a table as ``ipvsadm -Sn`` 1.31 does; :func:`operation` prints an operation as arguments of ipvsadm.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from pybal.core.text import end_of
from pybal.ipvs.model import (
    SCHEDULER_FLAGS,
    SCTP,
    TCP,
    UDP,
    Command,
    Destination,
    Encapsulation,
    Failure,
    Flags,
    Forward,
    Mark,
    Op,
    ServiceKey,
    Table,
    TableEntry,
    VirtualService,
)

_PROTOCOLS = {TCP: ("-t", "tcp"), UDP: ("-u", "udp"), SCTP: ("--sctp-service", "sctp")}
_LETTERS = {
    Command.ADD_SERVICE: "-A",
    Command.EDIT_SERVICE: "-E",
    Command.DELETE_SERVICE: "-D",
    Command.ADD: "-a",
    Command.EDIT: "-e",
    Command.REPLACE: "-e",
    Command.DELETE: "-d",
}
_FORWARDS = {
    Forward.MASQUERADE: "-m",
    Forward.LOCAL: "-l",
    Forward.TUNNEL: "-i",
    Forward.ROUTE: "-g",
    Forward.BYPASS: "-b",
}
_CHECKSUMS = {0: "--tun-nocsum", 1: "--tun-csum", 2: "--tun-remcsum"}


def lines(table: Table) -> Iterator[str]:
    """Yield the table as ``ipvsadm -Sn`` prints it; destinations sorted by address, IPv4 first."""
    for key in sorted(table, key=order):
        yield from entry_lines(table[key])


def entry_lines(entry: TableEntry) -> Iterator[str]:
    """Yield the lines of one service."""
    yield f"-A {_service(entry.service)}"
    key = _key(entry.service.key)
    for destination in sorted(entry.destinations.values(), key=_place):
        yield f"-a {key} {_destination(destination)}"


def operation(op: Op) -> str:
    """Return the arguments of ipvsadm for an operation: ``-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10``.

    REPLACE is shown as the edit that it stands for; its :attr:`~pybal.ipvs.model.Op.requests` are what is sent.
    """
    letter = _LETTERS[op.command]
    if op.command is Command.DELETE_SERVICE:
        return f"{letter} {_key(op.key)}"
    if op.destination is None:
        return f"{letter} {_service(op.service)}"
    if op.command is Command.DELETE:
        return f"{letter} {_key(op.key)} -r {end_of(*op.destination.endpoint)}"
    limits = (
        f" -x {op.destination.upper} -y {op.destination.lower}" if op.destination.upper or op.destination.lower else ""
    )
    return f"{letter} {_key(op.key)} {_destination(op.destination)}{limits}"


def place(key: ServiceKey) -> str:
    """Return the key of a service for people: ``tcp 10.2.1.1:80``, ``mark 7``, ``mark 7 ipv6``."""
    if isinstance(key, Mark):
        return f"mark {key.mark}" + (" ipv6" if key.ipv6 else "")
    protocol = _PROTOCOLS[key.protocol][1] if key.protocol in _PROTOCOLS else f"protocol {key.protocol}"
    return f"{protocol} {end_of(key.address, key.port)}"


def failure(failure: Failure) -> str:
    """Return the failed operation and the reason."""
    return f"ipvsadm {operation(failure.op)}: {failure.reason}"


def entry_document(entry: TableEntry) -> dict[str, Any]:
    """Return a service as a JSON document, without its destinations."""
    service = entry.service
    return {
        **_key_document(service.key),
        "scheduler": service.scheduler,
        "flags": _scheduler_flags(service),
        "one_packet": Flags.ONE_PACKET in service.flags,
    }


def destination_documents(entry: TableEntry) -> Iterator[dict[str, Any]]:
    """Yield its destinations as JSON documents, in the order of :func:`lines`."""
    for destination in sorted(entry.destinations.values(), key=_place):
        yield {
            "address": str(destination.address),
            "port": destination.port,
            "weight": destination.weight,
            "forward": destination.forward.name.lower(),
        }


def _key_document(key: ServiceKey) -> dict[str, object]:
    if isinstance(key, Mark):
        return {"mark": key.mark, "ipv6": key.ipv6}
    protocol = _PROTOCOLS[key.protocol][1] if key.protocol in _PROTOCOLS else str(key.protocol)
    return {"protocol": protocol, "address": str(key.address), "port": key.port}


def order(key: ServiceKey) -> tuple[int, ...]:
    """Return the sort key of a service in the output of ipvsadm."""
    if isinstance(key, Mark):
        return key.mark, key.ipv6
    return 0, key.ipv6, key.protocol, int(key.address), key.port


def _place(destination: Destination) -> tuple[int, int, int]:
    return destination.address.version, int(destination.address), destination.port


def _key(key: ServiceKey) -> str:
    if isinstance(key, Mark):
        return f"-f {key.mark}" + (" -6" if key.ipv6 else "")
    option = _PROTOCOLS[key.protocol][0] if key.protocol in _PROTOCOLS else f"--protocol {key.protocol}"
    return f"{option} {end_of(key.address, key.port)}"


def _service(service: VirtualService) -> str:
    words = [_key(service.key), "-s", service.scheduler]
    if service.persistence:
        words += ["-p", str(service.persistence.timeout)]
        words += _netmask(service.key.ipv6, service.persistence.netmask)
        words += ["--pe", service.persistence.engine] if service.persistence.engine else []
    if Flags.ONE_PACKET in service.flags:
        words.append("-o")
    if flags := _scheduler_flags(service):
        words += ["-b", ",".join(flags)]
    return " ".join(words)


def _netmask(ipv6: bool, length: int) -> list[str]:
    if length == (128 if ipv6 else 32):
        return []
    return ["-M", str(length) if ipv6 else str(IPv4Network((0, length)).netmask)]


def _scheduler_flags(service: VirtualService) -> list[str]:
    own = [name for name in SCHEDULER_FLAGS if name.startswith(f"{service.scheduler}-")]
    names = own or [name for name in SCHEDULER_FLAGS if name.startswith("flag-")]
    return [name for name in names if SCHEDULER_FLAGS[name] in service.flags]


def _destination(destination: Destination) -> str:
    words = f"-r {end_of(*destination.endpoint)} {_FORWARDS[destination.forward]} -w {destination.weight}"
    if destination.forward is not Forward.TUNNEL:
        return words
    tunnel = destination.tunnel
    words += f" --tun-type {tunnel.encapsulation.name.lower()}"
    if tunnel.encapsulation is Encapsulation.GUE:
        words += f" --tun-port {tunnel.port}"
    if tunnel.encapsulation is not Encapsulation.IPIP:
        words += f" {_CHECKSUMS.get(tunnel.flags, '--tun-nocsum')}"
    return words
