"""The interface to an IPVS table, and a table in memory that follows the kernel's rules."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from types import MappingProxyType
from typing import Protocol

from pybal.core.text import printable
from pybal.ipvs.model import (
    Command,
    Destination,
    Encapsulation,
    Failure,
    Forward,
    Op,
    ServiceKey,
    Table,
    TableEntry,
    VirtualService,
    refusal,
)

SCHEDULERS = frozenset(["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"])

_THIS_NETWORK, _BROADCAST = IPv4Network("0.0.0.0/8"), IPv4Address("255.255.255.255")


Reading = Generator[None, None, TableEntry | None]


class BackendError(Exception):
    """The table could not be read or written, or the state of a batch is unknown."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class Backend(Protocol):
    """A table of IPVS services. Every call is synchronous and raises BackendError if it fails."""

    def read(self, key: ServiceKey) -> TableEntry | None:
        """Return the service with its destinations, ``None`` if it does not exist."""

    def reading(self, key: ServiceKey) -> Reading:
        """Read as :meth:`read` does, in steps of a few milliseconds; the generator returns the entry."""

    def services(self) -> tuple[VirtualService, ...]:
        """Return all services without their destinations, including those of other programs."""

    def table(self) -> Table:
        """Return the whole table, including services of other programs."""

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        """Run all operations in order and return those that failed; a failure does not stop the others.

        Operations that :func:`pybal.ipvs.model.refusal` rejects fail with EINVAL.
        """

    def close(self) -> None:
        """Close the backend's descriptors. The table stays."""


def reason(op: Op, code: int) -> str:
    """Return the reason of an errno in IPVS terms; the system's texts are about files and processes."""
    if code == errno.ENOENT:
        return (
            "no such destination"
            if op.destination
            else f"the kernel has no scheduler {op.service.scheduler} (modprobe ip_vs_{op.service.scheduler})"
        )
    return {errno.EEXIST: "already exists", errno.ESRCH: "no such service"}.get(code, os.strerror(code))


class MemoryBackend:
    """A table in memory with the kernel's errors, for tests, demonstrations and dry runs.

    ``loopback`` accepts destinations on the loopback network.
    """

    def __init__(self, table: Table = MappingProxyType({}), *, loopback: bool = False) -> None:
        self._services = {key: entry.service for key, entry in table.items()}
        self._destinations = {key: dict(entry.destinations) for key, entry in table.items()}
        self._loopback = loopback

    def read(self, key: ServiceKey) -> TableEntry | None:
        service = self._services.get(key)
        return None if service is None else TableEntry(service, MappingProxyType(dict(self._destinations[key])))

    def reading(self, key: ServiceKey) -> Reading:
        return self.read(key)
        yield

    def services(self) -> tuple[VirtualService, ...]:
        return tuple(self._services.values())

    def table(self) -> Table:
        return MappingProxyType({key: entry for key in self._services if (entry := self.read(key))})

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        return tuple(failure for op in ops if (failure := self._apply(op)))

    def close(self) -> None:
        pass

    def _apply(self, op: Op) -> Failure | None:
        if refused := refusal(op, loopback=self._loopback):
            return Failure(op, errno.EINVAL, refused)
        code = self._change_service(op) if op.destination is None else self._change(op, op.destination)
        return Failure(op, code, reason(op, code)) if code else None

    def _change_service(self, op: Op) -> int:
        there = op.key in self._services
        if there is (op.command is Command.ADD_SERVICE):
            return errno.EEXIST if there else errno.ESRCH
        if op.command is Command.DELETE_SERVICE:
            del self._services[op.key], self._destinations[op.key]
            return 0
        if op.service.scheduler not in SCHEDULERS:
            return errno.ENOENT
        self._services[op.key] = op.service
        self._destinations.setdefault(op.key, {})
        return 0

    def _change(self, op: Op, destination: Destination) -> int:
        held = self._destinations.get(op.key)
        if held is None:
            return errno.ESRCH
        if op.command is not Command.DELETE and (code := _errno_of(op.key, destination)):
            return code
        there = destination.endpoint in held
        if there is (op.command is Command.ADD):
            return errno.EEXIST if there else errno.ENOENT
        if op.command is Command.DELETE:
            del held[destination.endpoint]
        elif op.command is Command.ADD and not _unicast(destination):
            return errno.EINVAL
        else:
            held[destination.endpoint] = destination
        return 0


def _errno_of(key: ServiceKey, destination: Destination) -> int:
    if isinstance(destination.address, IPv6Address) is not key.ipv6 and destination.forward is not Forward.TUNNEL:
        return errno.EINVAL
    if destination.weight >= 2**31 or destination.lower > destination.upper:
        return errno.ERANGE
    gue = destination.forward is Forward.TUNNEL and destination.tunnel.encapsulation is Encapsulation.GUE
    return errno.EINVAL if gue and not destination.tunnel.port else 0


def _unicast(destination: Destination) -> bool:
    address = destination.address
    if isinstance(address, IPv6Address):
        return not address.is_link_local
    return address not in _THIS_NETWORK and address != _BROADCAST
