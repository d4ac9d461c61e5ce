"""Invariants of the verdicts for any sequence of events, stated independently of the implementation."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pybal.bgp.verdict import Decided, Drain, Memory, Standing, Verdict, Why, decide
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings, DrainSettings, VIPPolicy
from pybal.core.events import Event
from pybal.core.model import Address, Health, Pool, Server
from pybal.core.policy import step, wanted
from tests.harness.pool_events import after, down, fresh, healthy, idle, listed, moved, off, resolved, service, up

VIPS = (ip_address("192.0.2.1"), ip_address("192.0.2.2"))
EXTRA = ip_address("192.0.2.9")
NAMES = {"web": VIPS[0], "tls": VIPS[0], "dns": VIPS[1]}
LIMITS = (None, None, Limit(1), Limit(2), Limit(percent=50), Limit(9))
INCONCLUSIVE = {Why.NO_CONFIG, Why.FIRST_CHECKS, Why.KERNEL_NOT_VERIFIED, Why.FLAPPING}

names = st.sampled_from(tuple(NAMES))
hosts = st.sampled_from("abcd")
events = st.one_of(
    st.builds(up, hosts),
    st.builds(down, hosts),
    st.builds(lambda members: listed(*members), st.lists(hosts, unique=True)),
    st.builds(lambda members: listed(*map(off, members)), st.lists(hosts, unique=True)),
    st.builds(lambda members: listed("a", *map(idle, members)), st.lists(st.sampled_from("bcd"), unique=True)),
    st.builds(lambda members: resolved("".join(members)), st.lists(hosts, min_size=1, unique=True)),
    st.builds(lambda host: moved(**{host: None}), hosts),
)
targets = st.sampled_from((*VIPS, EXTRA, None))


def weighted(server: Server) -> bool:
    return server.member.enabled and server.member.weight > 0


def possible(server: Server) -> bool:
    return weighted(server) and not server.unresolvable and server.health is not Health.DOWN


def serving(server: Server) -> bool:
    return weighted(server) and server.address is not None and server.health is Health.UP


class VerdictMachine(RuleBasedStateMachine):
    """Three services on two VIPs, an address without a service, and drains."""

    @initialize(
        gate=st.sampled_from((True, True, True, False)),
        wait=st.sampled_from((0.0, 30.0)),
        policies=st.tuples(st.sampled_from(VIPPolicy), st.sampled_from(VIPPolicy)),
        limits=st.tuples(*[st.sampled_from(LIMITS)] * 3),
    )
    def begin(
        self, wait: float, policies: tuple[VIPPolicy, VIPPolicy], limits: tuple[Limit | None, ...], *, gate: bool
    ) -> None:
        self.settings = BGPSettings((), gate=gate, wait=wait, drain=DrainSettings(1000, False, 20.0))
        self.policies = dict(zip(VIPS, policies, strict=True))
        self.limits = dict(zip(NAMES, limits, strict=True))
        self.pools = {name: self._pool(name, Pool(service())) for name in NAMES}
        self.verified = dict.fromkeys(NAMES, False)
        self.frozen = dict.fromkeys(NAMES, False)
        self.absent = dict.fromkeys(NAMES, False)
        self.withdrawals: dict[Address, list[tuple[float, Why]]] = {}
        """The withdrawals of each VIP since it was last announced for ten minutes."""
        self.announced_at: dict[Address, float] = {}
        self.ready_at: dict[Address, float] = {}
        self.present = dict.fromkeys(NAMES, True)
        self.listed: dict[str, float] = {}
        self.enough: dict[str, float] = {}
        self.low: set[str] = set()
        self.seen: dict[Address, float] = {}
        self.drains: dict[Address | None, Drain] = {}
        self.memory = Memory()
        self.now = 1000.0
        self.last: dict[Address, Verdict] = {}
        self.wake: float | None = None
        self.check_verdicts()

    def _pool(self, name: str, pool: Pool) -> Pool:
        return replace(pool, service=replace(pool.service, name=name, vip=NAMES[name]))

    @rule(name=names, event=events)
    def happen(self, name: str, event: Event) -> None:
        self.pools[name] = step(self.pools[name], event)
        self.check_verdicts()

    @rule(name=names, good=st.booleans())
    def prepare(self, name: str, *, good: bool) -> None:
        self.pools[name] = self._pool(name, healthy("abcd") if good else after(fresh("abcd"), up("a")))
        self.verified[name] = good
        self.check_verdicts()

    @rule(name=names, kernel=st.booleans())
    def kernel(self, name: str, *, kernel: bool) -> None:
        self.verified[name] = kernel
        self.check_verdicts()

    @rule(name=names, frozen=st.booleans())
    def freeze(self, name: str, *, frozen: bool) -> None:
        self.frozen[name] = frozen
        self.check_verdicts()

    @rule(name=names, absent=st.booleans())
    def remove_from_ipvs(self, name: str, *, absent: bool) -> None:
        self.absent[name] = absent
        self.check_verdicts()

    @rule(name=names)
    def flap(self, name: str) -> None:
        for _ in range(3):
            self.prepare(name, good=True)
            for host in "abcd":
                self.pools[name] = step(self.pools[name], down(host))
            self.pools[name] = replace(
                self.pools[name], service=replace(self.pools[name].service, depool_threshold=0.0)
            )
            self.pools[name] = step(self.pools[name], down("a"))
            self.check_verdicts()
            self.wait(2.0)

    @rule(name=names, present=st.booleans())
    def reload(self, name: str, *, present: bool) -> None:
        self.present[name] = present
        if not present:
            self.listed.pop(name, None)
            self.enough.pop(name, None)
            self.low.discard(name)
        self.check_verdicts()

    @rule(vip=targets)
    def drain(self, vip: Address | None) -> None:
        self.drains.setdefault(vip, Drain(vip, self.now, "root", "x"))
        self.check_verdicts()

    @rule(vip=targets)
    def undrain(self, vip: Address | None) -> None:
        self.drains.pop(vip, None)
        self.check_verdicts()

    @rule(seconds=st.sampled_from((0.0, 0.1, 10.0, 20.0, 30.0, 100.0)))
    def wait(self, seconds: float) -> None:
        self._check_no_change_until(self.now + seconds)
        self.now += seconds
        self.check_verdicts()

    @rule()
    def wait_for_the_wake(self) -> None:
        if self.wake is not None:
            self._check_no_change_until(self.wake)
            self.now = self.wake
            self.check_verdicts()

    def _check_no_change_until(self, end: float) -> None:
        """Check that no verdict changes before ``wake`` without an event."""
        last = end - 0.01 if self.wake is None else min(end, self.wake - 0.01)
        if last > self.now:
            decided = self._decide(last)
            assert [(v.announcement, v.why, v.since) for v in decided.verdicts] == [
                (v.announcement, v.why, v.since) for v in self.last.values()
            ]

    def standings(self) -> list[Standing]:
        return [
            Standing(
                self.pools[name],
                self.verified[name],
                med=7,
                minimum=self.limits[name],
                policy=self.policies[vip],
                frozen=self.frozen[name],
                absent=self.absent[name],
            )
            for name, vip in NAMES.items()
            if self.present[name]
        ]

    def _decide(self, now: float) -> Decided:
        return decide(
            self.standings(), [EXTRA], drains=self.drains, settings=self.settings, memory=self.memory, now=now
        )

    def check_verdicts(self) -> None:
        standings = self.standings()
        for standing in standings:
            self._recount(standing)
        decided = self._decide(self.now)
        before, self.last = self.last, {verdict.vip: verdict for verdict in decided.verdicts}
        assert len(self.last) == len(decided.verdicts), "one verdict for each VIP"
        assert set(self.last) == {standing.pool.service.vip for standing in standings} | {EXTRA}
        self.seen = {vip: self.seen.get(vip, self.now) for vip in self.last}
        for vip, verdict in self.last.items():
            own = [standing for standing in standings if standing.pool.service.vip == vip]
            self._check(verdict, before.get(vip), own)
            self._count_flaps(verdict, before.get(vip))
        self.memory, self.wake = decided.memory, decided.wake
        assert self.wake is None or self.wake > self.now
        again = self._decide(self.now)
        assert (again.verdicts, again.memory) == (decided.verdicts, decided.memory), "a repeated decision is the same"

    def _recount(self, standing: Standing) -> None:
        """Record lists and shortages of servers, independently of the memory."""
        name, pool = standing.name, standing.pool
        if not pool.listed:
            return
        self.listed.setdefault(name, self.now)
        minimum = self.limits[name]
        if minimum is None:
            return
        limit = minimum.of(sum(map(weighted, pool.servers.values())))
        if sum(map(serving, pool.servers.values())) < limit:
            self.enough.pop(name, None)
        else:
            self.enough.setdefault(name, self.now)
        if sum(map(possible, pool.servers.values())) < limit:
            self.low.add(name)
        elif name in self.enough and self.now >= self.enough[name] + 30.0:
            self.low.discard(name)

    def _count_flaps(self, verdict: Verdict, before: Verdict | None) -> None:
        """Record withdrawals, independently of the memory, and check their number."""
        vip, made = verdict.vip, before is not None and before.announcement is not None
        if before is None:
            self.withdrawals[vip] = []
        conclusive = {Why.EMPTY, Why.BELOW, Why.ABSENT}
        if before is not None and (made or before.why in conclusive) and self.now >= before.since + 600.0:
            self.withdrawals[vip] = []
        if verdict.announcement is not None and not made:
            self.announced_at[vip] = self.now
        elif made and verdict.why in conclusive:
            self.withdrawals[vip].append((self.now, verdict.why))
        assert verdict.flaps == len(self.withdrawals[vip])

    def _hold(self, vip: Address) -> float:
        """Return the seconds for which a VIP must be ready before it is announced again."""
        made = self.withdrawals.get(vip, [])
        if len(made) < 2 or made[-1][1] is not Why.EMPTY or self.announced_at[vip] > made[-1][0]:
            return 0.0
        return float(min(30 * 2 ** (len(made) - 2), 300))

    def _conclusive_against(self, standing: Standing) -> bool:
        pool = standing.pool
        dead = not any(wanted(pool).values()) and not any(map(possible, pool.servers.values()))
        return pool.listed and (standing.absent or dead or standing.name in self.low)

    def _ready_to_announce(self, standing: Standing) -> bool:
        pool, minimum = standing.pool, self.limits[standing.name]
        waited = pool.listed and self.now >= self.listed[standing.name] + self.settings.wait
        conclusive = all(
            server.unresolvable or not weighted(server) or (server.address and server.health is not Health.UNKNOWN)
            for server in pool.servers.values()
        )
        return (
            pool.listed
            and standing.verified
            and not standing.absent
            and any(wanted(pool).values())
            and (conclusive or waited)
            and standing.name not in self.low
            and sum(map(serving, pool.servers.values()))
            >= (minimum.of(sum(map(weighted, pool.servers.values()))) if minimum else 0)
        )

    def _check(self, verdict: Verdict, before: Verdict | None, own: list[Standing]) -> None:
        made = before is not None and before.announcement is not None
        announced = verdict.announcement is not None
        assert announced == (verdict.why is None), "a reason is given exactly if the VIP is not announced"
        drains = [drain for drain in self.drains.values() if drain.vip in {None, verdict.vip}]
        if drains:
            over = self.now >= min(drain.at for drain in drains) + 20.0
            assert not (announced and (over or not made)), "a drain announces no VIP, and withdraws after the wait"
            assert not announced or verdict.announcement.med == 1000  # type: ignore[union-attr]
            return
        assert not announced or verdict.announcement.med == (7 if own else 0)  # type: ignore[union-attr]
        assert verdict.why is not Why.DRAINED
        if not own or not self.settings.gate:
            assert announced
        elif any(standing.frozen for standing in own):
            assert announced == made, "a frozen VIP does not change"
        elif made:
            self._check_stays(verdict, own, announced=announced)
        else:
            self._check_announces(verdict, own, announced=announced)

    def _check_stays(self, verdict: Verdict, own: list[Standing], *, announced: bool) -> None:
        against = [standing for standing in own if self._conclusive_against(standing)]
        others = [s for s in own if s not in against and (s.pool.listed or any(wanted(s.pool).values()))]
        enough = not against or (self.policies[verdict.vip] is VIPPolicy.ANY and others)
        assert announced == bool(enough), "only conclusive reasons withdraw an announcement"
        assert verdict.why not in INCONCLUSIVE

    def _check_announces(self, verdict: Verdict, own: list[Standing], *, announced: bool) -> None:
        if verdict.why is Why.FLAPPING:
            assert self._hold(verdict.vip) > 0, "only a repeated withdrawal holds a VIP"
            assert all(
                self._ready_to_announce(standing) for standing in own if self.policies[verdict.vip] is VIPPolicy.ALL
            )
            self.ready_at.setdefault(verdict.vip, self.now)
            assert self.now < self.ready_at[verdict.vip] + self._hold(verdict.vip), "the hold ends"
            return
        since = self.ready_at.pop(verdict.vip, self.now)
        if announced:
            assert self.now >= since + self._hold(verdict.vip), "a VIP is announced after the hold only"
        ready = [standing for standing in own if self._ready_to_announce(standing)]
        waited = self.now >= self.seen[verdict.vip] + self.settings.wait
        if self.policies[verdict.vip] is VIPPolicy.ALL:
            assert announced == (ready == own)
        elif not ready:
            assert not announced, "no VIP is announced without a ready service"
        elif waited or ready == own:
            assert announced, "after the wait one ready service is enough"
        else:
            assert announced or verdict.why in INCONCLUSIVE, "only inconclusive reasons delay an announcement"


TestVerdicts = VerdictMachine.TestCase
TestVerdicts.settings = settings(max_examples=3 * settings().max_examples // 2, stateful_step_count=40, deadline=None)
