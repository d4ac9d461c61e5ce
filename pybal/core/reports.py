"""Applies reports to a pool at a cost that follows their number and not the size of the pool.

Between two events every server has its place (:mod:`pybal.core.policy`). A report then changes the place of its own server
only, with two exceptions: when the serving servers reach the floor, all forced servers leave; and with ``suspect-check =
hold``, a failure can make earlier failures correlated, which pools their servers again. No server enters to replace
another, because one that goes down while fewer servers than the floor serve stays pooled itself.

The property suite compares the result with that of the whole policy, applied to every server after each report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pybal.core.correlated import Failures, failures_of, may_be_correlated
from pybal.core.events import Reported
from pybal.core.model import Address, Health, Placement, Pool, Report, Server, SuspectCheck
from pybal.core.steps import Steps, parts

_UP, _UNKNOWN = Health.UP, Health.UNKNOWN  # an attribute of an Enum takes longer than a global name


def apply_reports(pool: Pool, reports: Sequence[Reported], floor: int) -> Steps[Pool]:
    """Return the pool after these reports, one after the other; the same object if nothing changed."""
    burst = yield from begin_burst(pool, len(reports), floor)
    for event in reports:
        if burst.apply(event.host, event.monitor, event.report, event.address):
            yield from burst.release()
    return (yield from burst.end())


def begin_burst(pool: Pool, reports: int, floor: int) -> Steps[Burst]:
    """Return a burst of at most that many reports on a pool."""
    servers = pool.servers
    hold = pool.service.suspect_check is SuspectCheck.HOLD
    failures = None
    if hold and may_be_correlated(servers, reports):
        failures = yield from failures_of(servers, pool.service.interval)
    return Burst(pool, floor, reports, failures)


def placed(server: Server, *, optimistic: bool, lacking: bool) -> Placement:
    """Return the place of a server after a report.

    ``lacking`` means that fewer servers than the floor serve.
    """
    if not server.eligible:
        return Placement.OUT
    health = server.health
    if health is _UP or server.only_suspect_failures:
        return Placement.POOLED
    if health is _UNKNOWN:
        return Placement.POOLED if optimistic or server.pooled else Placement.OUT
    return Placement.FORCED if lacking and server.pooled else Placement.OUT


def with_report(server: Server, monitor: str, report: Report) -> Server:
    """Return a server with a report recorded, in its former place; the same object if nothing changed."""
    if monitor not in server.reports:
        return server
    before = server.reports[monitor]
    if before is not None and before.up is report.up:
        report = report.after(before)
        if before == report:
            return server
    suspect = server.suspect_failures
    if suspect:
        failing = (monitor, report.cause) if not report.up else None
        suspect = frozenset(f for f in suspect if f[0] != monitor or f == failing)
    return Server(  # in half the time of replace()
        server.member,
        MappingProxyType({monitor: report} if len(server.reports) == 1 else {**server.reports, monitor: report}),
        server.address,
        server.unresolvable,
        server.placement,
        suspect,
        server.pending_monitors - {monitor} if server.pending_monitors else server.pending_monitors,
        server.move,
    )


class Burst:
    """A pool while reports are applied: the changed servers, and the counts that decide.

    ``serving`` is the present number of servers that serve, ``moved`` has the previous place of each server that changed it.
    """

    def __init__(self, pool: Pool, floor: int, reports: int, failures: Failures | None) -> None:
        self._pool = pool
        self._before = servers = pool.servers
        self._now: dict[str, Server] = {}
        self._floor = floor
        self._optimistic = pool.service.initially_up
        self.serving = servers.count(lambda server: server.serving)
        self.moved: dict[str, Placement] = {}
        self._failures = failures
        """The failures of all servers, ``None`` if none can be correlated."""
        forced, may_leave = servers.count(lambda server: server.forced), self.serving + reports >= floor
        self._forced = {host for host, server in servers.items() if _forced(server)} if forced and may_leave else set()
        """The forced servers; of those before the burst only if they may leave within it."""

    def apply(self, host: str, monitor: str, report: Report, where: Address | None) -> bool:
        """Apply one report, as :func:`pybal.core.policy.step` does; return whether forced servers leave now."""
        old = self._server(host)
        if old is None or (where is not None and where is not old.address and where != old.address):
            return False
        new = with_report(old, monitor, report)
        if new is old:
            return False
        self.serving += new.serving - old.serving
        self._place(host, new, own=True)
        if self._failures is not None:
            self._failures.update(old, new, monitor)
            for suspect, cause in self._failures.newly_suspect(monitor):
                self._suspect(suspect, (monitor, cause))
        return bool(self._forced) and self.serving >= self._floor

    def release(self) -> Steps[None]:
        """Let the forced servers leave."""
        for part in parts(list(self._forced)):
            for host in part:
                self._place(host, self._now.get(host) or self._before[host])
            yield

    def placements(self) -> Iterator[tuple[str, Placement]]:
        """Yield the servers whose place changed since the last call, with their present one."""
        for host, before in self.moved.items():
            if (now := self._now[host].placement) is not before:
                yield host, now
        self.moved.clear()

    def end(self) -> Steps[Pool]:
        """Return the pool after the reports; the same object if nothing changed."""
        changed, pool = (yield from self._changed()), self._pool
        return replace(pool, servers=(yield from self._before.replacing_in_steps(changed))) if changed else pool

    def _changed(self) -> Steps[Mapping[str, Server]]:
        """Return the servers that differ from before; those that changed and changed back are left out."""
        changed: dict[str, Server] = {}
        for part in parts(self._now.items()):
            changed.update((host, server) for host, server in part if server != self._before[host])
            yield
        return changed

    def _server(self, host: str) -> Server | None:
        return self._now.get(host) or self._before.get(host)

    def _suspect(self, host: str, failure: tuple[str, str]) -> None:
        server = self._now.get(host) or self._before[host]
        self._place(host, replace(server, suspect_failures=server.suspect_failures | {failure}), own=True)

    def _place(self, host: str, server: Server, *, own: bool = False) -> None:
        """Put a server in its place; one that is new, and so far only our ``own``, is not copied."""
        placement = placed(server, optimistic=self._optimistic, lacking=self.serving < self._floor)
        if placement is not server.placement:
            self.moved.setdefault(host, server.placement)
            if own:  # a copy would take as long as the report itself
                object.__setattr__(server, "placement", placement)
            else:
                server = server.placed(placement)
        self._now[host] = server
        if placement is Placement.FORCED:
            self._forced.add(host)
        else:
            self._forced.discard(host)


def _forced(server: Server) -> bool:
    return server.placement is Placement.FORCED
