"""The replay of a journal: makes every recorded decision again and compares the outcomes. Pure.

Records are taken in order. The state of a pool is unknown until its first ``pool`` record after a gap; a later one must equal the state of the
replay, which compares all facts about all servers.

:meth:`Replay.take` returns the states before and after each event. :meth:`Replay.check` does not, so that consecutive reports on a pool
are one burst, whose outcome is compared after each record; it takes a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pybal.bgp.verdict import Memory, Standing, Verdict, decide
from pybal.core.events import Event, Gathered, Reconfigured
from pybal.core.model import Address, AlertKey, Pool, Server, Servers
from pybal.core.policy import in_steps, open_burst, serving
from pybal.core.reports import Burst
from pybal.core.steps import Steps, finish
from pybal.journal.announcements import (
    AnnouncementSettings,
    Drains,
    Facts,
    drains_of,
    facts_of,
    memory_of,
    settings_of,
    verdicts_of,
)
from pybal.journal.codec import event_of, is_event, size_of
from pybal.journal.values import (
    DAMAGED,
    WORDS,
    Document,
    address_of,
    held_of,
    placements,
    report_values,
    server_of,
    service_of,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision of the replay that differs; ``service`` is empty for an announcement."""

    n: int
    time: str
    service: str
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing records between two times; ``reason`` is empty if it is unknown."""

    after: str
    until: str
    records: int | None
    reason: str = ""


@dataclass(slots=True)
class Counts:
    """Numbers of a replay.

    ``events`` of pools, ``reports`` in them, ``changes`` of a placement, ``decisions`` on announcements.
    """

    records: int = 0
    runs: int = 0
    segments: int = 0
    events: int = 0
    reports: int = 0
    changes: int = 0
    decisions: int = 0
    verdicts: int = 0
    skipped: int = 0
    """Events of pools whose state is unknown, after a gap or at the beginning."""


@dataclass(slots=True)
class _State:
    """A pool record whose servers are still to come."""

    number: int
    pool: Pool
    missing: int
    servers: dict[str, Server]
    record: Document


@dataclass(frozen=True, slots=True)
class Applied:
    """An event that was applied to a pool, by a record."""

    record: Document
    number: int
    event: Event
    before: Pool
    after: Pool


@dataclass(frozen=True, slots=True)
class PresentAlert:
    """An alert at a moment; ``since`` is the time of its beginning, ``None`` if it is unknown."""

    key: AlertKey
    text: str
    since: str | None


class Replay:
    """Replays records one by one with :meth:`take` or :meth:`check`; all state is public to read."""

    def __init__(self) -> None:
        self._pools: dict[int, Pool] = {}
        self._bursts: dict[int, Burst] = {}
        """The pools to which reports have been applied since their state in ``_pools``."""
        self.ended: set[int] = set()
        """The pools of removed services."""
        self.verdicts: Mapping[Address, Verdict] = MappingProxyType({})
        self.alerts: dict[AlertKey, PresentAlert] = {}
        """The recorded alerts that are present."""
        self.counts = Counts()
        self.gaps: list[Gap] = []
        self.differences: list[Difference] = []
        self.problems: list[str] = []
        self.first: Document = MappingProxyType({})
        """The first header."""
        self.services: dict[str, None] = {}
        """The names of all services so far."""
        self.breaks = 0
        """The number of times at which everything became unknown, by a new run or a gap."""
        self.at = 0.0
        self.time = self.began = ""
        self._n: int | None = None
        self._run = ""
        self._state: _State | None = None
        self._announcing = Announcing()

    @property
    def pools(self) -> dict[int, Pool]:
        """The states of all pools by number."""
        for number in tuple(self._bursts):
            self._end_burst(number)
        return self._pools

    def pool(self, service: str) -> Pool | None:
        """Return the state of the pool of a service, ``None`` if it is unknown."""
        own = [number for number, pool in self.pools.items() if pool.service.name == service]
        return self.pools[max(own, key=lambda number: (number not in self.ended, number))] if own else None

    def take(self, record: Document) -> Applied | None:
        """Replay one record; return the event that it applied to a pool, if any."""
        return finish(self.take_in_steps(record))

    def take_in_steps(self, record: Document) -> Steps[Applied | None]:
        """Return what :meth:`take` returns."""
        try:
            return (yield from self._take(record))
        except DAMAGED as error:
            self._not_understood(record, error)
            return None

    def check(self, record: Document) -> None:
        """Replay one record without the states before and after it."""
        if self._state is not None or record.get("event") != "reports":
            self.take(record)
            return
        try:
            self.counts.records += 1
            self._follow(record)
            self._reports(record)
        except DAMAGED as error:
            self._not_understood(record, error)

    def _take(self, record: Document) -> Steps[Applied | None]:
        self.counts.records += 1
        if "server" in record:
            if self._state is not None:  # otherwise of a pool record that is damaged or missing
                yield from self._server(self._state, record)
            return None
        incomplete, self._state = self._state, None
        if "journal" in record:
            self._header(record)
        self._follow(record)
        if incomplete is not None and record["n"] != 1:  # a run that was killed may end in a pool record
            name = incomplete.pool.service.name
            self.problems.append(f"record {record['n']} at {self.time}: servers of {name} are missing before it")
        return (yield from self._happen(record))

    def _happen(self, record: Document) -> Steps[Applied | None]:
        """Replay a record with a number."""
        if is_event(record):
            return (yield from self._event(record))
        match record.get("event"):
            case "pool":
                yield from self._begin_state(record)
            case "end":
                self.ended.add(record["pool"])
            case "bgp":
                self._announcing.take(record)
                self.verdicts = self._announcing.verdicts
            case "decision":
                self._decision(record)
            case "alert":
                self._alert(record)
        return None

    def _not_understood(self, record: Document, error: Exception) -> None:
        self.problems.append(f"record {record.get('n', '?')} at {self.time}: not understood ({error!r})")
        self._forget()

    def _header(self, record: Document) -> None:
        self.counts.segments += 1
        if not self.first:
            self.first, self.began = record, record["time"]
        if record["run"] != self._run or record["n"] == 1:
            self.counts.runs += 1
            self._run, self._n = record["run"], None
            self._forget()
            if record["n"] != 1 and self.counts.segments > 1:
                self.gaps.append(Gap(self.time, record["time"], None, _reason(record)))

    def _follow(self, record: Document) -> None:
        """Follow the numbers of the records, and note a gap."""
        n = record["n"]
        if self._n is not None and n != self._n + 1:
            self.gaps.append(Gap(self.time, record["time"], n - self._n - 1, _reason(record)))
            self._forget()
        self._n, self.at, self.time = n, record["at"], record["time"]

    def _forget(self) -> None:
        self.breaks += 1
        self._pools.clear()
        self._bursts.clear()
        self.ended.clear()
        self.alerts.clear()
        self._state = None
        self._announcing = Announcing()

    def _begin_state(self, record: Document) -> Steps[None]:
        service = service_of(record["settings"])
        self.services[service.name] = None
        pool = Pool(service, Servers(), record["listed"], MappingProxyType(held_of(record["held"])))
        if record["servers"] < 0:
            raise ValueError(record["servers"])
        self._state = _State(record["pool"], pool, record["servers"], {}, record)
        yield from self._end_state(self._state)

    def _server(self, state: _State, record: Document) -> Steps[None]:
        server = server_of(record)
        state.servers[server.host] = server
        state.missing -= 1
        yield from self._end_state(state)

    def _end_state(self, state: _State) -> Steps[None]:
        if state.missing:
            return
        self._state = None
        pool = replace(state.pool, servers=(yield from state.pool.servers.becoming(state.servers)))
        known = self.pools.get(state.number)
        if known is None:
            self.pools[state.number] = pool
        elif text := unequal(known, pool):
            self._differ(state.record, pool.service.name, text)
            self.pools[state.number] = pool

    def _event(self, record: Document) -> Steps[Applied | None]:
        event = event_of(record)
        self.counts.events += 1
        if isinstance(event, Gathered):
            self.counts.reports += size_of(event)
        number = record["pool"]
        self._end_burst(number)
        before = self._pools.get(number)
        if before is None:
            self.counts.skipped += 1
            return None
        after = self._pools[number] = yield from in_steps(before, event)
        if isinstance(event, Reconfigured):
            self.services[event.service.name] = None
        placed = {} if after is before else placements(before, after)
        self._compare(record, before, placed, serving(after))
        return Applied(record, number, event, before, after)

    def _reports(self, record: Document) -> None:
        """Apply reports to a burst of the pool."""
        number, burst = record["pool"], self._bursts.get(record["pool"])
        if burst is None:
            pool = self._pools.get(number)
            burst = None if pool is None else open_burst(pool)
            if burst is None:
                finish(self._event(record))
                return
            self._bursts[number] = burst
        reports = list(map(report_values, record["reports"]))
        self.counts.events += 1
        self.counts.reports += len(reports)
        for host, monitor, report, where in reports:
            if burst.apply(host, monitor, report, where):
                finish(burst.release())
        placed = {host: WORDS[placement] for host, placement in burst.placements()} if burst.moved else {}
        self._compare(record, self._pools[number], placed, burst.serving)

    def _end_burst(self, number: int) -> None:
        if burst := self._bursts.pop(number, None):
            self._pools[number] = finish(burst.end())

    def _compare(self, record: Document, pool: Pool, placed: Mapping[str, str], serves: int) -> None:
        """Compare an outcome with the recorded one."""
        self.counts.changes += len(placed)
        if placed != record["placed"] or serves != record["serving"]:
            recorded = f"{record['placed']} and {record['serving']} serving"
            self._differ(record, pool.service.name, f"placed {placed} and {serves} serving, recorded {recorded}")

    def _decision(self, record: Document) -> None:
        self.counts.decisions += 1
        found = self._announcing.decide(record, self.pools)
        if found is None:
            self.counts.skipped += 1
            return
        verdicts, changed, gone = found
        self.verdicts = verdicts
        self.counts.verdicts += len(changed)
        recorded = {each.vip: each for each in verdicts_of(record.get("verdicts", ()))}
        if changed != recorded:
            vip = next(vip for vip in (*changed, *recorded) if changed.get(vip) != recorded.get(vip))
            self._differ(record, "", f"{vip}: decided {changed.get(vip)}, recorded {recorded.get(vip)}")
        if gone != {address_of(vip) for vip in record.get("gone", ())}:
            self._differ(record, "", "other VIPs have no decision any more")

    def _alert(self, record: Document) -> None:
        key = AlertKey(record["service"], record["kind"], record["subject"])
        if record.get("over"):
            self.alerts.pop(key, None)
        else:
            self.alerts[key] = PresentAlert(key, str(record["text"]), str(record["since"]))

    def _differ(self, record: Document, service: str, text: str) -> None:
        self.differences.append(Difference(record["n"], record["time"], service, text))


class Announcing:
    """The decisions on announcements of a replay."""

    def __init__(self) -> None:
        self.settings: AnnouncementSettings | None = None
        self.facts: dict[str, Facts] = {}
        self.drains: Drains = {}
        self.memory = Memory()
        self.verdicts: dict[Address, Verdict] = {}
        self._standings: dict[str, tuple[Facts, Pool, Standing]] = {}

    def take(self, record: Document) -> None:
        """Take the settings of a record, and the whole state if it has one and none is known."""
        first, self.settings = self.settings is None, settings_of(record)
        self._standings.clear()
        if first and "memory" in record:
            self.facts, self.drains = facts_of(record["facts"]), drains_of(record["drains"])
            self.memory = memory_of(record["memory"])
            self.verdicts = {each.vip: each for each in verdicts_of(record["verdicts"])}

    def decide(
        self, record: Document, pools: Mapping[int, Pool]
    ) -> tuple[Mapping[Address, Verdict], Mapping[Address, Verdict], set[Address]] | None:
        """Return all verdicts, those that changed, and the VIPs that have none any more.

        ``None`` if a pool or the settings are unknown.
        """
        self.facts |= facts_of(record.get("facts", {}))
        if "drains" in record:
            self.drains = drains_of(record["drains"])
        if forgotten := record.get("forgotten", ()):
            kept = {name: past for name, past in self.memory.services.items() if name not in forgotten}
            self.memory = replace(self.memory, services=MappingProxyType(kept))
        standings = self.standings(pools)
        if self.settings is None or standings is None:
            return None
        decided = decide(
            standings,
            self.settings.advertised,
            drains=self.drains,
            settings=self.settings.bgp,
            memory=self.memory,
            now=record["at"],
        )
        self.memory = decided.memory
        before, self.verdicts = self.verdicts, {each.vip: each for each in decided.verdicts}
        changed = {vip: each for vip, each in self.verdicts.items() if before.get(vip) != each}
        return self.verdicts, changed, before.keys() - self.verdicts.keys()

    def standings(self, pools: Mapping[int, Pool]) -> Sequence[Standing] | None:
        """Return the standings of all services, ``None`` if a pool is unknown.

        Unchanged ones are the same objects.
        """
        found: list[Standing] = []
        for each in self.settings.services if self.settings else ():
            facts = self.facts.get(each.name)
            pool = pools.get(facts.pool) if facts else None
            if facts is None or pool is None:
                return None
            known = self._standings.get(each.name)
            if known is None or known[0] is not facts or known[1] is not pool:
                _, verified, frozen, absent = facts
                standing = Standing(pool, verified, each.med, each.minimum, each.policy, frozen, absent)
                known = self._standings[each.name] = facts, pool, standing
            found.append(known[2])
        return found


def _reason(record: Document) -> str:
    """Return why records before a header are lost, empty if that is unknown."""
    reason: str = record.get("lost", {}).get("reason", "")
    return reason


def unequal(replayed: Pool, recorded: Pool) -> str:
    """Return the first difference between two states of a pool, empty without one."""
    if tuple(replayed.servers) != tuple(recorded.servers):
        return "the pool has other servers, or in another order"
    for host, server in recorded.servers.items():
        if server != replayed.servers[host]:
            return f"replayed {replayed.servers[host]}, recorded {server}"
    if replayed != recorded:
        return "the pool has other settings or other held addresses"
    return ""


def replayed(records: Iterable[Mapping[str, Any]]) -> Replay:
    """Return the replay of records at their end."""
    replay = Replay()
    for record in records:
        replay.check(record)
    return replay
