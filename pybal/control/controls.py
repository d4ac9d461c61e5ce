"""What commands may ask and do: all that the daemon gives into their hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from pybal.bgp.announcing import Announcing
from pybal.freeze import Freezer
from pybal.ipvs.backend import Backend
from pybal.ipvs.reconcile import Reconciler
from pybal.model import Snapshot
from pybal.status.bgp import BGP


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What commands may ask and do.

    ``started`` is the monotonic time of the daemon's start, in seconds. ``monitors`` gives those that run. ``announcing`` is
    ``None`` without BGP. ``ipvs`` is where the table lives that ``reconciler`` writes.
    """

    clock: IReactorTime
    started: float
    dry_run: bool
    snapshot: Callable[[], Snapshot]
    bgp: Callable[[], BGP]
    monitors: Callable[[], Iterable[object]]
    freezer: Freezer
    announcing: Announcing | None
    reconciler: Reconciler
    ipvs: Backend
