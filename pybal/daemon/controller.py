"""One service: every fact goes through the policy, and three wanted sets come out.

A fact (a list, an address, a report) becomes an event; :func:`pybal.core.policy.step` gives the new pool. From it follow what
is logged, which names are followed, which monitors run, and what the kernel should hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from pybal.core import decision, policy
from pybal.core.changes import Change, ChangeKind, changes
from pybal.core.correlated import Suspicion, suspicions
from pybal.core.decision import Decision
from pybal.core.model import Address, Alert, Member, Pool, Report, Service, SuspectCheck
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.resolve import Follower, Resolver
from pybal.sources.base import Source, SourceError

#: How long a monitor may say nothing conclusive before it is an alert, in seconds: three intervals, but at least this.
SILENCE = 30.0

_LINES = {
    ChangeKind.REMOVED: (LogLevel.info, "Removing server {host} (no longer found in new configuration)"),
    ChangeKind.NEW: (LogLevel.info, "New {enabled} server {host}, weight {weight}"),
    ChangeKind.MERGED: (LogLevel.info, "Merged {enabled} server {host}, weight {weight}"),
    ChangeKind.MOVED: (LogLevel.info, "Server {host} has a new address: {address}"),
    ChangeKind.NOWHERE: (LogLevel.error, "Server {host} has no usable address"),
    ChangeKind.SAID_DOWN: (
        LogLevel.warn,
        "Monitoring instance {monitor} reports server {host} ({status}) down: {reason}",
    ),
    ChangeKind.UP: (LogLevel.info, "Server {host} ({status}) is up"),
    ChangeKind.NOT_DEPOOLED: (LogLevel.error, "Could not depool server {host} because of too many down!"),
    ChangeKind.LEFT_POOLED: (LogLevel.info, "Leaving previously pooled server {host} pooled"),
}

_DECISIONS = {
    ChangeKind.NOT_DEPOOLED: (LogLevel.warn, "kept"),
    ChangeKind.FORCED_IN: (LogLevel.warn, "forced in"),
    ChangeKind.DEPOOLED: (LogLevel.info, "depooled"),
    ChangeKind.REPOOLED: (LogLevel.info, "pooled"),
}


@dataclass(frozen=True, slots=True)
class _Watched:
    """The running monitors of a server at one address, in the order of the plans, since a monotonic time."""

    address: Address
    monitors: Sequence[Monitor]
    since: float


class Controller:
    """The pool of one service, and whatever follows from it.

    ``plans`` make the monitors of each server; ``want`` is told the service with the addresses and weights that the kernel should
    hold, each time one of these changes, but never before the source has delivered a first list. ``changed`` is called after each change of the pool.
    """

    log = Logger()

    def __init__(
        self,
        service: Service,
        source: Source,
        resolver: Resolver,
        plans: Sequence[MonitorFactory],
        *,
        want: Callable[[Service, Mapping[Address, int]], None],
        clock: IReactorTime,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool = Pool(service)
        self.could_not_depool = 0
        self.decisions: deque[Decision] = deque(maxlen=decision.KEPT)
        """The last ones, the oldest first."""
        self._source = source
        self._successor: Source | None = None
        self._resolver = resolver
        self._plans = plans
        self._want = want
        self._clock = clock
        self._changed = changed
        self._wanted: Mapping[Address, int] | None = None
        self._followed: dict[str, Follower] = {}
        self._watched: dict[str, _Watched] = {}
        self._found: dict[str, Address | None] = {}
        self._suspected: frozenset[tuple[str, str]] = frozenset()
        self._urgent = False

    def start(self, held: Mapping[Address, int]) -> None:
        """Begin with what the kernel holds for this service: addresses and weights, empty where it holds nothing."""
        self.pool = policy.step(self.pool, policy.Adopted(held))
        self._source.start(partial(self._delivered, self._source), self._failed)

    def change(self, service: Service, plans: Sequence[MonitorFactory], source: Source | None = None) -> None:
        """Become ``service``, whose key must be the same; what is the same goes on.

        Monitors go on whose plan is there still, the very object; what those said that are made anew stands until the
        new ones speak. A new ``source`` takes over with its first list: until then the old one serves.
        """
        before, self._plans = self._plans, plans
        elsewhere = service.tunneling != self.pool.service.tunneling
        if service != self.pool.service:
            self._wanted = None
        self._apply(policy.Reconfigured(service))
        self._watched = {host: self._rewatched(host, watched, before) for host, watched in self._watched.items()}
        if elsewhere:  # which addresses are of use depends on it
            for following in self._followed.values():
                following.stop()
            self._followed.clear()
            self._follow()
        if source is not None:
            if self._successor is not None:
                self._successor.stop()
            self._successor = source
            source.start(partial(self._delivered, source), self._failed)

    def stop(self) -> None:
        """Stop following the source, the names and the servers. What the kernel should hold stays as it was."""
        self._source.stop()
        if self._successor is not None:
            self._successor.stop()
        for following in self._followed.values():
            following.stop()
        for watched in self._watched.values():
            _stop(watched)
        self._followed.clear()
        self._watched.clear()
        self._found.clear()

    def monitors(self) -> Iterator[tuple[str, Monitor]]:
        """Yield the running monitors with the host that each watches."""
        for host, watched in self._watched.items():
            for monitor in watched.monitors:
                yield host, monitor

    def monitors_of(self, host: str) -> Sequence[Monitor]:
        """Return the running monitors of one server, none for one without an address."""
        watched = self._watched.get(host)
        return () if watched is None else watched.monitors

    def alerts(self) -> Iterator[Alert]:
        """Yield what an operator should know of this service beside the health of its servers."""
        alert = partial(Alert, self.pool.service.name)
        if self._source.problem:
            yield alert("source", f"{self._source.problem}; {self._standing_list}{self._list_age}")
        elif not self.pool.listed:
            yield alert("source", "no list of servers yet")
        if self._successor is not None and self._successor.problem:
            yield alert("source", f"{self._successor.problem}; the source before it serves on")
        yield from _alerts_of(self.pool)
        for suspicion in self._suspicions():
            yield alert("suspect-check", str(suspicion))
        for host, following in self._followed.items():
            if following.problem:
                yield alert("unresolved", f"{host}: {following.problem}")
        overdue = self._clock.seconds() - max(SILENCE, 3 * self.pool.service.interval)
        for host, watched in self._watched.items():
            silent = [m.name for m in watched.monitors if m.up is None and watched.since < overdue]
            if silent:
                yield alert("unknown", f"{host}: nothing conclusive from {', '.join(silent)} yet")

    @property
    def _standing_list(self) -> str:
        if not self.pool.listed:
            return "no list of servers yet"
        return f"the last good list of {len(self.pool.servers)} servers serves on"

    @property
    def _list_age(self) -> str:
        last = self._source.last_success
        return "" if last is None else f", good {self._clock.seconds() - last:.0f} s ago"

    def _delivered(self, source: Source, members: tuple[Member, ...]) -> None:
        if source is self._successor:
            self._source.stop()
            self._source, self._successor = source, None
        self._apply(policy.Listed(members))

    def _failed(self, error: SourceError) -> None:
        self._say(LogLevel.error, f"{error}; {self._standing_list}")

    def _located(self, host: str, address: Address | None) -> None:
        # The names of a pool are found within a few turns of the loop: one event for all of a turn.
        if not self._found:
            self._clock.callLater(0, self._flush_found)
        service = self.pool.service
        usable = address is None or service.tunneling or address.version == service.vip.version
        if not usable:
            self._say(LogLevel.error, f"Server {host}: {address} cannot serve {service.vip} without tunneling")
        self._found[host] = address if usable else None

    def _flush_found(self) -> None:
        found, self._found = self._found, {}
        if found:
            self._apply(policy.Resolved(found))

    def _reported(self, host: str, monitor: str, report: Report) -> None:
        self._apply(policy.Reported(host, monitor, report))

    def _apply(self, event: policy.Event) -> None:
        before, self.pool = self.pool, policy.step(self.pool, event)
        if self.pool is before:
            return
        self._tell(list(changes(before, self.pool)))
        if not isinstance(event, policy.Reported):
            self._follow()
            self._supervise()
        elif self._suspected or not event.report.up:
            self._suspect()
        self._update_urgent()
        wanted = policy.wanted(self.pool)
        if self.pool.listed and wanted != self._wanted:
            self._wanted = wanted
            self._want(self.pool.service, wanted)
        self._changed()

    def _follow(self) -> None:
        """Follow the names of the servers there are, and no others."""
        for host in self._followed.keys() - self.pool.servers.keys():
            self._followed.pop(host).stop()
            self._found.pop(host, None)
        version = self.pool.service.vip.version
        for host in self.pool.servers:
            if host not in self._followed:
                self._followed[host] = self._resolver.follow(host, version, partial(self._located, host))

    def _supervise(self) -> None:
        """Watch each server that has an address, at that address."""
        for host, watched in list(self._watched.items()):
            server = self.pool.servers.get(host)
            if server is None or server.address != watched.address:
                _stop(self._watched.pop(host))
        for host, server in self.pool.servers.items():
            if server.address is not None and host not in self._watched:
                monitors = [self._monitor(plan, host, server.address) for plan in self._plans]
                self._watched[host] = _Watched(server.address, monitors, self._clock.seconds())
                for monitor in monitors:
                    monitor.set_urgent(self._urgent)
                    monitor.start()

    def _update_urgent(self) -> None:
        """At the floor, each server that is back lets a dead one leave: have the monitors look oftener."""
        urgent = policy.serving(self.pool) <= policy.floor(self.pool)
        if urgent != self._urgent:
            self._urgent = urgent
            for _, monitor in self.monitors():
                monitor.set_urgent(urgent)

    def _monitor(self, plan: MonitorFactory, host: str, address: Address) -> Monitor:
        return plan.monitor(host, address, partial(self._reported, host, plan.name))

    def _rewatched(self, host: str, watched: _Watched, before: Sequence[MonitorFactory]) -> _Watched:
        """Return the monitors of a server after a change: those that stay, new ones that have begun; the others have ended."""
        if list(map(id, before)) == list(map(id, self._plans)):
            return watched
        old = {id(plan): monitor for plan, monitor in zip(before, watched.monitors, strict=True)}
        monitors = [
            old.pop(id(plan)) if id(plan) in old else self._monitor(plan, host, watched.address) for plan in self._plans
        ]
        # The new ones first: what is shared ends with the last who shares it.
        for monitor in monitors:
            if monitor not in watched.monitors:
                monitor.set_urgent(self._urgent)
                monitor.start()
        for monitor in old.values():
            monitor.stop()
        return _Watched(watched.address, monitors, self._clock.seconds())

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind in _LINES:
                level, line = _LINES[change.kind]
                self._say(level, _fill(line, change))
        self.could_not_depool += sum(change.kind is ChangeKind.NOT_DEPOOLED for change in changes)
        for kind, (level, verb) in _DECISIONS.items():
            hosts = [change.server.host for change in changes if change.kind is kind]
            if hosts:
                decision = Decision.of(self._clock.seconds(), verb, hosts, policy.arithmetic(self.pool))
                self.decisions.append(decision)
                self._say(level, decision.text)

    def _suspect(self) -> None:
        """Say once that a check is the suspect: when it becomes so, with the numbers of that moment."""
        suspected = {(suspicion.monitor, suspicion.cause): suspicion for suspicion in self._suspicions()}
        for key in suspected.keys() - self._suspected:
            held = "; they are held" if self.pool.service.suspect_check is SuspectCheck.HOLD else ""
            self._say(LogLevel.error, f"{suspected[key]}{held}")
        self._suspected = frozenset(suspected)

    def _suspicions(self) -> Iterator[Suspicion]:
        service = self.pool.service
        if service.suspect_check is not SuspectCheck.OFF:
            yield from suspicions(self.pool.servers.values(), service.interval)

    def _say(self, level: LogLevel, text: str) -> None:
        self.log.emit(level, "{text}", text=text, system=self.pool.service.name)


def _alerts_of(pool: Pool) -> Iterator[Alert]:
    """Yield what is odd about a list, though it is obeyed."""
    enabled = sum(server.member.enabled for server in pool.servers.values())
    if pool.listed and enabled < policy.floor(pool):
        text = f"{enabled} of {len(pool.servers)} servers enabled, {policy.arithmetic(pool)}"
        yield Alert(pool.service.name, "disabled", text)
    hosts: dict[Address | None, list[str]] = {}
    for server in pool.servers.values():
        hosts.setdefault(server.address, []).append(server.host)
    for address, sharing in hosts.items():
        if address is not None and len(sharing) > 1:
            text = f"{', '.join(sharing)} share the address {address}: one destination"
            yield Alert(pool.service.name, "duplicate", text)


def _fill(line: str, change: Change) -> str:
    server = change.server
    return line.format(
        host=server.host,
        enabled="enabled" if server.member.enabled else "disabled",
        weight=server.member.weight,
        address=server.address,
        status=server.status,
        monitor=change.monitor,
        reason=change.reason,
    )


def _stop(watched: _Watched) -> None:
    for monitor in watched.monitors:
        monitor.stop()
