"""The controller of one service: applies facts to its pool and derives the wanted sets from it.

A fact (a list, an address, a report) becomes an event; :func:`pybal.core.policy.step` returns the new pool. The log lines,
the names to look up, the running monitors and the destinations wanted in the kernel follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, compress, repeat
from operator import attrgetter, is_not
from weakref import proxy

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel

from pybal.core import events, policy
from pybal.core.changes import changes_in_parts
from pybal.core.correlated import CorrelatedFailures, correlated_failures, may_be_correlated
from pybal.core.history import PoolHistory
from pybal.core.model import Address, Alert, Member, Placement, Pool, Report, Server, Service, SuspectCheck
from pybal.core.steps import Steps
from pybal.core.text import format_age, numbered
from pybal.daemon.change_queue import Change, ChangeQueue
from pybal.daemon.lookups import BATCH, Lookups
from pybal.daemon.moving import Moving
from pybal.daemon.pool_log import PoolLog
from pybal.daemon.watch import Watch
from pybal.journal.recorder import Tape
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.resolve import Resolver
from pybal.runtime.throttle import Throttle
from pybal.runtime.turns import Turns, Work
from pybal.runtime.weak import weakly
from pybal.sources.base import CheckedSource, PoolState, SourceError

#: Seconds for which reports are gathered after a report was applied.
GATHER_SECONDS = 0.05
#: Reports that are applied at most in one event.
MOST_REPORTS = 200
#: Seconds between two searches for correlated failures, which visit every server.
CORRELATED_SECONDS = 1.0

_NO_LIST = "waiting for the first server list"


class Controller:
    """The pool of one service and the parts that depend on it.

    ``factories`` make the monitors of each server. ``want`` receives the service and the addresses and weights that the
    kernel should hold, but never before the first list of the source; ``amend`` receives the service and the later changes,
    ``None`` for addresses to remove. Both return, after work in steps, a call that takes effect. ``overridden`` returns the hosts of a service that operators disabled on this balancer. ``changed`` is called after each change of the pool. ``tape`` records each event, if there is a journal.

    The first report in a quiet pool is applied immediately. Reports that follow are gathered for :data:`GATHER_SECONDS`
    and applied as one event; any other event applies them first.
    """

    def __init__(
        self,
        service: Service,
        source: CheckedSource,
        resolver: Resolver,
        factories: Sequence[MonitorFactory],
        *,
        want: Callable[[Service, Mapping[Address, int]], Steps[Callable[[], None]]],
        amend: Callable[[Service, Mapping[Address, int | None]], Steps[Callable[[], None]]],
        clock: IReactorTime,
        turns: Turns,
        changed: Callable[[], None] = lambda: None,
        refusal: Callable[[Address], str] = lambda _address: "",
        overridden: Callable[[str], frozenset[str]] = lambda _service: frozenset(),
        tape: Tape | None = None,
    ) -> None:
        self.pool = Pool(service)
        self._service = service
        """The configured service: that of the pool once :class:`~pybal.core.events.Reconfigured` is applied."""
        this = proxy(self)
        self._log = PoolLog(lambda: this.pool.service.name, clock)
        self._source = source
        self._successor: CheckedSource | None = None
        self._want = want
        self._amend = amend
        self._clock = clock
        self._turns = turns
        self._changed = changed
        self._refusal = refusal
        self._overridden = overridden
        self._tape = tape
        self._members: tuple[Member, ...] | None = None
        """The last list of the source, without overrides."""
        self._list_waits = False
        """True while the last list waits in the queue."""
        self._found: dict[str, Address | None] | None = None
        """The results of lookups that wait in the queue, ``None`` if none do."""
        self._ignored: dict[str, str] = {}
        self._proving = False
        self._initialized = False
        self._wanted: Service | None = None
        """The service whose wanted set was set or amended last, ``None`` if the whole set has to be set."""
        self._lookups = Lookups(service.name, resolver, clock, turns, weakly(self._located))
        self._watch = Watch(clock, turns, weakly(self._reported))
        self._watch.use(factories)
        self._moving = Moving(clock, turns, weakly(self._tried), weakly(self._move_overdue))
        self._moving.use(factories)
        self._reports: list[events.Reported] = []
        self._tries: list[events.Reported] = []
        """Reports on the next addresses of servers."""
        self._gathering = Throttle(
            f"results of the checks of {service.name}", clock, GATHER_SECONDS, weakly(self._apply_reports)
        )
        self._correlated: Mapping[tuple[str, str], CorrelatedFailures] = {}
        """The last correlated failures found, by monitor and cause."""
        self._suspecting = Throttle(
            f"correlated failures of {service.name}", clock, CORRELATED_SECONDS, weakly(self._look_for_correlated)
        )
        self._changes = ChangeQueue(lambda: this.pool.service.name, clock, turns)

    @property
    def could_not_depool(self) -> int:
        """The number of servers that went down and had to stay."""
        return self._log.could_not_depool

    @property
    def history(self) -> PoolHistory:
        """The last transitions of the monitors and the last decisions."""
        return self._log.history

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.pool.service.name

    def start(self, held: Mapping[Address, int]) -> None:
        """Start with the addresses and weights that the kernel holds for this service, if any."""
        before, adopted = self.pool, events.Adopted(held)
        self.pool = policy.step(before, adopted)
        self._record(adopted, before)
        self._source.start(partial(self._delivered, self._source), self._failed, self._pool_state)

    def change(
        self, service: Service, factories: Sequence[MonitorFactory], source: CheckedSource | None = None
    ) -> None:
        """Apply new settings of the same service (equal key).

        Monitors of factories that are still in ``factories`` keep running. If a monitor is replaced, its last report counts
        until the first report of the new one. A new ``source`` takes over with its first list; until then the old one is used.
        """
        self._found = None  # Later results depend on the new settings.
        tunneling_changed = service.tunneling != self._service.tunneling
        self._apply("settings", partial(events.Reconfigured, service))
        self._service = service
        self._watch.use(factories)
        self._moving.use(factories)
        if tunneling_changed:  # The usable address families depend on tunneling.
            self._lookups.restart()
        if source is not None:
            if self._successor is not None:
                self._successor.stop()
            self._successor = source
            source.start(partial(self._delivered, source), self._failed, self._pool_state)

    def stop(self) -> None:
        """Stop the source, the lookups and the monitors. The wanted destinations stay unchanged."""
        self._gathering.cancel()
        self._suspecting.cancel()
        self._reports.clear()
        self._tries.clear()
        self._changes.stop()
        self._source.stop()
        if self._successor is not None:
            self._successor.stop()
        self._lookups.stop()
        self._watch.stop()
        self._moving.stop()
        if self._tape is not None:
            self._tape.end()

    def apply_overrides(self) -> None:
        """Apply the present overrides of operators to the last list."""
        if self._members is not None:
            self._apply_list()

    @property
    def pending(self) -> bool:
        """True while a change is not applied to the pool yet."""
        return bool(self._changes)

    def prove(self, applied: Callable[[], None]) -> None:
        """Call ``applied`` when the changes that wait now are applied; not while an earlier call waits."""

        def empty() -> Work:
            self._proving = False
            applied()
            yield

        if not self._proving:
            self._proving = True
            self._changes.add(Change("pulse", empty, repeats=False))

    @property
    def initialized(self) -> bool:
        """True once the first list has come and each of its servers has been looked up."""
        return self._initialized

    def monitors(self) -> Sequence[tuple[str, Monitor]]:
        """Return the running monitors with their hosts."""
        return self._watch.monitors()

    @property
    def number_of_monitors(self) -> int:
        """The number of running monitors."""
        return self._watch.number

    def monitors_of(self, host: str) -> Sequence[Monitor]:
        """Return the running monitors of one server, empty for a server without an address."""
        return self._watch.monitors_of(host)

    def server(self, host: str) -> Server | None:
        """Return a server of the pool; before the first list, an unchecked one of the saved list."""
        if self.pool.listed:
            return self.pool.servers.get(host)
        unreported = dict.fromkeys(self.pool.service.monitors)
        return next((Server(member, unreported) for member in self._source.saved if member.host == host), None)

    def alerts(self) -> Iterator[Alert]:
        """Yield the alerts of this service, apart from the health of its servers."""
        alert = partial(Alert, self.pool.service.name)
        yield from self._source_alerts()
        yield from _alerts_of(self.pool)
        for failures in self._correlated.values():
            yield alert("suspect-check", str(failures), subject=f"{failures.monitor} {failures.cause}")
        for host, problem in self._lookups.problems():
            yield alert("unresolved", f"{host}: {problem}", subject=host)
        for host, text in list(self._ignored.items()):
            if host in self.pool.servers:
                yield alert("unresolved", f"{host}: {text}", subject=host)
        yield from self._moving.alerts(self.pool)
        now = self._clock.seconds()
        for host, monitor, last in self._watch.overdue(now):
            state = "not checked yet" if monitor.up is None else f"last {'up' if monitor.up else 'down'}"
            text = f"{host}: no conclusive result from {monitor.name} for {format_age(now - last)} ({state})"
            yield alert("unknown", text, subject=f"{host} {monitor.name}")

    def _source_alerts(self) -> Iterator[Alert]:
        alert = partial(Alert, self.pool.service.name)
        if self._source.problem:
            yield alert("source", f"{self._source.problem}; {self._list_in_use(self._source.applied, self._list_age)}")
        elif not self.pool.listed:
            yield alert("source", _NO_LIST)
        if self._successor is not None and self._successor.problem:
            yield alert("source", f"{self._successor.problem}; keeping the list of the previous source", subject="next")
        if self._source.removal:
            yield alert("removed", self._source.removal)

    def _list_in_use(self, applied: str, age: str = "") -> str:
        if not self.pool.listed:
            return _NO_LIST
        reaction = f"applying {applied}" if applied else "keeping the last good list"
        return f"{reaction} ({numbered(len(self.pool.servers), 'server')}{age})"

    @property
    def _list_age(self) -> str:
        last = self._source.last_success
        return "" if last is None else f", read {format_age(self._clock.seconds() - last)} ago"

    def _pool_state(self) -> PoolState:
        """Return the state on which the checks of a new list depend."""
        pool = self.pool
        if self._members is None:
            return PoolState()
        held = bool(pool.held)
        if not pool.listed:  # The first list is in progress: all its servers may be in the kernel.
            return PoolState(self._members, frozenset(each.host for each in self._members if held and each.enabled))
        servers = pool.servers
        # In C: a loop in Python over 12,000 servers takes 7 ms for each list.
        pooled = compress(servers, map(is_not, map(attrgetter("placement"), servers.values()), repeat(Placement.OUT)))
        unresolved = [host for host, server in servers.items() if server.condition.unresolved] if held else ()
        return PoolState(self._members, frozenset(chain(pooled, unresolved)))

    def _delivered(self, source: CheckedSource, members: tuple[Member, ...]) -> None:
        if source is self._successor:
            self._source.stop()
            self._source, self._successor = source, None
        self._members = members
        self._apply_list()

    def _apply_list(self) -> None:
        """Apply the last list; one event in the queue is enough, because it takes the list when it begins."""
        if not self._list_waits:
            self._apply_reports()
            self._list_waits = True
            self._changes.add(Change("list", partial(self._step, self._listed)))

    def _listed(self) -> events.Listed:
        """Return the last list of the source with the overrides of operators."""
        self._list_waits = False
        hosts = self._overridden(self.name)
        if not hosts:
            return events.Listed(self._members or ())
        return events.Listed(
            tuple(
                replace(member, enabled=False, overridden=True) if member.host in hosts else member
                for member in self._members or ()
            )
        )

    def _failed(self, error: SourceError) -> None:
        text = f"{error}; {self._list_in_use(error.applied)}"
        self._log.write(LogLevel.error, text)
        if self._tape is not None:
            self._tape.alert(Alert(self.name, "source", text))

    def _located(self, found: Mapping[str, Address | None]) -> None:
        usable = dict(found)
        for host, address in found.items():
            self._ignored.pop(host, None)
            if address is not None and (reason := self._unusable(address)):
                usable[host] = None
                self._ignored[host] = text = f"ignoring {address}, {reason}"
                self._log.write(LogLevel.error, f"Server {host}: {text}")
        change = Change(
            "addresses", partial(self._step, partial(self._resolved, usable)), partial(self._single_addresses, usable)
        )
        if self._found is not None and len(self._found) + len(usable) <= BATCH:  # To locate them is one step.
            self._found.update(usable)
            self._changes.renew(change)
            return
        self._apply_reports()
        self._found = usable
        self._changes.add(change)

    def _single_addresses(self, found: Mapping[str, Address | None]) -> Sequence[Change]:
        return [
            Change(f"address of {host}", partial(self._step, partial(self._resolved, {host: address})))
            for host, address in found.items()
        ]

    def _resolved(self, found: Mapping[str, Address | None]) -> events.Resolved:
        if self._found is found:
            self._found = None
        return events.Resolved(found, self._clock.seconds())

    def _unusable(self, address: Address) -> str:
        """Return why no server of this service can have an address, empty if one can."""
        service = self._service
        if not service.tunneling and address.version != service.vip.version:
            return f"not of the family of {service.vip} (set tunneling = yes to use it)"
        return self._refusal(address)

    def _reported(self, host: str, address: Address, monitor: str, report: Report) -> None:
        self.history.report(host, monitor, report)
        self._gather(self._reports, events.Reported(host, monitor, report, address))

    def _tried(self, host: str, address: Address, monitor: str, report: Report) -> None:
        self._gather(self._tries, events.Reported(host, monitor, report, address))

    def _gather(self, reports: list[events.Reported], report: events.Reported) -> None:
        reports.append(report)
        self._gathering.request()
        if len(reports) >= MOST_REPORTS:
            self._apply_reports()

    def _move_overdue(self, hosts: frozenset[str]) -> None:
        more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
        late = (
            f"not passed for {self.pool.service.dns_move_wait:g} s; the floor decides about {'them' if more else 'it'}"
        )
        self._log.write(LogLevel.error, f"new address of {min(hosts)}{more} {late}")
        self._apply("end of the wait for new addresses", partial(events.Overdue, hosts), repeats=False)

    def _apply_reports(self) -> None:
        self._apply_gathered(self._reports, events.Gathered, "")
        self._apply_gathered(self._tries, events.Tried, "the next address of ")

    def _apply_gathered(
        self, gathered: list[events.Reported], event: Callable[[Sequence[events.Reported]], events.Event], where: str
    ) -> None:
        if not gathered:
            return
        reports = gathered.copy()
        gathered.clear()

        def single() -> Sequence[Change]:
            return [
                Change(f"result of {each.monitor} for {where}{each.host}", partial(self._step, partial(event, [each])))
                for each in reports
            ]

        self._changes.add(Change("results of checks", partial(self._step, partial(event, reports)), single))

    def _apply(self, subject: str, event: Callable[[], events.Event], *, repeats: bool = True) -> None:
        self._apply_reports()
        self._changes.add(Change(subject, partial(self._step, event), repeats=repeats))

    def _step(self, event: Callable[[], events.Event]) -> Work:
        """Apply an event, entirely or after an exception not at all.

        The new pool and the change of the wanted set are made in steps; both take effect in one turn.
        """
        before, happened = self.pool, event()
        after = yield from policy.in_steps(before, happened)
        if after is before:
            self._record(happened, before)
            return
        want = yield from self._wanting(before, after)
        self.pool = after
        if after.listed:
            self._wanted = after.service
        try:
            # Speed up the monitors at the floor: each server that recovers then lets a dead one leave.
            self._watch.set_urgent(urgent=policy.serving(after) <= policy.floor(after))
            want()
            self._changed()
            self._lookups.follow(after.servers.names, after.service.vip.version)
            same = after.servers.names is before.servers.names and after.servers.hosts_at is before.servers.hosts_at
            self._watch.follow(after.servers, moved=not same)
            self._moving.follow(before, after)
        except Exception:
            self.pool, self._wanted = before, None
            raise
        self._record(happened, before)
        if self._correlated or may_be_correlated(after.servers):
            self._suspecting.request()
        yield
        yield from self._log.changes(changes_in_parts(before, after), partial(policy.arithmetic, after))
        if not self._initialized and self.pool.listed and not self.pool.servers.count(lambda each: each.awaits_lookup):
            self._initialized = True
            self._log.write(LogLevel.info, f"[{self.name}] Initialization complete")
        yield  # the servers of the previous state are freed next

    def _record(self, event: events.Event, before: Pool) -> None:
        if self._tape is not None:
            self._tape.record(event, before, self.pool)

    def _wanting(self, before: Pool, after: Pool) -> Steps[Callable[[], None]]:
        """Return the call that brings the difference between two states of the pool to the kernel."""
        service, last = after.service, self._wanted
        if not after.listed:
            return lambda: None
        if last is None or (last.name, last.tunneling) != (service.name, service.tunneling):
            return (yield from self._want(service, policy.wanted(after)))
        found = yield from policy.wanted_changes_in_steps(before, after)
        return (yield from self._amend(service, found)) if found or service != last else lambda: None

    def _look_for_correlated(self) -> None:
        self._changes.add(Change("search for correlated failures", self._log_correlated, repeats=False))

    def _log_correlated(self) -> Work:
        """Log correlated failures once, when they become correlated, with the numbers of that moment."""
        service, reaction = self.pool.service, ""
        found: Sequence[CorrelatedFailures] = ()
        if service.suspect_check is not SuspectCheck.OFF:
            found = yield from correlated_failures(self.pool.servers, service.interval)
        if service.suspect_check is SuspectCheck.HOLD:
            reaction = "; keeping them pooled (suspect-check = hold)"
        correlated = {(failures.monitor, failures.cause): failures for failures in found}
        for key in correlated.keys() - self._correlated.keys():
            self._log.write(LogLevel.error, f"{correlated[key]}{reaction}")
        self._correlated = correlated


_HASHING: Mapping[str, tuple[frozenset[str], str]] = {
    "sh": (frozenset(("sh-fallback", "flag-1")), "set scheduler-flag = sh-fallback"),
    "dh": (frozenset(), "use another scheduler, such as mh"),
}
"""Schedulers that map clients to servers of weight 0: the flags that prevent it, and the remedy."""


def _refused_by_hash(pool: Pool) -> Iterator[Alert]:
    """Yield an alert if the kernel refuses clients that its scheduler maps to servers of weight 0."""
    fallback, remedy = _HASHING.get(pool.service.scheduler, (frozenset[str](), ""))
    quiet = pool.servers.count(lambda server: server.pooled and not server.weighted)
    if remedy and quiet and fallback.isdisjoint(pool.service.scheduler_flags):
        clients = (
            f"the kernel refuses clients that {pool.service.scheduler} maps to {numbered(quiet, 'server')} of weight 0"
        )
        yield Alert(pool.service.name, "scheduler", f"{clients}; {remedy}")


def _alerts_of(pool: Pool) -> Iterator[Alert]:
    """Yield the alerts about an unusual list, which is applied nevertheless."""
    enabled, total = pool.servers.count(lambda server: server.enabled and server.weighted), policy.total(pool)
    if total and pool.listed and enabled < policy.floor(pool):  # without a weight above 0 the alert is no-servers
        text = f"only {enabled} of {numbered(total, 'server')} enabled ({policy.arithmetic(pool)})"
        yield Alert(pool.service.name, "disabled", text)
    for address, sharing in pool.servers.sharing.items():
        text = f"{', '.join(sharing)} have the same address {address}; pooling it once"
        yield Alert(pool.service.name, "duplicate", text, subject=str(address))
    yield from _refused_by_hash(pool)
