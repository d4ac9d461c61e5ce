"""The output of ``pybal diff``: the differences between the IPVS table and the wanted state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pybal.ipvs import fingerprint
from pybal.ipvs.diff import diff
from pybal.ipvs.goal import Retired
from pybal.ipvs.model import Command, Op, ServiceKey, TableEntry
from pybal.ipvs.render import operation, place
from pybal.status.json_pieces import JSON, Elements, LargeJSON


@dataclass(frozen=True, slots=True)
class ServiceDiff:
    """The wanted and the read entry of a service; ``why`` is the reason of a difference, empty if unknown."""

    name: str
    wanted: TableEntry
    held: TableEntry | None
    why: str = ""
    ops: Sequence[Op] = field(init=False)
    """The operations that would remove the difference."""

    def __post_init__(self) -> None:
        key = self.wanted.service.key
        object.__setattr__(self, "ops", diff({key: self.wanted}, {key: self.held} if self.held else {}))

    def lines(self) -> Iterator[str]:
        """Yield a heading and a line for each operation; nothing if the entries are equal."""
        if ops := self.ops:
            yield f"~ service {self.name}" + (f": {self.why}" if self.why else "")
            for op in ops:
                yield f"    ipvsadm {operation(op)}{self._comment(op)}"

    def document(self) -> JSON:
        """Return the same as JSON."""
        return {
            "service": self.name,
            "key": place(self.wanted.service.key),
            "intent": fingerprint.of_entry(self.wanted),
            "kernel": fingerprint.of_entry(self.held),
            "ipvsadm": [operation(op) for op in self.ops],
            "why": self.why or None,
        }

    def _comment(self, op: Op) -> str:
        if self.held is None or op.command not in (Command.EDIT, Command.REPLACE, Command.EDIT_SERVICE):
            return ""
        there = op.destination and self.held.destinations[op.destination.endpoint]
        return f"  # now {operation(Op(Command.ADD if there else Command.ADD_SERVICE, self.held.service, there))}"


@dataclass(frozen=True, slots=True)
class TableDiff:
    """The differences of the whole table.

    ``waiting`` services have no server list yet. ``retired`` services were removed from the configuration and will be
    deleted. PyBal does not manage ``foreign`` services.
    """

    services: Sequence[ServiceDiff]
    waiting: Sequence[str] = ()
    retired: Mapping[ServiceKey, Retired] = field(default_factory=lambda: MappingProxyType({}))
    foreign: Sequence[ServiceKey] = ()

    def __bool__(self) -> bool:
        return any(service.ops for service in self.services)

    def text(self) -> Iterator[str]:
        """Yield the lines of the services that differ, and a summary."""
        return (f"{line}\n" for line in self._lines())

    def document(self) -> LargeJSON:
        """Return the same as JSON."""
        return {
            "services": Elements(service.document() for service in self.services),
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
            yield f"? service {name}: waiting for its first server list"
        for key, gone in self.retired.items():
            yield f"- service {gone.name} ({place(key)}): removed from the configuration, deleted in {gone.remaining:.0f} s"
        if self.foreign:
            yield f"not managed by PyBal: {', '.join(map(place, self.foreign))}"
        same = sum(not service.ops for service in self.services)
        yield f"{same} of {len(self.services)} services in sync"
