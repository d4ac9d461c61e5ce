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

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import TypeVar

from pybal.config.settings import Cordon, SourceSettings
from pybal.core.model import Member
from pybal.core.text import first_of
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.text import Listing
from pybal.sources.kubernetes.wire import Nodes

_T = TypeVar("_T")

SILENCE = 300.0
"""Seconds after which a node that is Unknown counts as not ready if no monitor checks it."""

_MOST_SHOWN = 5


class NodeMembers:
    """The members that nodes are, with what has to be remembered of each node."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._ready: dict[str, bool | None] = {}
        """The last condition that was not Unknown; ``None`` without one."""
        self._unknown: dict[str, float] = {}
        """The times since which nodes are Unknown, the longest first."""
        self._cordoned: dict[str, None] = {}
        """The cordoned nodes, the first one first."""

    def listing(self, nodes: Nodes, now: float) -> Listing:
        """Return the members of the nodes at the time ``now``, sorted by name.

        Raises :class:`SourceError` if no node is known to be Ready and some are Unknown: the control plane has most probably lost its
        connection to the nodes, rather than all nodes failing together.
        """
        self._note(nodes, now)
        removing = self._settings.cordon is Cordon.REMOVE
        usable = {
            name: node.member
            for name, node in sorted(nodes.items())
            if node.member and not (removing and node.cordoned)
        }
        unknown = [name for name in usable if nodes[name].ready is None]
        if unknown and not any(self._ready[name] for name in usable):
            raise SourceError(
                f"no node is Ready and {len(unknown)} of {len(usable)} are Unknown; assuming a partitioned control plane",
                Trouble.FLOOR,
            )
        if_never_known = self._settings.monitored
        ready = {name: if_never_known if last is None else last for name, last in self._ready.items()}
        enabled = {name for name in usable if ready[name]}
        silent = self._silent(enabled, now)
        cordoned = [name for name in self._cordoned if name in enabled and name not in silent]
        drained = set(cordoned[: max(0, len(enabled) - len(silent) - self._floor(len(usable)))])
        serving = enabled - silent
        members = tuple(
            member if name in serving and name not in drained else _changed(member, name in serving, name in drained)
            for name, member in usable.items()
        )
        problems = (
            *(node.problem for _, node in sorted(nodes.items()) if node.problem),
            *_unknown_problem(unknown, silent, len(usable)),
            *_cordon_problem(cordoned[len(drained) :], self._floor(len(usable))),
        )
        undecided = {name for name, node in nodes.items() if node.member is None or self._ready[name] is None}
        removed = {name for name, node in nodes.items() if removing and node.cordoned}
        return Listing(members, problems, frozenset(removed), unsure=frozenset(undecided - removed))

    def _note(self, nodes: Nodes, now: float) -> None:
        self._ready = {name: self._ready.get(name) if n.ready is None else n.ready for name, n in nodes.items()}
        self._unknown = _kept(self._unknown, (name for name, node in nodes.items() if node.ready is None), now)
        draining = self._settings.cordon is Cordon.DRAIN
        cordoned = (name for name, node in sorted(nodes.items()) if draining and node.cordoned)
        self._cordoned = _kept(self._cordoned, cordoned, None)

    def _silent(self, enabled: AbstractSet[str], now: float) -> AbstractSet[str]:
        """Return the nodes to disable because they are Unknown for too long."""
        if self._settings.monitored:
            return frozenset()
        allowed = int(Decimal(str(self._settings.max_step)) * len(enabled))
        overdue = [name for name, since in self._unknown.items() if name in enabled and now - since >= SILENCE]
        return set(overdue[: min(allowed, len(enabled) - 1)])

    def _floor(self, total: int) -> int:
        return max(1, ceil(Decimal(str(self._settings.threshold)) * total))


def _changed(member: Member, enabled: bool, drained: bool) -> Member:
    return replace(member, enabled=enabled, weight=0 if drained else member.weight)


def _kept(before: Mapping[str, _T], names: Iterable[str], new: _T) -> dict[str, _T]:
    """Return the entries of ``before`` with these names, in their order, then the new names."""
    found = dict.fromkeys(names)
    kept = {name: value for name, value in before.items() if name in found}
    return kept | {name: new for name in found if name not in kept}


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
