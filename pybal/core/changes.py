"""The changes between two states of a pool, for the log and the counters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain

from pybal.core.model import Health, Placement, Pool, Server
from pybal.core.steps import parts


class ChangeKind(Enum):
    """The kinds of change of a server between two states of its pool."""

    NEW = auto()
    MERGED = auto()
    REMOVED = auto()
    MOVING = auto()
    ARRIVING = auto()
    MOVED = auto()
    ARRIVED = auto()
    UNRESOLVABLE = auto()
    REPORTED_DOWN = auto()
    UP = auto()
    NOT_DEPOOLED = auto()
    LEFT_POOLED = auto()
    FORCED_IN = auto()
    DEPOOLED = auto()
    REPOOLED = auto()

    __hash__ = object.__hash__  # that of Enum is Python, and a list of 5,000 servers needs 20,000


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one server, for the log and the counters.

    ``server`` is the state afterwards; for REMOVED, REPORTED_DOWN and UP it is the state before, and for the latter two
    ``after`` is the state afterwards. ``monitor`` and ``reason`` are set for REPORTED_DOWN only.
    """

    kind: ChangeKind
    server: Server
    monitor: str = ""
    reason: str = ""
    after: Server | None = None

    @property
    def status(self) -> str:
        """The three words of the server; for a result, those of PyBal 1.15, before its decision about it."""
        return self.server.status if self.after is None else self.server.status_with(self.after.reports)


def changes(before: Pool, after: Pool) -> Iterator[Change]:
    """Yield the changes between two states of a pool: first the facts, then the decisions."""
    return chain.from_iterable(changes_in_parts(before, after))


def changes_in_parts(before: Pool, after: Pool) -> Iterator[Sequence[Change]]:
    """Yield the changes of a part of the servers each; many servers may differ without a change."""
    differences = after.servers.changes_since(before.servers)
    for kind_of_change in (_removed, _new, _facts, _decisions):
        for part in parts(differences):
            yield [change for _, old, new in part for change in kind_of_change(old, new)]


def _removed(old: Server | None, new: Server | None) -> Iterator[Change]:
    if old is not None and new is None:
        yield Change(ChangeKind.REMOVED, old)


def _new(old: Server | None, new: Server | None) -> Iterator[Change]:
    if old is None and new is not None:
        yield Change(ChangeKind.NEW, new)


def _facts(old: Server | None, new: Server | None) -> Iterator[Change]:
    if old is None or new is None:
        return
    # The policy replaces a part of a server only by a different one, so that no part is compared.
    if new.member is not old.member:
        yield Change(ChangeKind.MERGED, new)
    if new.move is not None and (old.move is None or old.move.address is not new.move.address):
        yield Change(ChangeKind.MOVING if new.ready else ChangeKind.ARRIVING, new)
    if old.address is not None and new.address is not old.address:
        yield Change(ChangeKind.MOVED, new)
    if old.address is None and old.move is not None and new.address is not None:
        yield Change(ChangeKind.ARRIVED, new)
    if new.unresolvable and not old.unresolvable:
        yield Change(ChangeKind.UNRESOLVABLE, new)
    for monitor, report in new.reports.items() if new.reports is not old.reports else ():
        last = old.reports.get(monitor)
        if report is not None and not report.up and (last is None or last.up or last.reason != report.reason):
            yield Change(ChangeKind.REPORTED_DOWN, old, monitor, report.reason, new)
    if new.health is Health.UP is not old.health:
        yield Change(ChangeKind.UP, old, after=new)


def _decisions(old: Server | None, new: Server | None) -> Iterator[Change]:
    if old is None or new is None:
        return
    match old.placement, new.placement:
        case Placement.OUT, Placement.POOLED:
            yield Change(ChangeKind.REPOOLED, new)
        case Placement.OUT, Placement.FORCED:
            yield Change(ChangeKind.FORCED_IN, new)
        case ((Placement.POOLED | Placement.FORCED), Placement.OUT):
            yield Change(ChangeKind.DEPOOLED, new)
        case Placement.FORCED, Placement.POOLED if new.health is Health.UP:
            yield Change(ChangeKind.LEFT_POOLED, new)
        case _ if new.pooled_down and not old.pooled_down:
            yield Change(ChangeKind.NOT_DEPOOLED, new)
