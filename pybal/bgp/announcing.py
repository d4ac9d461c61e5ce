"""BGP as the daemon has it: the speaker, the announcer that tells it what to say, and the drains that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pybal.bgp import drain
from pybal.bgp.announce import Drain, Standing, Verdict
from pybal.bgp.announcer import Announcer, Speaks
from pybal.bgp.model import Announcement, Session
from pybal.bgp.speaker import Speaker
from pybal.config.settings import BGPSettings, ServiceSettings, Settings
from pybal.model import Address, Alert, Pool


class Sessions(Speaks, Protocol):
    """A speaker with sessions."""

    @property
    def restarts(self) -> int: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def sessions(self) -> Iterable[Session]: ...

    def alerts(self) -> Iterable[Alert]: ...


class Mute:
    """The speaker of a dry run: it has no session and says nothing."""

    restarts = 0

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def announce(self, announcements: Iterable[Announcement]) -> None: ...

    def sessions(self) -> Iterable[Session]:
        return ()

    def alerts(self) -> Iterable[Alert]:
        return ()


class Announcing:
    """Announces the VIPs of ``settings`` as ``bgp`` says.

    ``pool`` and ``verified`` tell how it stands with a service, ``frozen`` whether announcements stay as they are;
    :meth:`changed` is to be called when one of them does so anew.
    ``runtime`` is a directory for as long as we run, ``state`` one for what outlives us, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        bgp: BGPSettings,
        *,
        pool: Callable[[str], Pool],
        verified: Callable[[str], bool],
        reactor: Any,  # noqa: ANN401  # as in pybal.app
        runtime: Path,
        state: Path | None,
        random: Random,
        frozen: Callable[[], bool] = lambda: False,
    ) -> None:
        self._services = [each for each in settings.services if each.bgp]
        self._pool = pool
        self._verified = verified
        self._frozen = frozen
        self._reactor = reactor
        self._kept = state / "drains.json" if state else None
        self._standings: dict[str, Standing] = {}
        self._speaking = False
        self._speaker: Sessions = (
            Mute()
            if settings.dry_run
            else Speaker(bgp, reactor=reactor, directory=runtime / "bgp", random=random, changed=lambda: None)
        )
        self._announcer = Announcer(
            bgp,
            self._speaker,
            self._gather,
            clock=reactor,
            advertised=settings.instrumentation.advertised_ips if settings.instrumentation else (),
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
            self._announcer.drains.update(drain.read(self._kept, self._reactor.seconds()))
        self._speaker.start()
        self._speaking = True
        self._announcer.start()

    async def stop(self) -> None:
        """Withdraw everything, and return when that has been said."""
        self._announcer.stop()
        if self._speaking:
            await self._speaker.stop()

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
            drain.write(self._kept, self._announcer.drains.values())

    def _gather(self) -> Iterator[Standing]:
        for settings in self._services:
            yield self._standing(settings)

    def _standing(self, settings: ServiceSettings) -> Standing:
        """Return how it stands with a service: the same value as before while nothing has changed."""
        name = settings.service.name
        pool, verified, frozen = self._pool(name), self._verified(name), self._frozen()
        before = self._standings.get(name)
        if before and before.pool is pool and (before.verified, before.frozen) == (verified, frozen):
            return before
        self._standings[name] = Standing(
            pool, verified, settings.bgp_med, settings.bgp_withdraw_below, settings.bgp_vip_policy, frozen
        )
        return self._standings[name]
