"""The interface of the daemon that commands use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from pybal.bgp.service import BGPService
from pybal.config.settings import Settings
from pybal.control.freeze import Freezer
from pybal.control.overrides import Overrides
from pybal.core.model import Snapshot
from pybal.ipvs.reconciler import Reconciler
from pybal.reload.file import Loaded
from pybal.reload.plan import Outcome, ReloadPlan
from pybal.sources.pool_source import PoolSource
from pybal.status.overview import Overview
from pybal.status.routes import RouteResponse

SETTLED_SECONDS = 5.0


class File(Protocol):
    """The configuration file; see :class:`pybal.daemon.loader.Loader`."""

    path: str

    def load(self) -> Awaitable[Loaded]:
        """Return the settings of the file. Raises ConfigError or OSError."""

    def parse(self, text: bytes, path: str) -> Awaitable[Loaded]:
        """Return the settings of a text, as if it were the file, without opening any file. Raises ConfigError."""


class ReloadCall(Protocol):
    """Read ``file`` again and apply or refuse it."""

    def __call__(self, *, force: bool) -> Awaitable[Outcome]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAPI:
    """The parts of the daemon that commands read and change.

    ``overview`` returns the summary of its state, ``sources`` the pool source of each service by name.
    ``read`` returns the response of an HTTP path (:meth:`pybal.status.routes.Routes.answer`). ``frozen`` returns a line about the present freeze, empty without one. ``announcing`` is ``None`` if BGP is off. ``plan`` returns the changes that a reload with other settings would make,
    ``pending`` whether changes are not applied to their pools yet.
    """

    clock: IReactorTime
    snapshot: Callable[[], Snapshot]
    overview: Callable[[], Overview]
    freezer: Freezer
    frozen: Callable[[], str]
    overrides: Overrides
    announcing: BGPService | None
    file: File
    plan: Callable[[Settings], Awaitable[ReloadPlan]]
    reload: ReloadCall
    reconciler: Reconciler
    sources: Callable[[], Iterable[tuple[str, PoolSource]]]
    pending: Callable[[], bool]
    read: Callable[..., RouteResponse]

    async def settled(self) -> None:
        """Wait until a change has had its effect: the calls of one turn of the loop have no fixed order.

        A change of a large pool takes several turns; wait for it at most :data:`SETTLED_SECONDS`.
        """
        end = self.clock.seconds() + SETTLED_SECONDS
        for _ in range(2):
            await deferLater(self.clock, 0)
        while self.pending() and self.clock.seconds() < end:
            await deferLater(self.clock, 0)
