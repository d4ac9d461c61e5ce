"""Which VIPs are announced, and why the others are not: a pure function of how it stands with their services.

What is not known yet holds an announcement back and never takes one back that is made: no list of servers, IPVS not read
back, first checks that have not come. What is known takes it back: nothing pooled, too few servers serving, a drain.

A VIP is made when each of its services is fit; once it has waited, with the policy ``any``, when one is. Made, it stays
while one service (``any``) or every one (``all``) has nothing known against it. What is frozen stays as it is. Without
the gate only a drain counts. An address that serves the HTTP endpoints alone is announced like that, too.

What was decided before is a :class:`Memory`, a value that goes in and comes out.
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

#: For how long enough servers must have been serving before a service that had too few is fit again, in seconds.
RETURN = 30.0


class Why(StrEnum):
    """Why a VIP is not announced."""

    NO_CONFIG = "no-config"
    KERNEL_NOT_VERIFIED = "kernel-not-verified"
    FIRST_CHECKS = "first-checks"
    EMPTY = "empty"
    BELOW = "below"
    DRAINED = "drained"
    FROZEN = "frozen"


_KNOWN = frozenset((Why.EMPTY, Why.BELOW))
"""What is known against a service, as opposed to what is not known yet."""


@dataclass(frozen=True, slots=True)
class Count:
    """The servers of a pool: ``addresses`` are those that IPVS is to hold for it, ``pooled`` the servers among them.

    ``possible`` are the servers that serve or may do so for all we know; ``awaited`` those of which something is to come.
    """

    total: int
    pooled: int
    addresses: int
    serving: int
    possible: int
    awaited: int

    @classmethod
    def of(cls, pool: Pool) -> Count:
        servers = pool.servers.values()
        wanted = [server for server in servers if server.member.enabled and not server.nowhere]
        return cls(
            total=len(servers),
            pooled=sum(server.pooled for server in servers),
            addresses=len(policy.wanted(pool)),
            serving=policy.serving(pool),
            possible=sum(server.health is not Health.DOWN for server in wanted),
            awaited=sum(server.health is Health.UNKNOWN or not server.ready for server in wanted),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one service whose VIP is to be announced.

    ``verified`` tells that IPVS holds what is wanted for it. With fewer servers serving than ``least`` it is not fit.
    """

    pool: Pool
    verified: bool
    med: int = 0
    least: Limit | None = None
    policy: VIPPolicy = VIPPolicy.ANY
    frozen: bool = False
    count: Count = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once for each pool, as it is asked of all of them whenever one changes.
        object.__setattr__(self, "count", Count.of(self.pool))

    @property
    def name(self) -> str:
        return self.pool.service.name

    @property
    def enough(self) -> int:
        """How many servers must serve for the service to be fit."""
        return self.least.of(self.count.total) if self.least else 0


@dataclass(frozen=True, slots=True)
class Drain:
    """Somebody wants a VIP, or with ``None`` all of them, to be announced less and then no more.

    ``at`` is the monotonic time, in seconds, at which it began. With ``kept`` it outlives the daemon.
    """

    vip: Address | None
    at: float
    by: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether and how a VIP is announced.

    ``why`` is ``None`` if it is. ``detail`` is the fact behind that, for people. ``since`` is the monotonic time of the last
    change between announced and not, or from one reason to another.
    """

    vip: Address
    announcement: Announcement | None
    why: Why | None
    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class _ServicePast:
    """``listed``: since when there is a list. ``low``: too few servers; ``enough``: since when that is not so any more."""

    listed: float | None = None
    low: bool = False
    enough: float | None = None


@dataclass(frozen=True, slots=True)
class _VIPPast:
    """``seen``: since when the VIP is ours. ``made``: whether it is announced."""

    seen: float
    since: float
    made: bool = False
    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What was decided before, and what it was that must not be decided anew at every change."""

    vips: Mapping[Address, _VIPPast] = field(default_factory=lambda: MappingProxyType({}))
    services: Mapping[str, _ServicePast] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict for each VIP, in order; ``wake`` is the monotonic time at which one may change by itself, if any."""

    verdicts: Sequence[Verdict]
    memory: Memory
    wake: float | None


@dataclass(frozen=True, slots=True)
class _Trouble:
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
    """Decide on the VIPs of the services, and on the ``advertised`` addresses that are not among them."""
    by_vip: dict[Address, list[Standing]] = {}
    for standing in standings:
        by_vip.setdefault(standing.pool.service.vip, []).append(standing)
    for address in advertised:
        by_vip.setdefault(address, [])
    services = {
        standing.name: _remember(standing, memory.services.get(standing.name, _ServicePast()), now)
        for own in by_vip.values()
        for standing in own
    }
    verdicts, vips = [], {}
    for vip, own in by_vip.items():
        past = memory.vips.get(vip) or _VIPPast(now, now)
        drain = min((drains[key] for key in (vip, None) if key in drains), key=lambda each: each.at, default=None)
        verdict = _Judge(own, services, settings, past, now).verdict(vip, drain)
        verdicts.append(verdict)
        vips[vip] = replace(past, since=verdict.since, made=verdict.announcement is not None, why=verdict.why)
    after = Memory(MappingProxyType(vips), MappingProxyType(services))
    return Decided(verdicts, after, _wake(after, drains, settings, now))


def _remember(standing: Standing, past: _ServicePast, now: float) -> _ServicePast:
    count = standing.count
    if not standing.pool.listed:
        return past
    listed = now if past.listed is None else past.listed
    if not standing.least:
        return _ServicePast(listed)
    enough = past.enough if past.enough is not None else now
    if count.serving < standing.enough:
        return _ServicePast(listed, past.low or count.possible < standing.enough)
    return _ServicePast(listed, past.low and now < enough + RETURN, enough)


def _wake(memory: Memory, drains: Mapping[Address | None, Drain], settings: BGPSettings, now: float) -> float | None:
    ends = [past.seen + settings.wait for past in memory.vips.values() if not past.made]
    ends += [drain.at + settings.drain.wait for drain in drains.values()]
    for past in memory.services.values():
        ends += [] if past.listed is None else [past.listed + settings.wait]
        ends += [past.enough + RETURN] if past.low and past.enough is not None else []
    return min((end for end in ends if end > now), default=None)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges one VIP by the services it has, none for one that serves the HTTP endpoints alone."""

    services: Sequence[Standing]
    pasts: Mapping[str, _ServicePast]
    settings: BGPSettings
    past: _VIPPast
    now: float

    def verdict(self, vip: Address, drain: Drain | None) -> Verdict:
        over = drain is not None and self.now >= drain.at + self.settings.drain.wait
        # What is drained is judged at once like what was never made: another reason a moment later would be no news.
        judge = replace(self, past=replace(self.past, made=False)) if over else self
        trouble = judge.trouble()
        announced = trouble is None
        if drain and (trouble is None or trouble.why not in _KNOWN):
            announced = self.past.made and not over
            trouble = None if announced else _Trouble(Why.DRAINED, f"by {drain.by}: {drain.reason}")
        announcement = self._announcement(vip, drain) if announced else None
        why = trouble.why if trouble else None
        same = announced == self.past.made and why is self.past.why
        detail = trouble.detail if trouble else self._strength(drain)
        return Verdict(vip, announcement, why, detail, self.past.since if same else self.now)

    def _announcement(self, vip: Address, drain: Drain | None) -> Announcement:
        med = self.services[0].med if self.services else self.settings.med
        if drain is None:
            return Announcement(vip, med)
        means: DrainSettings = self.settings.drain
        return Announcement(vip, max(med, means.med), means.graceful_shutdown)

    def _strength(self, drain: Drain | None) -> str:
        """Say what speaks for the announcement."""
        if drain:
            left = drain.at + self.settings.drain.wait - self.now
            return f"draining, {left:.0f} s to go: by {drain.by}: {drain.reason}"
        if not self.services:
            return "serves the HTTP endpoints"
        verified = sum(standing.verified for standing in self.services)
        pooled = sum(standing.count.pooled for standing in self.services)
        total = sum(standing.count.total for standing in self.services)
        servers = f"{_count(verified, 'service')} verified, {pooled} of {_count(total, 'server')} pooled"
        return servers if self.settings.gate else f"no gate; {servers}"

    def trouble(self) -> _Trouble | None:
        """Return why the VIP is not to be announced, drains apart."""
        if not self.services or not self.settings.gate:
            return None
        if any(standing.frozen for standing in self.services):
            names = ", ".join(standing.name for standing in self.services if standing.frozen)
            return None if self.past.made else _Trouble(Why.FROZEN, names)
        troubles = [self._trouble_of(standing) for standing in self.services]
        known = [trouble for trouble in troubles if trouble and trouble.why in _KNOWN]
        unknown = [trouble for trouble in troubles if trouble and trouble.why not in _KNOWN]
        one_is_enough = self.services[0].policy is VIPPolicy.ANY and None in troubles
        if self.past.made:
            return None if one_is_enough or not known else known[0]
        if one_is_enough:
            waited = not unknown or self.now >= self.past.seen + self.settings.wait
            return None if waited else unknown[0]
        # What is known first: it is also why an announcement was taken back.
        return next(iter(known + unknown), None)

    def _trouble_of(self, standing: Standing) -> _Trouble | None:
        """Return what speaks against one service."""
        count, past, name = standing.count, self.pasts[standing.name], standing.name
        if not standing.pool.listed or past.listed is None:
            return _Trouble(Why.NO_CONFIG, f"{name}: no list of servers yet")
        servers = _count(count.total, "server")
        below = _Trouble(Why.BELOW, f"{name}: {count.serving} of {servers} serving, wanted {standing.enough}")
        if past.low:
            return below if past.enough is None else replace(below, detail=f"{below.detail}, for {RETURN:.0f} s")
        awaited = count.awaited and self.now < past.listed + self.settings.wait and not self.past.made
        if not count.addresses and not awaited:
            return _Trouble(Why.EMPTY, f"{name}: 0 of {servers} pooled")
        if self.past.made:
            return None
        if not standing.verified:
            return _Trouble(Why.KERNEL_NOT_VERIFIED, f"{name}: IPVS does not hold what is wanted yet")
        if awaited:
            return _Trouble(Why.FIRST_CHECKS, f"{name}: {count.awaited} of {servers} unknown")
        return below if count.serving < standing.enough else None


def announced(verdicts: Iterable[Verdict]) -> Iterator[Announcement]:
    """Yield the announcements that the verdicts come to."""
    for verdict in verdicts:
        if verdict.announcement:
            yield verdict.announcement


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
