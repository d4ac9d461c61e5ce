"""The controller of one service: applies facts to its pool and derives the wanted sets from it.

A fact (a list, an address, a report) becomes an event; :func:`pybal.core.policy.step` returns the new pool. The log lines,
the names to look up, the running monitors and the destinations wanted in the kernel follow from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from pybal.core import decision, events, policy
from pybal.core.changes import Change, ChangeKind, changes
from pybal.core.correlated import CorrelatedFailures, correlated_failures
from pybal.core.decision import Decision
from pybal.core.model import Address, Alert, Member, Pool, Report, Service, SuspectCheck
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.resolve import Follower, Resolver
from pybal.sources.base import Source, SourceError

#: A monitor without a conclusive result for three intervals, but at least this many seconds, raises an alert.
UNKNOWN_SECONDS = 30.0

_NO_LIST = "waiting for the first server list"

_LINES = {
    ChangeKind.REMOVED: (LogLevel.info, "Removing server {host} (no longer found in new configuration)"),
    ChangeKind.NEW: (LogLevel.info, "New {enabled} server {host}, weight {weight}"),
    ChangeKind.MERGED: (LogLevel.info, "Merged {enabled} server {host}, weight {weight}"),
    ChangeKind.MOVED: (LogLevel.info, "Server {host} has a new address: {address}"),
    ChangeKind.UNRESOLVABLE: (LogLevel.error, "Server {host} has no usable address"),
    ChangeKind.REPORTED_DOWN: (
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
    """The running monitors of a server at one address, in the order of the factories, since ``since``."""

    address: Address
    monitors: Sequence[Monitor]
    since: float


class Controller:
    """The pool of one service and the parts that depend on it.

    ``factories`` make the monitors of each server. ``want`` receives the service and the addresses and weights that the
    kernel should hold, at each change, but never before the first list of the source. ``changed`` is called after each
    change of the pool.
    """

    logger = Logger()

    def __init__(
        self,
        service: Service,
        source: Source,
        resolver: Resolver,
        factories: Sequence[MonitorFactory],
        *,
        want: Callable[[Service, Mapping[Address, int]], None],
        clock: IReactorTime,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool = Pool(service)
        self.could_not_depool = 0
        self.decisions: deque[Decision] = deque(maxlen=decision.KEPT_DECISIONS)
        """The last decisions, the oldest first."""
        self._source = source
        self._successor: Source | None = None
        self._resolver = resolver
        self._factories = factories
        self._want = want
        self._clock = clock
        self._changed = changed
        self._wanted: Mapping[Address, int] | None = None
        self._lookups: dict[str, Follower] = {}
        self._watched: dict[str, _Watched] = {}
        self._found: dict[str, Address | None] = {}
        self._suspected: frozenset[tuple[str, str]] = frozenset()
        self._urgent = False

    def start(self, held: Mapping[Address, int]) -> None:
        """Start with the addresses and weights that the kernel holds for this service, if any."""
        self.pool = policy.step(self.pool, events.Adopted(held))
        self._source.start(partial(self._delivered, self._source), self._failed)

    def change(self, service: Service, factories: Sequence[MonitorFactory], source: Source | None = None) -> None:
        """Apply new settings of the same service (equal key).

        Monitors of factories that are still in ``factories`` keep running. If a monitor is replaced, its last report counts
        until the first report of the new one. A new ``source`` takes over with its first list; until then the old one is used.
        """
        before, self._factories = self._factories, factories
        tunneling_changed = service.tunneling != self.pool.service.tunneling
        if service != self.pool.service:
            self._wanted = None
        self._apply(events.Reconfigured(service))
        self._watched = {host: self._replace_monitors(host, watched, before) for host, watched in self._watched.items()}
        if tunneling_changed:  # The usable address families depend on tunneling.
            for lookup in self._lookups.values():
                lookup.stop()
            self._lookups.clear()
            self._update_lookups()
        if source is not None:
            if self._successor is not None:
                self._successor.stop()
            self._successor = source
            source.start(partial(self._delivered, source), self._failed)

    def stop(self) -> None:
        """Stop the source, the lookups and the monitors. The wanted destinations stay unchanged."""
        self._source.stop()
        if self._successor is not None:
            self._successor.stop()
        for lookup in self._lookups.values():
            lookup.stop()
        for watched in self._watched.values():
            _stop(watched)
        self._lookups.clear()
        self._watched.clear()
        self._found.clear()

    def monitors(self) -> Iterator[tuple[str, Monitor]]:
        """Yield the running monitors with their hosts."""
        for host, watched in self._watched.items():
            for monitor in watched.monitors:
                yield host, monitor

    def monitors_of(self, host: str) -> Sequence[Monitor]:
        """Return the running monitors of one server, empty for a server without an address."""
        watched = self._watched.get(host)
        return () if watched is None else watched.monitors

    def alerts(self) -> Iterator[Alert]:
        """Yield the alerts of this service, apart from the health of its servers."""
        alert = partial(Alert, self.pool.service.name)
        if self._source.problem:
            yield alert("source", f"{self._source.problem}; {self._list_in_use(self._list_age)}")
        elif not self.pool.listed:
            yield alert("source", _NO_LIST)
        if self._successor is not None and self._successor.problem:
            yield alert("source", f"{self._successor.problem}; keeping the list of the previous source")
        yield from _alerts_of(self.pool)
        for failures in self._correlated():
            yield alert("suspect-check", str(failures))
        for host, lookup in self._lookups.items():
            if lookup.problem:
                yield alert("unresolved", f"{host}: {lookup.problem}")
        overdue = self._clock.seconds() - max(UNKNOWN_SECONDS, 3 * self.pool.service.interval)
        for host, watched in self._watched.items():
            pending = [m.name for m in watched.monitors if m.up is None and watched.since < overdue]
            if pending:
                yield alert("unknown", f"{host}: no conclusive result from {', '.join(pending)} yet")

    def _list_in_use(self, age: str = "") -> str:
        if not self.pool.listed:
            return _NO_LIST
        return f"keeping the last good list ({len(self.pool.servers)} servers{age})"

    @property
    def _list_age(self) -> str:
        last = self._source.last_success
        return "" if last is None else f", read {self._clock.seconds() - last:.0f} s ago"

    def _delivered(self, source: Source, members: tuple[Member, ...]) -> None:
        if source is self._successor:
            self._source.stop()
            self._source, self._successor = source, None
        self._apply(events.Listed(members))

    def _failed(self, error: SourceError) -> None:
        self._log(LogLevel.error, f"{error}; {self._list_in_use()}")

    def _located(self, host: str, address: Address | None) -> None:
        # One event for all names that resolve in one turn of the loop.
        if not self._found:
            self._clock.callLater(0, self._apply_found)
        service = self.pool.service
        usable = address is None or service.tunneling or address.version == service.vip.version
        if not usable:
            text = (
                f"Server {host}: ignoring {address}, not of the family of {service.vip} (set tunneling = yes to use it)"
            )
            self._log(LogLevel.error, text)
        self._found[host] = address if usable else None

    def _apply_found(self) -> None:
        found, self._found = self._found, {}
        if found:
            self._apply(events.Resolved(found))

    def _reported(self, host: str, monitor: str, report: Report) -> None:
        self._apply(events.Reported(host, monitor, report))

    def _apply(self, event: events.Event) -> None:
        before, self.pool = self.pool, policy.step(self.pool, event)
        if self.pool is before:
            return
        self._log_changes(list(changes(before, self.pool)))
        if not isinstance(event, events.Reported):
            self._update_lookups()
            self._update_monitors()
        elif self._suspected or not event.report.up:
            self._log_correlated()
        self._update_urgent()
        wanted = policy.wanted(self.pool)
        if self.pool.listed and wanted != self._wanted:
            self._wanted = wanted
            self._want(self.pool.service, wanted)
        self._changed()

    def _update_lookups(self) -> None:
        """Follow the names of exactly the servers in the pool."""
        for host in self._lookups.keys() - self.pool.servers.keys():
            self._lookups.pop(host).stop()
            self._found.pop(host, None)
        version = self.pool.service.vip.version
        for host in self.pool.servers:
            if host not in self._lookups:
                self._lookups[host] = self._resolver.follow(host, version, partial(self._located, host))

    def _update_monitors(self) -> None:
        """Run monitors for exactly the servers with an address, at that address."""
        for host, watched in list(self._watched.items()):
            server = self.pool.servers.get(host)
            if server is None or server.address != watched.address:
                _stop(self._watched.pop(host))
        for host, server in self.pool.servers.items():
            if server.address is not None and host not in self._watched:
                monitors = [self._monitor(factory, host, server.address) for factory in self._factories]
                self._watched[host] = _Watched(server.address, monitors, self._clock.seconds())
                for monitor in monitors:
                    monitor.set_urgent(self._urgent)
                    monitor.start()

    def _update_urgent(self) -> None:
        """Speed up the monitors at the floor: each server that recovers then lets a dead one leave."""
        urgent = policy.serving(self.pool) <= policy.floor(self.pool)
        if urgent != self._urgent:
            self._urgent = urgent
            for _, monitor in self.monitors():
                monitor.set_urgent(urgent)

    def _monitor(self, factory: MonitorFactory, host: str, address: Address) -> Monitor:
        return factory.monitor(host, address, partial(self._reported, host, factory.name))

    def _replace_monitors(self, host: str, watched: _Watched, before: Sequence[MonitorFactory]) -> _Watched:
        """Return the monitors of a server after a change; start the new ones, stop those that go."""
        if list(map(id, before)) == list(map(id, self._factories)):
            return watched
        old = {id(factory): monitor for factory, monitor in zip(before, watched.monitors, strict=True)}
        monitors = [
            old.pop(id(factory)) if id(factory) in old else self._monitor(factory, host, watched.address)
            for factory in self._factories
        ]
        # New monitors first: a shared check ends with its last user.
        for monitor in monitors:
            if monitor not in watched.monitors:
                monitor.set_urgent(self._urgent)
                monitor.start()
        for monitor in old.values():
            monitor.stop()
        return _Watched(watched.address, monitors, self._clock.seconds())

    def _log_changes(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind in _LINES:
                level, line = _LINES[change.kind]
                # Formatted only if it is written: a burst of lines is summarised.
                fill = partial(_fill, line, change)
                self.logger.emit(level, "{text()}", text=fill, kind=line, system=self.pool.service.name)
        self.could_not_depool += sum(change.kind is ChangeKind.NOT_DEPOOLED for change in changes)
        for kind, (level, verb) in _DECISIONS.items():
            hosts = [change.server.host for change in changes if change.kind is kind]
            if hosts:
                decision = Decision.of(self._clock.seconds(), verb, hosts, policy.arithmetic(self.pool))
                self.decisions.append(decision)
                self._log(level, decision.text)

    def _log_correlated(self) -> None:
        """Log correlated failures once, when they become correlated, with the numbers of that moment."""
        suspected = {(failures.monitor, failures.cause): failures for failures in self._correlated()}
        for key in suspected.keys() - self._suspected:
            held = (
                "; keeping them pooled (suspect-check = hold)"
                if self.pool.service.suspect_check is SuspectCheck.HOLD
                else ""
            )
            self._log(LogLevel.error, f"{suspected[key]}{held}")
        self._suspected = frozenset(suspected)

    def _correlated(self) -> Iterator[CorrelatedFailures]:
        service = self.pool.service
        if service.suspect_check is not SuspectCheck.OFF:
            yield from correlated_failures(self.pool.servers.values(), service.interval)

    def _log(self, level: LogLevel, text: str) -> None:
        self.logger.emit(level, "{text}", text=text, system=self.pool.service.name)


def _alerts_of(pool: Pool) -> Iterator[Alert]:
    """Yield the alerts about an unusual list, which is applied nevertheless."""
    enabled = sum(server.member.enabled for server in pool.servers.values())
    if pool.listed and enabled < policy.floor(pool):
        text = f"only {enabled} of {len(pool.servers)} servers enabled ({policy.arithmetic(pool)})"
        yield Alert(pool.service.name, "disabled", text)
    hosts: dict[Address | None, list[str]] = {}
    for server in pool.servers.values():
        hosts.setdefault(server.address, []).append(server.host)
    for address, sharing in hosts.items():
        if address is not None and len(sharing) > 1:
            text = f"{', '.join(sharing)} have the same address {address}; pooling it once"
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
