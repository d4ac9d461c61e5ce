"""BGP as the daemon has it: the speaker, the announcer that tells it what to say, and the drains that are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pybal.bgp import drains
from pybal.bgp.announcer import Announcer, Speaks
from pybal.bgp.model import Announcement, Session
from pybal.bgp.speaker import Speaker
from pybal.bgp.verdict import Drain, Standing, Verdict
from pybal.config.settings import BGPSettings, ServiceSettings, Settings
from pybal.core.model import Address, Alert, Pool, Service


class Sessions(Speaks, Protocol):
    """A speaker with sessions."""

    @property
    def restarts(self) -> int: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self, settings: BGPSettings) -> None: ...

    def reconfigure(self, settings: BGPSettings) -> None: ...

    def sessions(self) -> Iterable[Session]: ...

    def alerts(self) -> Iterable[Alert]: ...


class DryRunSpeaker:
    """The speaker of a dry run: it has no session and says nothing."""

    restarts = 0

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self, settings: BGPSettings) -> None: ...

    def reconfigure(self, settings: BGPSettings) -> None: ...

    def announce(self, announcements: Iterable[Announcement]) -> None: ...

    def sessions(self) -> Iterable[Session]:
        return ()

    def alerts(self) -> Iterable[Alert]:
        return ()


class BGPService:
    """Announces the VIPs of ``settings`` as ``bgp`` says.

    ``pool`` and ``verified`` tell how it stands with a service; :meth:`changed` is to be called when either does so anew.
    ``runtime`` is a directory for as long as we run, ``state`` one for what outlives us, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        bgp: BGPSettings,
        *,
        pool: Callable[[str], Pool],
        verified: Callable[[Service], bool],
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        runtime: Path,
        state: Path | None,
        random: Random,
        frozen: Callable[[], bool] = lambda: False,
    ) -> None:
        self._services = _announced(settings)
        self._pool = pool
        self._verified = verified
        self._frozen = frozen
        self._reactor = reactor
        self._kept = state / "drains.json" if state else None
        self._standings: dict[str, Standing] = {}
        self._speaking = False
        self._speaker: Sessions = (
            DryRunSpeaker()
            if settings.dry_run
            else Speaker(bgp, reactor=reactor, directory=runtime / "bgp", random=random, changed=lambda: None)
        )
        self._announcer = Announcer(
            bgp,
            self._speaker,
            self._gather,
            clock=reactor,
            advertised=_advertised(settings),
            dry_run=settings.dry_run,
        )
        self.changed = self._announcer.changed

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """What was decided on each VIP."""
        return self._announcer.verdicts

    @property
    def restarts(self) -> int:
        """How often ExaBGP was begun again."""
        return self._speaker.restarts

    @property
    def keeps(self) -> bool:
        """Whether a drain can outlive the daemon."""
        return self._kept is not None

    def start(self) -> None:
        """Begin the sessions, and decide. Raises SpeakerError or DrainError; it must be stopped even then."""
        if self._kept:
            self._announcer.drains.update(drains.read(self._kept, self._reactor.seconds()))
        self._speaker.start()
        self._speaking = True
        self._announcer.start()

    async def stop(self) -> None:
        """Withdraw everything, and return when that has been said."""
        self._announcer.stop()
        if self._speaking:
            await self._speaker.stop()

    def check(self, settings: Settings) -> None:
        """Raise SpeakerError unless :meth:`reconfigure` can be done."""
        if settings.bgp:
            self._speaker.check(settings.bgp)

    def reconfigure(self, settings: Settings, new: Collection[str]) -> None:
        """Go on by settings that have BGP, too; services called ``new`` are others than those of that name before."""
        assert settings.bgp  # noqa: S101  # to end it takes a restart
        self._services = _announced(settings)
        self._standings.clear()
        self._speaker.reconfigure(settings.bgp)
        self._announcer.reconfigure(settings.bgp, _advertised(settings), new)

    def foresee(self, settings: Settings, pools: Mapping[str, Pool], new: Collection[str]) -> Sequence[Verdict]:
        """Return what :meth:`reconfigure` would have decided on each VIP, with pools as they would be."""
        assert settings.bgp  # noqa: S101
        standings = [self._standing_of(each, pools[each.service.name]) for each in _announced(settings)]
        return self._announcer.foresee(settings.bgp, standings, _advertised(settings), new)

    def holds(self, vip: Address) -> bool:
        """Return whether a VIP is announced, or on its way to any peer or from it."""
        return any(verdict.vip == vip for verdict in self.verdicts) or any(
            announcement.vip == vip for session in self.sessions() for announcement in session.on_wire
        )

    def drain(self, vip: Address | None, by: str, reason: str, *, kept: bool = False) -> None:
        """Drain a VIP, or with ``None`` all of them. Raises DrainError, and drains all the same, if it cannot be kept."""
        self._announcer.drain(vip, by, reason, kept=kept)
        self._keep()

    def undrain(self, vip: Address | None) -> None:
        """Undo a drain. Raises DrainError, and undoes it all the same, if that cannot be kept."""
        self._announcer.undrain(vip)
        self._keep()

    def drains(self) -> Iterable[Drain]:
        """Return the drains there are."""
        return tuple(self._announcer.drains.values())

    def sessions(self) -> Iterable[Session]:
        """Return how it stands with each peer."""
        return self._speaker.sessions()

    def alerts(self) -> Iterator[Alert]:
        """Yield what an operator should know: each VIP that is not announced, and trouble with the peers."""
        for verdict in self.verdicts:
            if verdict.why:
                prefix = f"{verdict.vip}/{verdict.vip.max_prefixlen}"
                yield Alert("", "not-announced", f"{prefix}: {verdict.why} ({verdict.detail})")
        yield from self._speaker.alerts()

    def _keep(self) -> None:
        if self._kept:
            drains.write(self._kept, self._announcer.drains.values())

    def _gather(self) -> Iterator[Standing]:
        for settings in self._services:
            yield self._standing(settings)

    def _standing(self, settings: ServiceSettings) -> Standing:
        """Return how it stands with a service: the same value as before while nothing has changed."""
        name = settings.service.name
        before, now = self._standings.get(name), self._standing_of(settings, self._pool(name))
        if before and before.pool is now.pool and (before.verified, before.frozen) == (now.verified, now.frozen):
            return before
        self._standings[name] = now
        return now

    def _standing_of(self, settings: ServiceSettings, pool: Pool) -> Standing:
        return Standing(
            pool,
            self._verified(settings.service),
            settings.bgp_med,
            settings.bgp_withdraw_below,
            settings.bgp_vip_policy,
            self._frozen(),
        )


def _announced(settings: Settings) -> Sequence[ServiceSettings]:
    return [each for each in settings.services if each.bgp]


def _advertised(settings: Settings) -> Sequence[Address]:
    return settings.instrumentation.advertised_ips if settings.instrumentation else ()
