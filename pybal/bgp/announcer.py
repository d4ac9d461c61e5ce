"""Decides on the announcements again whenever something changed, tells the speaker, and logs each change with its why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Drain, Memory, Standing, Verdict, announced, decide
from pybal.config.settings import BGPSettings
from pybal.core.model import Address


class Speaks(Protocol):
    """Whoever has the peers hold what is announced: the goal replaces the former."""

    def announce(self, announcements: Iterable[Announcement]) -> None: ...


class Announcer:
    """Has ``speaker`` announce what is to be announced, according to the standings that ``gather`` returns.

    ``advertised`` are the addresses that serve the HTTP endpoints. In a dry run the log says what would be done.
    """

    _log = Logger()

    def __init__(
        self,
        settings: BGPSettings,
        speaker: Speaks,
        gather: Callable[[], Iterable[Standing]],
        *,
        clock: IReactorTime,
        advertised: Iterable[Address] = (),
        dry_run: bool = False,
    ) -> None:
        self.verdicts: Sequence[Verdict] = ()
        """One for each VIP, those of the services first."""
        self.drains: dict[Address | None, Drain] = {}
        self._settings = settings
        self._speaker = speaker
        self._gather = gather
        self._clock = clock
        self._advertised = tuple(advertised)
        self._would = "Would announce" if dry_run else "Announcing"
        self._memory = Memory()
        self._told: tuple[Announcement, ...] = ()
        self._due: IDelayedCall | None = None
        self._wake: IDelayedCall | None = None
        self._running = False

    def start(self) -> None:
        """Begin: nothing was announced so far."""
        self._running = True
        self.changed()

    def stop(self) -> None:
        """Decide no more. What is announced is the speaker's to withdraw."""
        self._running = False
        for call in (self._due, self._wake):
            if call and call.active():
                call.cancel()

    def changed(self) -> None:
        """Decide again at the end of this turn of the loop, however often this is called in it."""
        if self._running and self._due is None:
            self._due = self._clock.callLater(0, self._decide)

    def reconfigure(self, settings: BGPSettings, advertised: Iterable[Address], new: Collection[str]) -> None:
        """Go on by other settings; services called ``new`` are others than those of that name before."""
        self._settings, self._advertised = settings, tuple(advertised)
        self._memory = self._without(new)
        self.changed()

    def foresee(
        self, settings: BGPSettings, standings: Iterable[Standing], advertised: Iterable[Address], new: Collection[str]
    ) -> Sequence[Verdict]:
        """Return what would be decided now by other settings."""
        memory, now = self._without(new), self._clock.seconds()
        return decide(standings, advertised, drains=self.drains, settings=settings, memory=memory, now=now).verdicts

    def _without(self, names: Collection[str]) -> Memory:
        services = {name: past for name, past in self._memory.services.items() if name not in names}
        return replace(self._memory, services=MappingProxyType(services))

    def drain(self, vip: Address | None, by: str, reason: str, *, kept: bool = False) -> None:
        """Announce a VIP, or with ``None`` all of them, less and then no more. One that goes on keeps its time."""
        before = self.drains.get(vip)
        at = before.at if before else self._clock.seconds()
        self.drains[vip] = Drain(vip, at, by, reason, kept)
        self.changed()

    def undrain(self, vip: Address | None) -> None:
        """Undo a drain; does nothing where there is none."""
        if self.drains.pop(vip, None):
            self.changed()

    def _decide(self) -> None:
        self._due = None
        decided = decide(
            self._gather(),
            self._advertised,
            drains=self.drains,
            settings=self._settings,
            memory=self._memory,
            now=self._clock.seconds(),
        )
        before = {verdict.vip: verdict for verdict in self.verdicts}
        self.verdicts, self._memory = tuple(decided.verdicts), decided.memory
        self._sleep(decided.wake)
        for verdict in self.verdicts:
            self._say(before.pop(verdict.vip, None), verdict)
        for verdict in before.values():
            self._log.info("Not announcing {vip}: no longer configured", vip=_prefix(verdict), system="bgp")
        goal = tuple(announced(self.verdicts))
        if goal != self._told:
            self._told = goal
            self._speaker.announce(goal)

    def _sleep(self, until: float | None) -> None:
        if self._wake and self._wake.active():
            self._wake.cancel()
        # A clock read a hair early would find nothing changed, and come again at once: never for ever.
        self._wake = self._clock.callLater(max(0.0, until - self._clock.seconds()), self.changed) if until else None

    def _say(self, before: Verdict | None, verdict: Verdict) -> None:
        """Log a change of what is announced, or of why it is not."""
        if before and (before.announcement, before.why) == (verdict.announcement, verdict.why):
            return
        if verdict.announcement is None:
            level = self._log.warn if before and before.announcement else self._log.info
            line = f"Not announcing {_prefix(verdict)}: {verdict.why} ({verdict.detail})"
        else:
            level = self._log.info
            shutdown = ", graceful shutdown" if verdict.announcement.graceful_shutdown else ""
            line = f"{self._would} {_prefix(verdict)}, MED {verdict.announcement.med}{shutdown}: {verdict.detail}"
        level("{line}", line=line, system="bgp")


def _prefix(verdict: Verdict) -> str:
    return f"{verdict.vip}/{verdict.vip.max_prefixlen}"
