"""What IPVS holds now and what is wanted of it: what ``pybal diff`` says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pybal.ipvs import fingerprint
from pybal.ipvs.diff import diff
from pybal.ipvs.goal import Retired
from pybal.ipvs.model import Command, Op, ServiceKey, TableEntry
from pybal.ipvs.render import operation, place
from pybal.status.compat115 import JSON


@dataclass(frozen=True, slots=True)
class Compared:
    """A service: what is wanted of it, what was read, and in words why they differ, if that is known."""

    name: str
    wanted: TableEntry
    held: TableEntry | None
    why: str = ""

    @property
    def ops(self) -> Sequence[Op]:
        """The operations that would make it as wanted."""
        key = self.wanted.service.key
        return diff({key: self.wanted}, {key: self.held} if self.held else {})

    def lines(self) -> Iterator[str]:
        """Yield the operations, those that change something with what is there; nothing where there is no difference."""
        if ops := self.ops:
            yield f"~ service {self.name}" + (f": {self.why}" if self.why else "")
            for op in ops:
                yield f"    ipvsadm {operation(op)}{self._instead_of(op)}"

    def document(self) -> JSON:
        """Return the same facts for machines."""
        return {
            "service": self.name,
            "key": place(self.wanted.service.key),
            "intent": fingerprint.of_entry(self.wanted),
            "kernel": fingerprint.of_entry(self.held),
            "ipvsadm": [operation(op) for op in self.ops],
            "why": self.why or None,
        }

    def _instead_of(self, op: Op) -> str:
        if self.held is None or op.command not in (Command.EDIT, Command.EDIT_SERVICE):
            return ""
        there = op.destination and self.held.destinations[op.destination.endpoint]
        return f"  # is {operation(Op(Command.ADD if there else Command.ADD_SERVICE, self.held.service, there))}"


@dataclass(frozen=True, slots=True)
class Difference:
    """The whole table.

    Of services that are ``waiting`` nothing is wanted yet; those that are ``retired`` left the configuration and will be
    deleted; the ``foreign`` ones are not ours.
    """

    services: Sequence[Compared]
    waiting: Sequence[str] = ()
    retired: Mapping[ServiceKey, Retired] = field(default_factory=lambda: MappingProxyType({}))
    foreign: Sequence[ServiceKey] = ()

    def __bool__(self) -> bool:
        return any(service.ops for service in self.services)

    def text(self) -> str:
        """Return the lines of the services that differ, and a sum."""
        return "".join(f"{line}\n" for line in self._lines())

    def document(self) -> JSON:
        """Return the same facts for machines."""
        return {
            "services": [service.document() for service in self.services],
            "waiting": list(self.waiting),
            "retired": [
                {"service": gone.name, "key": place(key), "remaining": round(gone.remaining, 3)}
                for key, gone in self.retired.items()
            ],
            "foreign": [place(key) for key in self.foreign],
        }

    def _lines(self) -> Iterator[str]:
        for service in self.services:
            yield from service.lines()
        for name in self.waiting:
            yield f"? service {name}: nothing is wanted of it yet, as its list of servers has not come"
        for key, gone in self.retired.items():
            yield f"- service {gone.name} ({place(key)}): left the configuration, deleted in {gone.remaining:.0f} s"
        if self.foreign:
            yield f"not ours, left alone: {', '.join(map(place, self.foreign))}"
        same = sum(not service.ops for service in self.services)
        yield f"{same} of {len(self.services)} services as wanted"
