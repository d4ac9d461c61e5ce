"""The announcer: decides after each change, passes the goal to the speaker, and logs the reasons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Decided, Drain, Memory, Standing, Verdict, announced, decide
from pybal.config.settings import BGPSettings
from pybal.core.model import Address
from pybal.runtime.activity import Activity


class AnnouncementSink(Protocol):
    """The receiver of the goal; each goal replaces the last one."""

    def announce(self, announcements: Iterable[Announcement]) -> None: ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything on which a decision depends, besides the decisions before.

    ``forgotten`` are services of which the memory was dropped since the last decision; ``now`` is in monotonic seconds.
    """

    standings: Sequence[Standing]
    advertised: Sequence[Address]
    drains: Mapping[Address | None, Drain]
    settings: BGPSettings
    forgotten: Collection[str]
    now: float


Record = Callable[[Inputs, Decided], None]
"""Receives each decision with its inputs."""


def unrecorded(_inputs: Inputs, _decided: Decided) -> None:
    """Record nothing."""


class Announcer:
    """Decide on the announcements, given the standings of ``gather``, and pass them to ``speaker``.

    ``advertised`` are the addresses that serve the HTTP endpoints. In a dry run the log shows the intended announcements.
    """

    _log = Logger()

    def __init__(
        self,
        settings: BGPSettings,
        speaker: AnnouncementSink,
        gather: Callable[[], Iterable[Standing]],
        *,
        clock: IReactorTime,
        advertised: Iterable[Address] = (),
        dry_run: bool = False,
        record: Record = unrecorded,
    ) -> None:
        self.verdicts: Sequence[Verdict] = ()
        """One for each VIP; VIPs of services come first."""
        self.drains: dict[Address | None, Drain] = {}
        self._settings = settings
        self._speaker = speaker
        self._gather = gather
        self._clock = clock
        self._advertised = tuple(advertised)
        self._verb = "Would announce" if dry_run else "Announcing"
        self._memory = Memory()
        self._forgotten: dict[str, None] = {}
        self._record = record
        self._goal: tuple[Announcement, ...] = ()
        self._activity = Activity("decision about BGP announcements", self._decide, clock)
        self._running = False

    def start(self) -> None:
        """Make the first decision."""
        self._running = True
        self.changed()

    def stop(self) -> None:
        """Make no more decisions. Withdrawing the announcements is the speaker's task."""
        self._running = False
        self._activity.stop()

    def changed(self) -> None:
        """Decide again once, after this turn of the reactor."""
        if self._running:
            self._activity.wake()

    def reconfigure(self, settings: BGPSettings, advertised: Iterable[Address], new: Collection[str]) -> None:
        """Apply other settings; services named in ``new`` replace earlier services of the same name."""
        self._settings, self._advertised = settings, tuple(advertised)
        self._memory = self._without(new)
        self._forgotten |= dict.fromkeys(new)
        self.changed()

    def foresee(
        self, settings: BGPSettings, standings: Iterable[Standing], advertised: Iterable[Address], new: Collection[str]
    ) -> Sequence[Verdict]:
        """Return the verdicts that other settings would give now."""
        memory, now = self._without(new), self._clock.seconds()
        return decide(standings, advertised, drains=self.drains, settings=settings, memory=memory, now=now).verdicts

    def _without(self, names: Collection[str]) -> Memory:
        services = {name: past for name, past in self._memory.services.items() if name not in names}
        return replace(self._memory, services=MappingProxyType(services))

    def drain(self, vip: Address | None, by: str, reason: str, *, kept: bool = False) -> None:
        """Raise the MED of a VIP (``None``: all), then withdraw it. A repeated drain keeps its start time."""
        before = self.drains.get(vip)
        at = before.at if before else self._clock.seconds()
        self.drains[vip] = Drain(vip, at, by, reason, kept)
        self.changed()

    def undrain(self, vip: Address | None) -> None:
        """Cancel a drain, if there is one."""
        if self.drains.pop(vip, None):
            self.changed()

    def _decide(self) -> float | None:
        """Decide, and return the seconds until the time alone changes the decision, if it does."""
        standings, now = tuple(self._gather()), self._clock.seconds()
        decided = decide(
            standings,
            self._advertised,
            drains=self.drains,
            settings=self._settings,
            memory=self._memory,
            now=now,
        )
        before = {verdict.vip: verdict for verdict in self.verdicts}
        self.verdicts, self._memory = tuple(decided.verdicts), decided.memory
        inputs = Inputs(standings, self._advertised, dict(self.drains), self._settings, tuple(self._forgotten), now)
        self._forgotten.clear()
        self._record(inputs, decided)
        for verdict in self.verdicts:
            self._log_change(before.pop(verdict.vip, None), verdict)
        for verdict in before.values():
            self._log.info("Not announcing {vip}: no longer configured", vip=_prefix(verdict), system="bgp")
        goal = tuple(announced(self.verdicts))
        if goal != self._goal:
            self._speaker.announce(goal)
            # After the call: a goal on which the speaker fails is announced again.
            self._goal = goal
        # A timer that fires slightly early finds nothing changed and sets another short timer: this ends when the time is reached.
        return None if decided.wake is None else max(0.0, decided.wake - self._clock.seconds())

    def _log_change(self, before: Verdict | None, verdict: Verdict) -> None:
        """Log a change of the announcement, or of the reason against it."""
        if before and (before.announcement, before.why) == (verdict.announcement, verdict.why):
            return
        if verdict.announcement is None:
            level = self._log.warn if before and before.announcement else self._log.info
            line = f"Not announcing {_prefix(verdict)}: {verdict.why} ({verdict.detail})"
        else:
            level = self._log.info
            shutdown = ", graceful shutdown" if verdict.announcement.graceful_shutdown else ""
            line = f"{self._verb} {_prefix(verdict)}, MED {verdict.announcement.med}{shutdown}: {verdict.detail}"
        level("{line}", line=line, system="bgp")


def _prefix(verdict: Verdict) -> str:
    return f"{verdict.vip}/{verdict.vip.max_prefixlen}"
