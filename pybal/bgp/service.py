"""The daemon's interface to BGP: the speaker, the announcer that sets its goal, and the drains file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from pybal.bgp import drains
from pybal.bgp.announcer import AnnouncementSink, Announcer, Record, unrecorded
from pybal.bgp.delivery import Delivery, Unsent, deliveries
from pybal.bgp.exabgp import arguments
from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.run import ChildProcess
from pybal.bgp.model import Announcement, Session
from pybal.bgp.speaker import PASSWORD_THREADS, Speaker, SpeakerError
from pybal.bgp.verdict import FLAPS, Drain, Standing, Verdict
from pybal.config.settings import BGPSettings, ServiceSettings, Settings
from pybal.core.model import Address, Alert, Pool, Service
from pybal.runtime.reactor import HeartbeatReactor
from pybal.runtime.workers import MakeWorkers, Threads, Workers


class BGPSpeaker(AnnouncementSink, Protocol):
    """A speaker as the daemon uses it: with sessions, or the one of a dry run."""

    @property
    def restarts(self) -> int: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self, settings: BGPSettings) -> None: ...

    def changed_passwords(self) -> Deferred[frozenset[Address]]: ...

    def reconfigure(self, settings: BGPSettings) -> None: ...

    def sessions(self) -> Iterable[Session]: ...

    def alerts(self) -> Iterable[Alert]: ...


class DryRunSpeaker:
    """The speaker of a dry run: it has no session and sends nothing."""

    restarts = 0

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self, settings: BGPSettings) -> None: ...

    def changed_passwords(self) -> Deferred[frozenset[Address]]:
        return succeed(frozenset())

    def reconfigure(self, settings: BGPSettings) -> None: ...

    def announce(self, announcements: Iterable[Announcement]) -> None: ...

    def sessions(self) -> Iterable[Session]:
        return ()

    def alerts(self) -> Iterable[Alert]:
        return ()


_NO_ALERT = (Unsent.DRY_RUN, Unsent.NOT_SENT)
"""Reasons that are no problem, or have their own alert as soon as they last."""


class BGPService:
    """Announce the VIPs of ``settings`` to the peers of ``bgp``.

    ``pool`` returns the pool of a service, ``verified`` whether IPVS holds its wanted state, ``absent`` whether another
    program removed it from IPVS; call :meth:`changed` when the result of one changes. ``runtime`` is a directory for sockets and temporary files, ``state`` one for files that
    outlive the daemon, if any. ``files`` (one thread) reads and writes these, ``names`` looks up our user. ``workers``
    makes other threads, ``spawn`` starts ExaBGP. ``record`` receives each decision.
    """

    def __init__(
        self,
        settings: Settings,
        bgp: BGPSettings,
        *,
        pool: Callable[[str], Pool],
        verified: Callable[[Service], bool],
        reactor: HeartbeatReactor,
        runtime: Path,
        state: Path | None,
        random: Random,
        frozen: Callable[[], bool] = lambda: False,
        absent: Callable[[Service], bool] = lambda _service: False,
        files: Threads | None = None,
        names: Threads | None = None,
        workers: MakeWorkers = Workers,
        spawn: Callable[..., ChildProcess] = Child,
        record: Record = unrecorded,
    ) -> None:
        self._services = _announced(settings)
        self._pool = pool
        self._verified = verified
        self._frozen = frozen
        self._absent = absent
        self._reactor = reactor
        files = files or workers("drains", 1, reactor)
        self._drains_file = drains.DrainsFile(state / "drains.json", files, reactor) if state else None
        self._names = names or workers("bgp-user", 1, reactor)
        self._dry_run = settings.dry_run
        self._standings: dict[str, Standing] = {}
        self._speaker_started = self._stopped = False
        self._speaker: BGPSpeaker = (
            DryRunSpeaker()
            if settings.dry_run
            else Speaker(
                bgp,
                reactor=reactor,
                directory=runtime / "bgp",
                random=random,
                changed=lambda: None,
                spawn=spawn,
                threads=workers("passwords", PASSWORD_THREADS, reactor),
                files=workers("exabgp", 1, reactor),
            )
        )
        self._announcer = Announcer(
            bgp,
            self._speaker,
            self._gather,
            clock=reactor,
            advertised=_advertised(settings),
            dry_run=settings.dry_run,
            record=record,
        )
        self.changed = self._announcer.changed

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """The verdict for each VIP."""
        return self._announcer.verdicts

    @property
    def restarts(self) -> int:
        """The number of restarts of ExaBGP."""
        return self._speaker.restarts

    @property
    def keeps(self) -> bool:
        """True if drains can be saved for the next start of the daemon."""
        return self._drains_file is not None

    def start(self) -> Deferred[None]:
        """Start sessions and decisions. Fails with SpeakerError or DrainError.

        Then it may be called again, and :meth:`stop` must be called in any case.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        if self._drains_file and not self._drains_file.is_read:
            kept = await self._drains_file.read()
            self._announcer.drains.update(
                {vip: drain for vip, drain in kept.items() if vip not in self._announcer.drains}
            )
        if not self._dry_run:
            await self._look_up_user()
        if self._stopped:
            return
        self._speaker.start()
        self._speaker_started = True
        self._announcer.start()

    async def stop(self) -> None:
        """Withdraw everything, and return when ExaBGP has ended."""
        self._stopped = True
        self._announcer.stop()
        if self._speaker_started:
            await self._speaker.stop()

    def check(self, settings: Settings) -> None:
        """Raise SpeakerError if :meth:`reconfigure` would fail."""
        if settings.bgp:
            self._speaker.check(settings.bgp)

    def reconfigure(self, settings: Settings, new: Collection[str]) -> None:
        """Apply settings, with BGP still enabled; services in ``new`` replace earlier ones of that name."""
        assert settings.bgp  # noqa: S101  # disabling BGP takes a restart
        self._services = _announced(settings)
        self._standings.clear()
        self._speaker.reconfigure(settings.bgp)
        self._announcer.reconfigure(settings.bgp, _advertised(settings), new)

    def changed_passwords(self) -> Deferred[frozenset[Address]]:
        """Return the peers whose MD5 password a reload would replace, although their options stay as they are."""
        return self._speaker.changed_passwords()

    def foresee(self, settings: Settings, pools: Mapping[str, Pool], new: Collection[str]) -> Sequence[Verdict]:
        """Return the verdicts after a :meth:`reconfigure`, given the pools after it."""
        assert settings.bgp  # noqa: S101
        standings = [_standing_of(each, pools[each.service.name], *self._facts(each)) for each in _announced(settings)]
        return self._announcer.foresee(settings.bgp, standings, _advertised(settings), new)

    def holds(self, vip: Address) -> bool:
        """Return whether a VIP has a verdict, or a peer still holds its route."""
        return any(verdict.vip == vip for verdict in self.verdicts) or any(
            announcement.vip == vip for session in self.sessions() for announcement in session.on_wire
        )

    def drain(self, vip: Address | None, by: str, reason: str, *, kept: bool = False) -> Deferred[None]:
        """Drain a VIP (``None``: all VIPs) and save the drain.

        Fails with DrainError if the drain, although active, cannot be saved.
        """
        self._announcer.drain(vip, by, reason, kept=kept)
        return self._save_drains()

    def undrain(self, vip: Address | None) -> Deferred[None]:
        """Cancel a drain, also in the file.

        Fails with DrainError if the drain, although cancelled, cannot be removed from the file.
        """
        self._announcer.undrain(vip)
        return self._save_drains()

    def drains(self) -> Iterable[Drain]:
        """Return the current drains."""
        return tuple(self._announcer.drains.values())

    def sessions(self) -> Iterable[Session]:
        """Return a snapshot of each session."""
        return self._speaker.sessions()

    def deliveries(self) -> Iterator[Delivery]:
        """Yield each verdict with the peers that hold its VIP."""
        return deliveries(self.verdicts, tuple(self.sessions()), dry_run=self._dry_run)

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each VIP that is not announced, and those of the speaker."""
        for each in self.deliveries():
            verdict, prefix = each.verdict, each.prefix
            if each.why and each.why not in _NO_ALERT:
                text = f"{prefix}: {each.why} ({each.detail})"
                data = {"vip": str(verdict.vip), "why": str(each.why), "detail": each.detail}
                yield Alert("", "not-announced", text, subject=prefix, since=each.since, data=data)
            if verdict.flaps >= FLAPS:
                text = f"{prefix}: withdrawn {verdict.flaps} times with less than 10 minutes between"
                yield Alert("", "flapping", f"{text}; its services fail and recover", subject=prefix)
        yield from self._speaker.alerts()

    def _save_drains(self) -> Deferred[None]:
        if self._drains_file is None:
            return succeed(None)
        return Deferred.fromCoroutine(self._drains_file.write(self._announcer.drains.values()))

    async def _look_up_user(self) -> None:
        def too_late(_result: object, seconds: float) -> str:
            raise SpeakerError(f"no response from the name service for {seconds:g} s")

        with suppress(KeyError):  # the speaker reports it
            await self._names.run(arguments.user).addTimeout(drains.PATIENCE, self._reactor, too_late)

    def _gather(self) -> Iterator[Standing]:
        for settings in self._services:
            yield self._standing(settings)

    def _standing(self, settings: ServiceSettings) -> Standing:
        """Return the standing of a service: the identical object until it changes."""
        name = settings.service.name
        before, pool = self._standings.get(name), self._pool(name)
        facts = self._facts(settings)
        if before and before.pool is pool and (before.verified, before.frozen, before.absent) == facts:
            return before
        standing = self._standings[name] = _standing_of(settings, pool, *facts)
        return standing

    def _facts(self, settings: ServiceSettings) -> tuple[bool, bool, bool]:
        """Return whether a service is verified, frozen and absent; see :class:`Standing`."""
        return self._verified(settings.service), self._frozen(), self._absent(settings.service)


def _standing_of(settings: ServiceSettings, pool: Pool, verified: bool, frozen: bool, absent: bool) -> Standing:
    return Standing(
        pool,
        verified,
        settings.bgp_med,
        settings.bgp_withdraw_below,
        settings.bgp_vip_policy,
        frozen,
        absent,
    )


def _announced(settings: Settings) -> Sequence[ServiceSettings]:
    return [each for each in settings.services if each.bgp]


def _advertised(settings: Settings) -> Sequence[Address]:
    return settings.instrumentation.advertised_ips if settings.instrumentation else ()
