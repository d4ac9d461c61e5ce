"""A fault of the whole system: its cause, its repair, and what may be different while it lasts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from typing_extensions import override

from tests.chaos.whole_system.balancer import Balancer
from tests.chaos.whole_system.site import Site

BALANCERS = ("balancer1", "balancer2")
ROUTERS = ("bird", "frr")
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """The effects of a fault on the system; everything else must work as without it."""

    raised: frozenset[Pair] = frozenset()
    """Balancers and the kinds of alert that they must raise, and keep while the fault lasts."""
    passing: frozenset[Pair] = frozenset()
    """Balancers and the kinds of alert that they must raise, and may end before the repair."""
    possible: frozenset[Pair] = frozenset()
    """Balancers and the kinds of alert that they may raise."""
    silent: frozenset[str] = frozenset()
    """Balancers whose endpoints need not respond."""
    dead: frozenset[str] = frozenset()
    """Balancers whose daemon has ended."""
    withdrawn: frozenset[Pair] = frozenset()
    """Balancers and routers: the router must have no route from the balancer."""
    undecided: frozenset[Pair] = frozenset()
    """Balancers and routers: the routes may be there or not."""
    interrupted: frozenset[Pair] = frozenset()
    """Balancers and routers: the routes may be missing for a while."""
    unserved: frozenset[str] = frozenset()
    """Routers whose clients may get no response."""
    unchecked: frozenset[str] = frozenset()
    """Balancers whose pools need not follow the servers."""
    unwritten: frozenset[str] = frozenset()
    """Balancers whose tables need not follow their pools."""

    def unservable(self) -> frozenset[str]:
        """Return the routers whose clients may get no response, also for lack of a balancer with routes."""
        lost = self.withdrawn | self.undecided | self.interrupted | sessions(*self.dead)
        return self.unserved | {router for router in ROUTERS if all((name, router) in lost for name in BALANCERS)}


def together(faults: Sequence[Fault]) -> Consequences:
    """Return the consequences of faults at the same time.

    An alert that one must raise, another may prevent.
    """
    found = [fault.consequences for fault in faults]
    if len(found) == 1:
        return found[0]
    union = {
        field.name: frozenset[Any]().union(*(getattr(each, field.name) for each in found))
        for field in fields(Consequences)
    }
    union["possible"] |= union.pop("raised") | union.pop("passing")
    return Consequences(**union)


def alerts(balancers: Iterable[str], *kinds: str) -> frozenset[Pair]:
    """Return the pairs of these balancers with these kinds of alert."""
    return frozenset((balancer, kind) for balancer in balancers for kind in kinds)


def sessions(*balancers: str) -> frozenset[Pair]:
    """Return the pairs of these balancers with every router."""
    return frozenset((balancer, router) for balancer in balancers for router in ROUTERS)


class Fault(ABC):
    """A fault; the constructor chooses what is random about it, and changes nothing.

    The first line of the docstring of a kind is its name in the output.
    """

    consequences = Consequences()
    touches: frozenset[str]
    """The parts that the fault changes: faults with a part in common do not overlap."""

    def __init__(self, site: Site, random: Random) -> None:
        self.site = site
        self.target = self.choose(random)

    @abstractmethod
    def choose(self, random: Random) -> str:
        """Choose the target, set ``consequences`` and ``touches``, and return a word for the target."""

    @abstractmethod
    def cause(self) -> None: ...

    @abstractmethod
    def repair(self) -> None: ...

    @override
    def __str__(self) -> str:
        name = (type(self).__doc__ or "").partition("\n")[0].rstrip(".")
        return f"{self.target}: {name}"


class BalancerFault(Fault):
    """A fault of one balancer."""

    balancer: Balancer

    @override
    def choose(self, random: Random) -> str:
        self.balancer = random.choice(self.site.balancers)
        self.touches = frozenset({self.balancer.name})
        self.consequences = self.effects(self.balancer.name)
        return self.balancer.name

    @abstractmethod
    def effects(self, name: str) -> Consequences:
        """Return the consequences of a fault of the balancer ``name``."""
