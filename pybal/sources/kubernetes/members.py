"""Nodes to pool members: the last known condition, silent nodes and cordoned ones. No I/O.

===================  ==============================================================================================
fact                 effect on the member
===================  ==============================================================================================
Ready True, False    enabled, disabled
Ready Unknown        as before: the control plane has lost the node, its clients perhaps not. A node that was never anything
                     else is enabled: its monitors decide. Without monitors it is disabled, and a node that is Unknown for
                     :data:`SILENCE` seconds too, while ``max-depool-step`` permits it
unschedulable        ``k8s-cordon``: weight 0 while enough members keep their weight; not a member; or no effect
===================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from math import ceil

from pybal.config.settings import Cordon, SourceSettings
from pybal.core.model import Member
from pybal.core.steps import Steps, parts
from pybal.core.text import first_of
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.text import Listing
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.wire import Event, Node, Nodes
from pybal.sources.ordered import in_order, put

SILENCE = 300.0
"""Seconds after which a node that is Unknown counts as not ready if no monitor checks it."""

_MOST_SHOWN = 5


class NodeMembers:
    """The members that nodes are, with what has to be remembered of each node.

    ``nodes`` are the present ones. The change of a node and a list cost that node, the unusual ones and some copies of tables: no loop
    in Python visits the others.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.nodes: dict[str, Node] = {}
        self._settings = settings
        self._last: dict[str, bool | None] = {}
        """The last condition that was not Unknown; ``None`` without one."""
        self._unknown: dict[str, float] = {}
        """The times since which nodes are Unknown, the longest first."""
        self._cordoned: dict[str, bool] = {}
        """The cordoned nodes to drain, the first one first."""
        self._removed: dict[str, bool] = {}
        """The cordoned nodes that are no members."""
        self._usable: dict[str, Member] = {}
        """The members, disabled if they are not Ready."""
        self._ready: dict[str, bool] = {}
        """The usable nodes that were last Ready."""
        self._new: dict[str, bool] = {}
        """The usable nodes that were never anything but Unknown."""
        self._undecided: dict[str, bool] = {}
        self._problems: dict[str, str] = {}

    def apply(self, event: Event, now: float) -> bool:
        """Change the nodes by an event at the time ``now``; return whether it differs from what is known."""
        if not wire.apply(self.nodes, event):
            return False
        self._note(event.name, now)
        return True

    def replacing(self, found: Nodes, version: str, now: float) -> Steps[int]:
        """Replace all nodes in short steps; return how many differ, except nodes changed after ``version``."""
        gone = self.nodes.keys() - found.keys()
        number = len(gone)
        for names in parts(sorted(found)):
            part = {name: found[name] for name in names}
            before = {name: self.nodes[name] for name in names if name in self.nodes}
            number += wire.differences(before, part, version)
            self.nodes.update(wire.relisted(before, part))
            for name in names:
                self._note(name, now)
            yield
        for names in parts(gone):
            for name in names:
                del self.nodes[name]
                self._note(name, now)
            yield
        return number

    def listing(self, now: float) -> Listing:
        """Return the members of the nodes at the time ``now``, sorted by name.

        Raises :class:`SourceError` if no node is known to be Ready and some are Unknown: the control plane has most probably lost its
        connection to the nodes, rather than all nodes failing together.
        """
        usable = self._usable = in_order(self._usable)
        unknown = self._unknown.keys() & usable.keys()
        if unknown and not self._ready:
            raise SourceError(
                f"no node is Ready and {len(unknown)} of {len(usable)} are Unknown; assuming a partitioned control plane",
                Trouble.FLOOR,
            )
        enabled = self._ready.keys() | (self._new.keys() if self._settings.monitored else ())
        silent = self._silent(enabled, now)
        cordoned = [name for name in self._cordoned if name in enabled and name not in silent]
        floor = self._floor(len(usable))
        drained = cordoned[: max(0, len(enabled) - len(silent) - floor)]
        disabled = {name: replace(usable[name], enabled=False) for name in silent}
        members = {**usable, **disabled, **{name: replace(usable[name], weight=0) for name in drained}}
        self._problems = in_order(self._problems)
        problems = (
            *self._problems.values(),
            *_unknown_problem(unknown, silent, len(usable)),
            *_cordon_problem(cordoned[len(drained) :], floor),
        )
        unsure = frozenset(self._undecided.keys() - self._removed.keys())
        return Listing(tuple(members.values()), problems, frozenset(self._removed), unsure=unsure)

    def _note(self, name: str, now: float) -> None:
        """Note what lists need of a node."""
        node = self.nodes.get(name)
        if node is None:
            facts = (self._last, self._unknown, self._cordoned, self._removed)
            for table in (*facts, self._usable, self._ready, self._new, self._undecided, self._problems):
                table.pop(name, None)
            return
        ready = self._last[name] = self._last.get(name) if node.ready is None else node.ready
        if node.ready is None:
            self._unknown.setdefault(name, now)
        else:
            self._unknown.pop(name, None)
        removed = node.cordoned and self._settings.cordon is Cordon.REMOVE
        member = None if removed else node.member
        if member and not (self._settings.monitored if ready is None else ready):
            member = replace(member, enabled=False)
        put(self._cordoned, name, node.cordoned and self._settings.cordon is Cordon.DRAIN)
        put(self._removed, name, removed)
        put(self._usable, name, member)
        put(self._ready, name, member is not None and ready)
        put(self._new, name, member is not None and ready is None)
        put(self._undecided, name, node.member is None or ready is None)
        put(self._problems, name, node.problem)

    def _silent(self, enabled: AbstractSet[str], now: float) -> AbstractSet[str]:
        """Return the nodes to disable because they are Unknown for too long."""
        if self._settings.monitored:
            return frozenset()
        allowed = int(Decimal(str(self._settings.max_step)) * len(enabled))
        overdue = [name for name, since in self._unknown.items() if name in enabled and now - since >= SILENCE]
        return set(overdue[: min(allowed, len(enabled) - 1)])

    def _floor(self, total: int) -> int:
        return max(1, ceil(Decimal(str(self._settings.threshold)) * total))


def _unknown_problem(unknown: Collection[str], silent: Collection[str], total: int) -> Iterator[str]:
    if unknown:
        waiting = f"; disabling {len(silent)} of them after {SILENCE:g} s" if silent else ""
        yield f"{len(unknown)} of {total} nodes are Unknown ({_shown(unknown)}); keeping their last state{waiting}"


def _cordon_problem(names: Collection[str], floor: int) -> Iterator[str]:
    if names:
        yield (
            f"{len(names)} cordoned nodes keep their weight ({_shown(names)}): at least {floor} nodes need one "
            "(set k8s-cordon = remove or ignore, or remove their label)"
        )


def _shown(names: Collection[str]) -> str:
    return first_of(sorted(names), _MOST_SHOWN)
