"""The progress of the start, and the status line of the daemon for the service manager.

A service has *begun* when its first list has come, each server of it was looked up and checked once, and IPVS holds what the pool
wants, as read back. The daemon is ready when every service has begun: a service without a list is awaited for
:data:`LIST_SECONDS`, because a dead source must delay neither a boot nor a restart, and the others for :data:`LATEST_SECONDS`.
Then the status line has the totals of the daemon. They are counted without a look at single servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.bgp.delivery import Delivery
from pybal.bgp.verdict import Count
from pybal.config.describe import NO_SERVICES
from pybal.config.errors import masked
from pybal.core import policy
from pybal.core.text import first_of, numbered
from pybal.daemon.services import RunningService, Services
from pybal.ipvs.reconciler import Reconciler
from pybal.reload.plan import Outcome, Verb
from pybal.runtime.activity import Activity
from pybal.runtime.systemd import Notifier

LIST_SECONDS = 6.0
"""Seconds for which a first list is awaited: a saved list is used 5 s after the start."""
LATEST_SECONDS = 30.0
"""Seconds after the start at which the daemon is ready in any case."""
STARTING_SECONDS = 0.2
STATUS_SECONDS = 5.0
"""Seconds between two looks, during and after the start."""
RELOAD_SECONDS = 60.0
"""Seconds for which the status line shows an applied reload; a refused one stays until the next."""

_NAMED = 3


class Awaited(StrEnum):
    """The part that a service lacks, in the order of the start."""

    LIST = "the first server list of"
    ADDRESSES = "addresses of"
    CHECKS = "first checks of"
    IPVS = "IPVS of"


class Progress:
    """Reports the start and the totals of ``services`` to ``notifier``.

    ``adopted`` is whether IPVS was read. ``deliveries`` returns the announcements, ``alerts`` the number of alerts, ``last_reload``
    the outcome of the last reload.
    """

    _log = Logger()

    def __init__(
        self,
        services: Services,
        reconciler: Reconciler,
        notifier: Notifier,
        clock: IReactorTime,
        *,
        adopted: Callable[[], bool],
        deliveries: Callable[[], Iterable[Delivery]],
        alerts: Callable[[], int],
        last_reload: Callable[[], Outcome | None],
    ) -> None:
        self._services = services
        self._reconciler = reconciler
        self._notifier = notifier
        self._clock = clock
        self._adopted = adopted
        self._deliveries = deliveries
        self._alerts = alerts
        self._last_reload = last_reload
        self._started = clock.seconds()
        self._begun: set[str] = set()
        self._looking = Activity("status for systemd", self._look, clock, interval=STARTING_SECONDS)
        self.is_ready = False
        """True once the daemon is ready."""

    def start(self) -> None:
        """Begin the start."""
        self._started = self._clock.seconds()
        self._looking.start(now=True)

    def stop(self) -> None:
        """Report nothing any more."""
        self._looking.stop()

    def begins(self, service: str) -> bool:
        """Return whether clients should wait for a service: during the start, while it has not begun."""
        return self._is_starting and self._awaited(self._services[service]) is not None

    def any_begins(self) -> bool:
        """Return whether :meth:`begins` is true for a service."""
        return self._is_starting and next(self._awaiting(), None) is not None

    def text(self) -> str:
        """Return the status line."""
        return "; ".join((", ".join(self._totals()), *self._reloads()))

    @property
    def _is_starting(self) -> bool:
        return not self.is_ready and self._clock.seconds() - self._started < LIST_SECONDS

    def _look(self) -> None:
        if self.is_ready:
            self._notifier.status(self.text())
            return
        passed = self._clock.seconds() - self._started
        if passed >= LATEST_SECONDS:
            self._become_ready(passed)
        elif missing := self._missing(passed):
            self._notifier.status(f"starting: waiting for {missing}")
        else:
            self._become_ready(passed)

    def _become_ready(self, passed: float) -> None:
        self.is_ready = True
        self._begun.clear()
        self._looking.interval = STATUS_SECONDS
        self._notifier.ready(self.text())
        self._log.info("ready after {passed:.1f} s: {text}", passed=passed, text=self.text(), system="start")

    def _missing(self, passed: float) -> str:
        """Return what is awaited, for people; empty if nothing is."""
        if not self._adopted():
            return "the IPVS table"
        found: dict[Awaited, list[str]] = {}
        for running, awaited in self._awaiting():
            if awaited is not Awaited.LIST or passed < LIST_SECONDS:
                found.setdefault(awaited, []).append(_named(running, awaited))
        return ", ".join(f"{awaited} {first_of(found[awaited], _NAMED)}" for awaited in Awaited if awaited in found)

    def _awaiting(self) -> Iterator[tuple[RunningService, Awaited]]:
        for running in self._services:
            if (awaited := self._awaited(running)) is not None:
                yield running, awaited

    def _awaited(self, running: RunningService) -> Awaited | None:
        controller, name = running.controller, running.settings.service.name
        if name in self._begun:
            return None
        if not controller.pool.listed:
            return Awaited.LIST
        if not controller.initialized:
            return Awaited.ADDRESSES
        if Count.of(controller.pool).awaited:
            return Awaited.CHECKS
        if controller.pending or not self._reconciler.is_verified(running.settings.service):
            return Awaited.IPVS
        self._begun.add(name)
        return None

    def _totals(self) -> Iterator[str]:
        pools = [running.controller.pool for running in self._services]
        if not pools:
            yield NO_SERVICES
            return
        without = sum(not pool.listed for pool in pools)
        yield numbered(len(pools), "service") + (f" ({without} without a server list)" if without else "")
        yield f"{sum(map(policy.serving, pools))} of {numbered(sum(len(pool.servers) for pool in pools), 'server')} serving"
        announced = [delivery.met for delivery in self._deliveries()]
        if announced:
            yield f"{sum(announced)} of {numbered(len(announced), 'VIP')} announced"
        yield numbered(self._alerts(), "alert")

    def _reloads(self) -> Iterator[str]:
        last = self._last_reload()
        if last is not None and not last.accepted:
            yield f"last reload refused: {first_of(last.problems, 1)}"
        elif last is not None and last.plan is not None and self._clock.seconds() - last.at < RELOAD_SECONDS:
            kept = sum(step.verb is Verb.KEEP for step in last.plan.steps)
            yield f"reloaded: {kept} of {numbered(len(self._services), 'service')} unchanged"


def _named(running: RunningService, awaited: Awaited) -> str:
    name = running.settings.service.name
    return f"{name} ({masked(running.settings.source.url)})" if awaited is Awaited.LIST else name
