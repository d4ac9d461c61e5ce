"""The invariants of a balancer in virtual time, from its endpoints, its table and its routers.

Each has a name, with which the text of a violation begins; README.md lists them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil
from typing import Any, NoReturn

from pybal.core.model import Address, Placement
from pybal.ipvs.model import Key, ServiceKey
from pybal.journal.reader import JournalError, Reader
from pybal.journal.replay import Replay, replayed
from tests.harness import full_disk
from tests.harness.simulated.network import Mode
from tests.virtual.site import ServiceState, Site

AGREEMENT = 35.0
"""Seconds within which pools, table and routes must agree: two audits."""
SETTLED = 75.0
"""Seconds after which a server must be up or down as it behaves: a back-off, a check, its timeout."""
NOTICED = 90.0
"""Seconds within which a deviation must be an alert: three intervals of the slowest audit or check."""
LISTED = 100.0
"""Seconds within which a pool has the list of a source that responds, or an alert."""
ANNOUNCED = 420.0
"""Seconds after which a VIP that may be announced must be: the longest hold of a flapping VIP."""
HEALED = 1500.0
"""Seconds after the last fault within which every alert ends: a flap is forgotten after 600 s."""
RECORDED = 15.0
"""Seconds within which the journal has what happened, also after a loss: it is retried every 10 s."""
USUAL = {"too-small", "host"}
"""Alerts about the size of a pool, and about the machine on which the test runs."""
FEW = 10
"""Delayed calls that may be present at one moment and not at another: turns, retries."""

FACTS = ("address", "weight", "enabled", "health", "placement")
"""Facts about a server in ``/v1`` that a replay must end with."""
OUT = Placement.OUT.value
DOWN = {Mode.STOPPED, Mode.LOST, Mode.UNREACHABLE}
Document = dict[str, Any]


def broken(name: str, text: str) -> NoReturn:
    """Report the violation of an invariant."""
    raise AssertionError(f"invariant {name}: {text}")


class Invariants:
    """The invariants of a site; each check looks at the present moment, or waits for a limited time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._balancer = site.balancer
        self._eligible_since: dict[str, float] = {}
        self._usual: tuple[int, Counter[str]] | None = None
        self._emptied: list[str] = []
        self._withdrawn: dict[tuple[str, str], float] = {}
        """The virtual time at which the daemon withdrew each address of a VIP last."""
        self._balancer.ipvs.emptied = self._note_emptied
        self._balancer.ipvs.withdrawn = self._note_withdrawn

    def check(self) -> None:
        """Check what holds in every moment, and wait until all views agree."""
        self.check_errors()
        pools = [self._pool(name) for name in self._names()]
        for pool in pools:
            self._check_floor(pool)
        self._check_adopted()
        alerts = self._balancer.alerts()
        for pool in pools:
            self._check_list(pool, alerts)
            self._check_servers(pool, alerts)
        self._check_alerts(alerts)
        self._wait("agreement", self._disagreement, AGREEMENT)
        self._check_announcements()
        self.check_errors()

    def check_healed(self) -> None:
        """Check that every server is pooled, every VIP announced, and no alert left, within a limited time."""
        self._wait("healed", self._unhealed, HEALED)
        self.check()
        sockets = len(self._balancer.network.sockets)
        if sockets > self._site.monitors:
            broken("leak", f"{sockets} sockets of {self._site.monitors} monitors")
        calls = Counter(_name_of(call) for call in self._balancer.reactor.getDelayedCalls())
        if self._usual is None:
            self._usual = (calls.total(), calls)
        number, before = self._usual
        if calls.total() > number + FEW:
            broken("leak", f"{calls.total()} delayed calls, {number} before; new: {calls - before}")

    def check_errors(self) -> None:
        """Check that no unexpected exception was logged."""
        if self._balancer.errors:
            broken("error", "\n".join(self._balancer.errors))
        if self._emptied:
            broken("never-empty", "\n".join(self._emptied))

    def check_replay(self) -> None:
        """Check that the replay makes every decision as recorded, and ends with the present state."""
        self._wait("replay", self._unreplayed, RECORDED)

    # -- facts

    @property
    def _frozen(self) -> bool:
        return any(alert["kind"] == "frozen" for alert in self._balancer.alerts())

    def _names(self) -> list[str]:
        return [str(name) for name in self._balancer.get_json("/v1/pools")] if self._adopted() else []

    def _adopted(self) -> bool:
        return not any(
            alert["kind"] == "ipvs" and "cannot read IPVS" in alert["text"] for alert in self._balancer.alerts()
        )

    def _pool(self, name: str) -> Document:
        found: Document = self._balancer.get_json(f"/v1/pools/{name}")
        return found

    def _table(self) -> dict[str, dict[str, int]]:
        """Return the weights in the table by VIP and address."""
        return {
            str(key.address): {str(each.address): each.weight for each in entry.destinations.values()}
            for key, entry in self._balancer.ipvs.held.items()
            if isinstance(key, Key)
        }

    # -- the invariants

    def _note_emptied(self, key: ServiceKey) -> None:
        """Note a service that the daemon emptied although it must keep servers."""
        for name in self._site.present:
            service = self._site.services[name]
            if not isinstance(key, Key) or str(key.address) != service.vip or name in self._site.broken:
                continue
            if service.source and not self._balancer.network.servers[service.source].responds:
                continue  # the daemon may have an earlier list
            nameless = self._balancer.names.failing and self._site.nameless < self._site.started + 1.0
            if nameless and key not in self._site.adopted:
                continue  # it has never had an address
            enabled = {host for host, each in service.lines.items() if each.enabled and each.weight}
            floors = Fraction(service.options["depool-threshold"]), Fraction(self._site.floors.get(name, "0"))
            if all(floors) and enabled - self._depooled(name):
                self._emptied.append(f"{name} at {self._balancer.now:.1f} s")

    def _note_withdrawn(self, key: ServiceKey, address: Address) -> None:
        if isinstance(key, Key):
            self._withdrawn[str(key.address), str(address)] = self._balancer.now

    def _check_adopted(self) -> None:
        """Check that the daemon has withdrawn no server that is listed and has served since before its start."""
        site, addresses, started = self._site, self._balancer.names.addresses, self._site.started
        for name in site.present:
            service = site.services[name]
            changed = max(site.changed[name], site.last_depool, site.woken, site.named)
            if changed > started or name in site.broken or self._unreadable(service):
                continue
            for host, line in service.lines.items():
                at = self._withdrawn.get((service.vip, addresses[host]), -1.0)
                serves = site.mode(host) is Mode.SERVING and started - site.since(host) > SETTLED
                if at >= started and serves and line.enabled and line.weight and (name, host) not in site.depooled:
                    broken("never-empty", f"{name} {host} serves, and was withdrawn at {at:.1f} s: {self._pool(name)}")

    def _unreadable(self, service: ServiceState) -> bool:
        """Return whether the list of a service, or a name in it, may have been unreadable since the start."""
        if self._balancer.names.failing or self._balancer.threads.hung:
            return True
        if not service.source:
            return False
        server = self._balancer.network.servers[service.source]
        return not server.responds or server.since - self._balancer.began > self._site.started

    def _depooled(self, name: str) -> set[str]:
        return {host for service, host in self._site.depooled if service == name}

    def _check_floor(self, pool: Document) -> None:
        """Check that the floor is pooled, and each server that is up, counting weights above 0."""
        members = [each for each in pool["servers"].values() if each["weight"] > 0]
        threshold = Fraction(str(pool["threshold"]))
        floor = max(1, ceil(threshold * len(members))) if threshold else 0
        eligible = sum(each["enabled"] and each["address"] is not None for each in members)
        pooled = sum(each["placement"] != OUT for each in members)
        # Addresses that left the list count while members without an address are looked up.
        awaited = sum(each["enabled"] and each["address"] is None for each in members)
        if pooled + awaited < min(floor, eligible):
            broken("floor", f"{pooled} pooled, floor {floor}, {eligible} eligible: {pool}")
        for each in members:
            up = each["enabled"] and each["address"] and each["health"] == "up"
            if up and each["placement"] != "pooled":
                broken("floor", f"up and not pooled: {each}")

    def _check_list(self, pool: Document, alerts: list[Mapping[str, Any]]) -> None:
        """Check that the pool has the servers of its list, with their weights, unless an alert has the reason."""
        site, name = self._site, pool["service"]
        service, since = site.services[name], max(site.changed[name], site.started, site.woken)
        if service.source:
            server = self._balancer.network.servers[service.source]
            since = max(since, server.since - self._balancer.began) if server.responds else self._balancer.now
        excused = name in site.broken or any((each["kind"], each["service"]) == ("source", name) for each in alerts)
        found = {host: each["weight"] for host, each in pool["servers"].items()}
        wanted = {host: line.weight for host, line in service.lines.items()}
        if found != wanted and not excused and self._balancer.now - since >= LISTED:
            broken("list", f"{name} has {found}, its list {wanted}")

    def _check_servers(self, pool: Document, alerts: list[Mapping[str, Any]]) -> None:
        """Each server has the health that follows from its behaviour, and one that is down is in an alert."""
        now, site = self._balancer.now, self._site
        name = pool["service"]
        kinds = site.services[name].options["monitors"]
        named = {host for alert in alerts if alert["service"] == name for host in alert["data"].get("hosts") or ()}
        for host, server in pool["servers"].items():
            changed = max(site.since(host), site.changed[name], site.started, site.woken)
            address = site.balancer.names.addresses[host]
            if now - changed < SETTLED or not server["enabled"] or server["address"] != address:
                continue
            mode = site.mode(host)
            # A slow response is in time for each kind; only ProxyFetch reads it.
            down = mode in DOWN or (mode not in {Mode.SERVING, Mode.SLOW} and "ProxyFetch" in kinds)
            excused = mode in {Mode.LOST, Mode.UNREACHABLE, Mode.HUNG} and _isolated(alerts)
            if mode in {Mode.SERVING, Mode.SLOW} and server["health"] != "up":
                broken("health", f"{name} {host} is {mode} for {now - changed:.0f} s: {server}")
            if down and server["health"] != "down" and not excused and "IdleConnection" not in kinds:
                broken("health", f"{name} {host} is {mode} for {now - changed:.0f} s: {server}")
            if server["health"] == "down" and host not in named:
                broken("alert", f"{name} {host} is down, and missing in {alerts}")

    def _check_alerts(self, alerts: list[Mapping[str, Any]]) -> None:
        """Each deviation that has lasted is an alert."""
        kinds = {(alert["kind"], alert["service"]) for alert in alerts}
        subjects = {(alert["kind"], alert["subject"]) for alert in alerts}
        for why, since, found in self._deviations(kinds, subjects):
            if not found and self._balancer.now - max(since, self._site.woken, self._site.started) > NOTICED:
                broken("alert", f"{why} since {since:.1f} s, now {self._balancer.now:.1f} s: {sorted(kinds)}")

    def _deviations(
        self, kinds: set[tuple[str, str]], subjects: set[tuple[str, str]]
    ) -> Iterator[tuple[str, float, bool]]:
        """Yield each deviation with its time, and whether an alert shows it."""
        site = self._site
        if not self._adopted():
            return
        if site.stale is None:
            yield from self._deviations_of_lists(kinds)
        if site.stale is not None:
            yield "configuration not loaded", site.stale, ("config", "") in kinds
        for address, router in self._balancer.bgp.routers.items():
            if not router.session:
                found = ("bgp", address) in subjects or ("bgp", "exabgp") in subjects
                yield f"no session with {address}", self._balancer.now - NOTICED - 1.0 if found else site.routed, found
        yield from self._deviations_of_ipvs(kinds)
        if (unwritten := self._balancer.threads.unwritten_since) is not None:
            yield "journal not written", unwritten - self._balancer.began, ("journal", "") in kinds
        for (service, host), until in site.depooled.items():
            unread = "overrides" in self._balancer.threads.hung  # a daemon may have started since
            if service in site.present and self._balancer.now < until and not unread:
                yield f"{host} depooled in {service}", site.woken, ("depooled", service) in kinds

    def _deviations_of_lists(self, kinds: set[tuple[str, str]]) -> Iterator[tuple[str, float, bool]]:
        site = self._site
        for name in site.present:
            if name in site.broken:
                yield f"list of {name} broken", site.broken[name], ("source", name) in kinds
            if source := site.services[name].source:
                server = self._balancer.network.servers[source]
                if not server.responds:
                    since = server.since - self._balancer.began
                    yield f"source of {name} {server.mode}", since, ("source", name) in kinds

    def _deviations_of_ipvs(self, kinds: set[tuple[str, str]]) -> Iterator[tuple[str, float, bool]]:
        site = self._site
        if site.foreign_since is not None and self._balancer.ipvs.refuses != "read":
            yield "foreign service", site.foreign_since, ("ipvs-foreign", "") in kinds
        if site.refusing is not None and self._balancer.ipvs.refuses == "read":
            yield "table cannot be read", site.refusing, any(kind.startswith("ipvs") for kind, _ in kinds)

    def _disagreement(self) -> str:
        """Return the difference between pools, ``/pools``, alerts and table, empty if they agree."""
        table, alerts = self._table(), self._balancer.alerts()
        without = {alert["service"] for alert in alerts if alert["kind"] == "no-servers"}
        for name in self._names():
            pool = self._pool(name)
            pooled = {host: each for host, each in pool["servers"].items() if each["placement"] != OUT}
            awaits = any(each["enabled"] and each["address"] is None for each in pool["servers"].values())
            expected = {each["address"]: each["weight"] for each in pooled.values()}
            words = dict(re.findall(r"^(.+):\t(.+)$", self._balancer.get(f"/pools/{name}"), re.MULTILINE))
            if {host for host, status in words.items() if status.endswith("/pooled")} != set(pooled):
                return f"/pools/{name}: {words}, /v1: {sorted(pooled)}"
            if pool["listed"] and not awaits and any(expected.values()) == (name in without):
                return f"{name}: pooled {expected}, alerts {alerts}"
            actual = table.get(pool["vip"], {})
            agrees = actual == expected or (awaits and actual.items() >= expected.items())
            if pool["listed"] and not agrees and not self._frozen and not self._balancer.ipvs.refuses:
                return f"{name}: table {actual}, pooled {expected}"
        return ""

    def _check_announcements(self) -> None:
        """A VIP is announced only if servers serve, and within a limited time if they do."""
        if self._frozen or not self._adopted():
            self._eligible_since.clear()
            return
        self._wait("announced", self._unannounced, AGREEMENT)

    def _unannounced(self) -> str:
        """Return what routers should not have, or do not have and should; empty if all is well."""
        now = self._balancer.now
        table = self._table()
        sessions = {address: router for address, router in self._balancer.bgp.routers.items() if router.session}
        vips = {each["vip"]: each for each in self._balancer.get_json("/v1/bgp")["vips"]}
        problem = ""
        for name in self._names():
            pool = self._pool(name)
            vip = pool["vip"]
            allowed = any(each["placement"] != OUT and each["weight"] for each in pool["servers"].values())
            held = [address for address, router in sessions.items() if f"{vip}/32" in router.routes]
            # A table that cannot be read is no evidence of a missing service.
            unread = self._balancer.ipvs.refuses == "read"
            wanted = vip in vips and vips[vip]["wanted"]
            awaited = any(each["enabled"] and each["address"] is None for each in pool["servers"].values())
            if held and not any(table.get(vip, {}).values()) and not awaited and not unread:
                problem = f"{vip} is announced to {held} and has no servers: {vips.get(vip)}"
            if wanted != bool(held) and sessions and self._balancer.bgp.child and not self._balancer.bgp.child.hung:
                problem = f"{vip} is wanted: {wanted}, and announced to {held}: {vips.get(vip)}"
            unhurt = allowed and pool["listed"] and sessions and table.get(vip) and not self._balancer.ipvs.refuses
            if not unhurt:
                self._eligible_since.pop(name, None)
            elif now - max(self._eligible_since.setdefault(name, now), self._site.started) > ANNOUNCED and not held:
                problem = f"{vip} may be announced since {self._eligible_since[name]:.1f} s: {vips.get(vip)}"
        self._eligible_since = {name: at for name, at in self._eligible_since.items() if name in self._site.present}
        return problem

    def _unhealed(self) -> str:
        """Return what is left of the faults, empty if nothing is."""
        site, table = self._site, self._table()
        left = [alert for alert in self._balancer.alerts() if alert["kind"] not in USUAL]
        for name in site.present:
            service = site.services[name]
            found = {site.balancer.names.addresses[host]: line.weight for host, line in service.lines.items()}
            if table.get(service.vip) != found:
                return f"{name}: table {table.get(service.vip)}, expected {found}: {left}"
            for address, router in site.balancer.bgp.routers.items():
                if f"{service.vip}/32" not in router.routes:
                    return f"{service.vip} is not announced to {address}: {left}"
        extra = set(table) - {site.services[name].vip for name in site.present}
        return f"services {extra} are left" if extra else f"alerts {left}" if left else ""

    def _unreplayed(self) -> str:
        """Return a problem of the replay, or how its end differs from the present state, empty without one."""
        reader = Reader(self._balancer.directory / "state" / "journal")
        try:
            replay = replayed(reader)
        except JournalError as empty:
            return "" if self._balancer.threads.unwritten_since is not None else str(empty)
        gaps = [gap for gap in replay.gaps if gap.reason != full_disk.REASON or len(replay.gaps) > self._site.filled]
        torn = [problem for problem in reader.problems if "torn record" in problem]
        others = [problem for problem in reader.problems if problem not in torn]
        if found := [*others, *replay.problems, *replay.differences, *gaps]:
            return str(found[0])
        if {problem.partition(":")[0] for problem in torn} != self._site.torn or len(torn) != len(self._site.torn):
            return f"torn records {torn}, expected {sorted(self._site.torn)}"
        if replay.counts.skipped:
            return f"the state before {replay.counts.skipped} events is unknown"
        return "" if self._balancer.threads.unwritten_since is not None else self._unlike(replay)

    def _unlike(self, replay: Replay) -> str:
        """Return how the end of a replay differs from the present state, empty if it does not."""
        for name in self._names():
            actual = {host: [each[fact] for fact in FACTS] for host, each in self._pool(name)["servers"].items()}
            pool = replay.pool(name)
            found = {
                each.host: [
                    each.address and str(each.address),
                    each.member.weight,
                    each.member.enabled,
                    each.health.value,
                    each.placement.value,
                ]
                for each in (pool.servers.values() if pool else ())
            }
            if found != actual:
                return f"{name}: replayed {found}, actual {actual}"
        wanted = {each["vip"] for each in self._balancer.get_json("/v1/bgp")["vips"] if each["wanted"]}
        announced = {str(vip) for vip, verdict in replay.verdicts.items() if verdict.announcement}
        return "" if announced == wanted else f"replayed announcements {announced}, actual {wanted}"

    def _wait(self, name: str, problem: Any, seconds: float) -> None:
        if found := self._balancer.wait(problem, seconds):
            broken(name, f"after {seconds:g} s at {self._balancer.now:.1f} s: {found}")


def _isolated(alerts: list[Mapping[str, Any]]) -> bool:
    return any(alert["kind"] in {"checker", "unknown"} for alert in alerts)


def _name_of(call: Any) -> str:
    target = getattr(call.func, "__self__", None)
    name = getattr(target, "name", "")
    return f"{getattr(call.func, '__qualname__', call.func)} {name}"
