"""The running monitors of one pool: those of the service, for each server with an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from operator import attrgetter

from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Address, Report, Server, Servers
from pybal.core.steps import parts
from pybal.monitors.base import PATIENCE, Monitor, MonitorFactory
from pybal.runtime.activity import Activity
from pybal.runtime.turns import Turns, Work
from pybal.runtime.weak import weakly

RETRY_SECONDS = 1.0
"""Pause after an unexpected exception."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A server at one address: its running monitors in the order of ``factories``, since ``since``."""

    host: str
    address: Address
    factories: Sequence[MonitorFactory] = ()
    monitors: Sequence[Monitor] = ()
    since: float = 0.0
    urgent: bool = False

    def stop(self) -> None:
        monitors, self.monitors = self.monitors, ()  # no cycle: they hold this object
        _stop(monitors)


class Watch:
    """Runs the monitors of the servers of a pool; ``report`` receives host, address, monitor and report.

    ``address`` returns where to watch a server, ``None`` not to watch it.

    The monitors follow the last call of each method, in turns with other pools. Reports of a monitor at a former address are ignored from
    the moment of the change.
    """

    def __init__(
        self,
        clock: IReactorTime,
        turns: Turns,
        report: Callable[[str, Address, str, Report], None],
        *,
        address: Callable[[Server], Address | None] = attrgetter("address"),
    ) -> None:
        self._address = address
        self._clock = clock
        self._turns = turns
        self._report = report
        self._factories: Sequence[MonitorFactory] = ()
        self._urgent = False
        self._servers = self._followed = Servers()
        """The servers of the last call of :meth:`follow`, and those that ``_watched`` is complete for."""
        self._watched: dict[str, _Watched] = {}
        self._in_time_until = -inf
        """The monotonic time up to which no result is overdue, as the last search has found."""
        self._leaving: list[_Watched] = []
        self._entering: list[_Watched] = []
        self._all = False
        """True if the monitors of all servers may have to change, not only those that enter."""
        self._again = Activity("monitors of a pool", weakly(self._converge), clock)
        self._work: Work | None = None
        self._changed = False

    def use(self, factories: Sequence[MonitorFactory]) -> None:
        """Replace the monitors by those of other factories; monitors of factories in both stay."""
        self._factories = factories
        self._all = True
        self._converge()

    def follow(self, servers: Servers, *, moved: bool) -> None:
        """Run monitors for exactly the servers with an address.

        ``moved`` is false if these are the hosts, at the addresses, of the last call.
        """
        before, self._servers = self._servers, servers
        if moved:
            self._converge()
        elif self._followed is before:
            self._followed = servers

    def set_urgent(self, *, urgent: bool) -> None:
        """Set whether the pool is at its floor; see :meth:`pybal.monitors.base.Monitor.set_urgent`."""
        if urgent != self._urgent:
            self._urgent = urgent
            self._all = True
            self._converge()

    def monitors(self) -> Sequence[tuple[str, Monitor]]:
        """Return the running monitors with their hosts."""
        return [(host, monitor) for host, watched in self._watched.items() for monitor in watched.monitors]

    @property
    def number(self) -> int:
        """The number of running monitors."""
        return sum(len(watched.monitors) for watched in self._watched.values())

    def monitors_of(self, host: str) -> Sequence[Monitor]:
        """Return the running monitors of one server, empty for a server without an address."""
        watched = self._watched.get(host)
        return () if watched is None else watched.monitors

    def overdue(self, now: float) -> Iterator[tuple[str, Monitor, float]]:
        """Yield host and monitor of each overdue result, with the monotonic time since which it lacks."""
        if now <= self._in_time_until:
            return
        # A later result, and a new monitor, is in time for longer than this.
        soon = until = now + PATIENCE / 2
        for watched in list(self._watched.values()):
            for monitor in watched.monitors:
                last = max(watched.since, monitor.decided_at)
                if last + PATIENCE < soon:  # a constant first: it costs less
                    until = min(until, end := last + monitor.patience)
                    if now > end:
                        yield watched.host, monitor, last
        self._in_time_until = until

    def stop(self) -> None:
        """Stop all monitors."""
        if self._work is not None:
            self._work.close()
            self._work = None
        self._again.stop()
        for watched in (*self._leaving, *self._watched.values()):
            watched.stop()
        self._leaving.clear()
        self._entering.clear()
        self._watched.clear()

    def _converge(self) -> None:
        self._changed = True
        if self._work is None:
            self._work = self._steps()
            self._turns.begin(self._work)

    def _steps(self) -> Work:
        """Stop and start monitors, those of one server in each step, until all are as wanted."""
        try:
            while self._leaving or self._changed:
                self._changed = False
                yield from self._catch_up()
                while self._leaving:
                    self._leaving.pop().stop()
                    yield
                entering, self._entering = self._entering, []
                some, self._all = not self._all, False
                for watched in entering if some else list(self._watched.values()):
                    if self._watched.get(watched.host) is watched:
                        self._update(watched)
                        yield
        except Exception:
            self._work, self._all = None, True
            self._again.wake(RETRY_SECONDS)
            raise
        self._work = None

    def _catch_up(self) -> Work:
        """Take over the servers of the last call of :meth:`follow`."""
        servers = self._servers
        for part in parts(servers.changes_since(self._followed)):
            for host, _, server in part:
                address = None if server is None else self._address(server)
                watched = self._watched.get(host)
                if watched is not None and watched.address != address:
                    self._leaving.append(self._watched.pop(host))
                if address is not None and host not in self._watched:
                    self._watched[host] = entering = _Watched(host, address)
                    self._entering.append(entering)
            yield
        self._followed = servers

    def _update(self, watched: _Watched) -> None:
        if watched.factories is not self._factories:
            self._replace_monitors(watched)
        if watched.urgent != self._urgent:
            watched.urgent = self._urgent
            for monitor in watched.monitors:
                monitor.set_urgent(self._urgent)
            self._in_time_until = -inf  # their patience may have changed

    def _replace_monitors(self, watched: _Watched) -> None:
        """Replace the monitors of one server; those of factories that stay keep running."""
        old = {id(factory): monitor for factory, monitor in zip(watched.factories, watched.monitors, strict=True)}
        kept = list(watched.monitors)
        monitors = [
            old.pop(id(factory)) if id(factory) in old else self._monitor(factory, watched)
            for factory in self._factories
        ]
        if not kept or monitors != kept:
            watched.since = self._clock.seconds()
        # New monitors first: a shared check ends with its last user.
        new = [monitor for monitor in monitors if monitor not in kept]
        try:
            for monitor in monitors:
                monitor.set_urgent(self._urgent)
            for monitor in new:
                monitor.start()
        except Exception:
            _stop(new)
            raise
        watched.factories, watched.monitors, watched.urgent = self._factories, monitors, self._urgent
        _stop(old.values())

    def _monitor(self, factory: MonitorFactory, watched: _Watched) -> Monitor:
        return factory.monitor(watched.host, watched.address, partial(self._reported, watched, factory.name))

    def _reported(self, watched: _Watched, monitor: str, report: Report) -> None:
        server = self._servers.get(watched.host)
        current = server is not None and self._address(server) == watched.address
        if current and self._watched.get(watched.host) is watched:
            self._report(watched.host, watched.address, monitor, report)


def _stop(monitors: Iterable[Monitor]) -> None:
    for monitor in monitors:
        monitor.stop()
