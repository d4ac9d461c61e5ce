"""The verdict for each VIP, announced or not and why: a pure function of its services' standings.

Inconclusive reasons delay an announcement and never withdraw one: no server list yet, IPVS not verified, first checks
outstanding, a recent flap. Conclusive reasons withdraw it: no server pooled, too few servers serving, a service that is missing
in IPVS, a drain. Only servers with a weight above 0 count; an unknown server may be serving.

A VIP is announced when each of its services is ready; with the policy ``any``, and after the wait, when one is. It stays
announced while one service (``any``) or each service (``all``) has no conclusive reason against it; with ``any``, a service without
a list and without servers in IPVS does not count. A frozen VIP does not change. Without the gate only a drain counts. The same holds for an address that serves the HTTP endpoints only.

Earlier decisions are a :class:`Memory`, a value passed in and returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from pybal.bgp.model import Announcement
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings, DrainSettings, VIPPolicy
from pybal.core import policy
from pybal.core.model import Address, Health, Pool
from pybal.core.text import numbered

#: Seconds for which enough servers must have been serving before a service that had too few is ready again.
RECOVERY_SECONDS = 30.0
#: Seconds for which a VIP must have been announced, or withdrawn for one reason, until its withdrawals are forgotten.
QUIET_SECONDS = 600.0
#: Seconds at most for which a VIP must have been ready before it is announced again, unless the option says more.
LONGEST_HOLD = 300.0
#: Upper limit of the doublings of the hold time.
MAX_DOUBLINGS = 10
#: Withdrawals, with less than the quiet time between them, that make a VIP flap.
FLAPS = 2


class Why(StrEnum):
    """The reason why a VIP is not announced."""

    NO_CONFIG = "no-config"
    KERNEL_NOT_VERIFIED = "kernel-not-verified"
    FIRST_CHECKS = "first-checks"
    EMPTY = "empty"
    BELOW = "below"
    ABSENT = "not-in-ipvs"
    FLAPPING = "flapping"
    DRAINED = "drained"
    FROZEN = "frozen"


_CONCLUSIVE = frozenset((Why.EMPTY, Why.BELOW, Why.ABSENT))
"""Reasons that withdraw an announcement; the others only delay it."""


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of servers of a pool.

    ``total`` and ``pooled`` count all servers, the others those with a weight above 0: ``enabled`` the enabled ones,
    ``carrying`` the pooled ones and the held addresses, ``possible`` the enabled servers that are not down, ``awaited`` those
    without a first check or an address.
    """

    total: int
    pooled: int
    enabled: int
    carrying: int
    serving: int
    possible: int
    awaited: int

    @classmethod
    def of(cls, pool: Pool) -> Count:
        count = pool.servers.count
        return cls(
            total=len(pool.servers),
            pooled=count(lambda server: server.pooled),
            enabled=count(lambda server: server.enabled and server.weighted),
            carrying=count(lambda server: server.pooled and server.weighted) + sum(map(bool, pool.held.values())),
            serving=policy.serving(pool),
            possible=count(lambda server: server.weighted and server.usable and server.health is not Health.DOWN),
            awaited=count(
                lambda server: (
                    server.weighted and server.usable and (server.health is Health.UNKNOWN or not server.ready)
                )
            ),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one service whose VIP may be announced.

    ``verified``: IPVS holds the wanted state of the service. ``absent``: another program removed the service from IPVS, or its
    destinations, and they are not restored. With fewer servers serving than ``minimum`` it is not ready.
    """

    pool: Pool
    verified: bool
    med: int = 0
    minimum: Limit | None = None
    policy: VIPPolicy = VIPPolicy.ANY
    frozen: bool = False
    absent: bool = False
    count: Count = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once per pool: each decision reads the counts of all pools.
        object.__setattr__(self, "count", Count.of(self.pool))

    @property
    def name(self) -> str:
        return self.pool.service.name

    @property
    def required(self) -> int:
        """The number of servers that must serve for the service to be ready."""
        return self.minimum.of(self.count.enabled) if self.minimum else 0


@dataclass(frozen=True, slots=True)
class Drain:
    """An operator's request to raise the MED of a VIP (``None``: all VIPs), then to withdraw it.

    ``at`` is the monotonic time, in seconds, of its start. With ``kept`` the drain outlives the daemon.
    """

    vip: Address | None
    at: float
    by: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one VIP.

    ``why`` is ``None`` if the VIP is announced. ``detail`` explains the decision to operators. ``since`` is the monotonic
    time of the last change between announced and not announced, or from one reason to another. ``flaps`` is the number of
    withdrawals without a quiet time between them.
    """

    vip: Address
    announcement: Announcement | None
    why: Why | None
    detail: str
    since: float
    flaps: int = 0


@dataclass(frozen=True, slots=True)
class ServicePast:
    """``listed``: time of the first list. ``low``: too few servers. ``enough``: time since enough serve."""

    listed: float | None = None
    low: bool = False
    enough: float | None = None


@dataclass(frozen=True, slots=True)
class VIPPast:
    """The last decision on the VIP.

    ``seen``: time of the first one. ``withdrawn``: the conclusive reason of the last withdrawal. ``ready``: time since which
    the VIP could be announced, if it is not. ``flaps``: see :class:`Verdict`.
    """

    seen: float
    since: float
    announced: bool = False
    why: Why | None = None
    withdrawn: Why | None = None
    ready: float | None = None
    flaps: int = 0

    def hold(self, settings: BGPSettings) -> float:
        """Return the seconds for which the VIP must be ready before it is announced again."""
        if self.withdrawn is not Why.EMPTY or self.flaps < FLAPS:
            return 0.0
        doublings = min(self.flaps - FLAPS, MAX_DOUBLINGS)
        return min(settings.hold * 2.0**doublings, max(settings.hold, LONGEST_HOLD))

    @property
    def quiet_at(self) -> float | None:
        """The time at which the withdrawals are forgotten if nothing changes until then."""
        rests = self.flaps and (self.announced or self.why in _CONCLUSIVE)
        return self.since + QUIET_SECONDS if rests else None

    def at(self, now: float) -> VIPPast:
        """Return the past as it counts now."""
        return self if self.quiet_at is None or now < self.quiet_at else replace(self, flaps=0)

    def after(self, verdict: Verdict, ready: float | None) -> VIPPast:
        """Return the past after a verdict."""
        announced, withdrawn, flaps = verdict.announcement is not None, self.withdrawn, self.flaps
        if announced:
            withdrawn = None
        elif self.announced and verdict.why in _CONCLUSIVE:
            withdrawn, flaps = verdict.why, flaps + 1
        return VIPPast(self.seen, verdict.since, announced, verdict.why, withdrawn, ready, flaps)


@dataclass(frozen=True, slots=True)
class Memory:
    """The earlier decisions, and the times that they depend on."""

    vips: Mapping[Address, VIPPast] = field(default_factory=lambda: MappingProxyType({}))
    services: Mapping[str, ServicePast] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict for each VIP; ``wake`` is the monotonic time of the next decision without an event."""

    verdicts: Sequence[Verdict]
    memory: Memory
    wake: float | None


@dataclass(frozen=True, slots=True)
class _Reason:
    why: Why
    detail: str


def decide(
    standings: Iterable[Standing],
    advertised: Iterable[Address] = (),
    *,
    drains: Mapping[Address | None, Drain],
    settings: BGPSettings,
    memory: Memory,
    now: float,
) -> Decided:
    """Decide on the VIPs of the services, and on the ``advertised`` addresses without a service."""
    by_vip: dict[Address, list[Standing]] = {}
    for standing in standings:
        by_vip.setdefault(standing.pool.service.vip, []).append(standing)
    for address in advertised:
        by_vip.setdefault(address, [])
    services = {
        standing.name: _remember(standing, memory.services.get(standing.name, ServicePast()), now)
        for own in by_vip.values()
        for standing in own
    }
    verdicts, vips = [], {}
    for vip, own in by_vip.items():
        past = (memory.vips.get(vip) or VIPPast(now, now)).at(now)
        drain = min((drains[key] for key in (vip, None) if key in drains), key=lambda each: each.at, default=None)
        verdict, ready = _Judge(own, services, settings, past, now).verdict(vip, drain)
        vips[vip] = past.after(verdict, ready)
        verdicts.append(replace(verdict, flaps=vips[vip].flaps))
    after = Memory(MappingProxyType(vips), MappingProxyType(services))
    return Decided(verdicts, after, _wake(after, drains, settings, now))


def _remember(standing: Standing, past: ServicePast, now: float) -> ServicePast:
    count = standing.count
    if not standing.pool.listed:
        return past
    listed = now if past.listed is None else past.listed
    if not standing.minimum:
        return ServicePast(listed)
    enough = past.enough if past.enough is not None else now
    if count.serving < standing.required:
        return ServicePast(listed, past.low or count.possible < standing.required)
    return ServicePast(listed, past.low and now < enough + RECOVERY_SECONDS, enough)


def _wake(memory: Memory, drains: Mapping[Address | None, Drain], settings: BGPSettings, now: float) -> float | None:
    ends = [past.seen + settings.wait for past in memory.vips.values() if not past.announced]
    ends += [drain.at + settings.drain.wait for drain in drains.values()]
    for vip in memory.vips.values():
        ends += [vip.quiet_at] if vip.quiet_at is not None else []
        ends += [vip.ready + vip.hold(settings)] if vip.ready is not None else []
    for past in memory.services.values():
        ends += [] if past.listed is None else [past.listed + settings.wait]
        ends += [past.enough + RECOVERY_SECONDS] if past.low and past.enough is not None else []
    return min((end for end in ends if end > now), default=None)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Decide on one VIP from its services; an address that serves the HTTP endpoints only has no service."""

    services: Sequence[Standing]
    pasts: Mapping[str, ServicePast]
    settings: BGPSettings
    past: VIPPast
    now: float

    def verdict(self, vip: Address, drain: Drain | None) -> tuple[Verdict, float | None]:
        """Return the verdict, and the time since which the VIP could be announced if it is not."""
        over = drain is not None and self.now >= drain.at + self.settings.drain.wait
        # A drained VIP is decided like one that was never announced, so that the next decision finds the same reason.
        judged = replace(self, past=replace(self.past, announced=False)) if over else self
        reason, ready = judged.reason(), None
        if reason is None and not judged.past.announced:
            ready = self.now if self.past.ready is None else self.past.ready
            reason = judged.holding(ready)
        announced = reason is None
        if drain and (reason is None or reason.why not in _CONCLUSIVE):
            announced = self.past.announced and not over
            reason = None if announced else _Reason(Why.DRAINED, f"by {drain.by}: {drain.reason}")
        announcement = self._announcement(vip, drain) if announced else None
        why = reason.why if reason else None
        same = announced == self.past.announced and why is self.past.why
        detail = reason.detail if reason else self._support(drain)
        verdict = Verdict(vip, announcement, why, detail, self.past.since if same else self.now)
        return verdict, None if announced else ready

    def holding(self, ready: float) -> _Reason | None:
        """Return the reason not to announce the VIP yet, if it flaps; it is ready since a time."""
        hold = self.past.hold(self.settings)
        if self.now >= ready + hold:
            return None
        return _Reason(Why.FLAPPING, f"withdrawn {self.past.flaps} times in short order; must be ready for {hold:g} s")

    def _announcement(self, vip: Address, drain: Drain | None) -> Announcement:
        med = self.services[0].med if self.services else self.settings.med
        if drain is None:
            return Announcement(vip, med)
        means: DrainSettings = self.settings.drain
        return Announcement(vip, max(med, means.med), means.graceful_shutdown)

    def _support(self, drain: Drain | None) -> str:
        """Return the facts that support the announcement."""
        if drain:
            left = drain.at + self.settings.drain.wait - self.now
            return f"draining, {left:.0f} s left: by {drain.by}: {drain.reason}"
        if not self.services:
            return "serves the HTTP endpoints"
        verified = sum(standing.verified for standing in self.services)
        pooled = sum(standing.count.pooled for standing in self.services)
        total = sum(standing.count.total for standing in self.services)
        servers = f"{numbered(verified, 'service')} verified, {pooled} of {numbered(total, 'server')} pooled"
        return servers if self.settings.gate else f"no gate; {servers}"

    def reason(self) -> _Reason | None:
        """Return the reason not to announce the VIP, drains excluded."""
        if not self.services or not self.settings.gate:
            return None
        if any(standing.frozen for standing in self.services):
            names = ", ".join(standing.name for standing in self.services if standing.frozen)
            return None if self.past.announced else _Reason(Why.FROZEN, names)
        reasons = [self._service_reason(standing) for standing in self.services]
        conclusive = [reason for reason in reasons if reason and reason.why in _CONCLUSIVE]
        inconclusive = [reason for reason in reasons if reason and reason.why not in _CONCLUSIVE]
        any_service = self.services[0].policy is VIPPolicy.ANY
        if self.past.announced:
            kept = any_service and any(map(_supports, self.services, reasons))
            return None if kept or not conclusive else conclusive[0]
        if any_service and None in reasons:
            waited = not inconclusive or self.now >= self.past.seen + self.settings.wait
            return None if waited else inconclusive[0]
        # Conclusive reasons first: the same reason withdrew the announcement.
        return next(iter(conclusive + inconclusive), None)

    def _service_reason(self, standing: Standing) -> _Reason | None:
        """Return the reason not to announce the VIP for one of its services."""
        count, past, name = standing.count, self.pasts[standing.name], standing.name
        if not standing.pool.listed or past.listed is None:
            return _Reason(Why.NO_CONFIG, f"{name}: no server list yet")
        if standing.absent:
            return _Reason(Why.ABSENT, f"{name}: removed from IPVS by another program and not restored")
        servers = numbered(count.enabled, "server")
        below = _Reason(Why.BELOW, f"{name}: {count.serving} of {servers} serving, wanted {standing.required}")
        if past.low:
            return (
                below if past.enough is None else replace(below, detail=f"{below.detail} for {RECOVERY_SECONDS:.0f} s")
            )
        unknown = _Reason(Why.FIRST_CHECKS, f"{name}: {count.awaited} of {numbered(count.total, 'server')} unknown")
        awaited = count.awaited and self.now < past.listed + self.settings.wait
        if not count.carrying:
            # An announced VIP is withdrawn for servers that are known to be down, never for unknown ones.
            undecided = count.possible if self.past.announced else awaited
            return unknown if undecided else _Reason(Why.EMPTY, _nothing_pooled(name, count))
        if self.past.announced:
            return None
        if not standing.verified:
            return _Reason(Why.KERNEL_NOT_VERIFIED, f"{name}: IPVS does not hold the wanted state yet")
        if awaited:
            return unknown
        return below if count.serving < standing.required else None


def _supports(standing: Standing, reason: _Reason | None) -> bool:
    """Return whether a service keeps its announced VIP: also with unknown servers, not without any."""
    known = standing.pool.listed or standing.count.carrying > 0
    return known and (reason is None or reason.why not in _CONCLUSIVE)


def announced(verdicts: Iterable[Verdict]) -> Iterator[Announcement]:
    """Yield the announcements of the verdicts."""
    for verdict in verdicts:
        if verdict.announcement:
            yield verdict.announcement


def _nothing_pooled(name: str, count: Count) -> str:
    weightless = f" with a weight above 0, {count.pooled} with weight 0" if count.pooled else ""
    return f"{name}: 0 of {numbered(count.total, 'server')} pooled{weightless}"
