"""Facts about the running daemon for status, control and checks: snapshot, metrics, alerts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from twisted.internet.interfaces import IReactorTime

from pybal import __version__
from pybal.bgp.service import BGPService
from pybal.checks.engine import Engine
from pybal.config.describe import NO_SERVICES
from pybal.config.settings import SourceSettings
from pybal.config.source_options import server_of
from pybal.control.freeze import Freezer
from pybal.control.overrides import Overrides
from pybal.core.isolation import LastResponse
from pybal.core.model import Alert, Placement, Server, Snapshot
from pybal.daemon.services import Services
from pybal.doctor.finding import Finding
from pybal.doctor.periodic import Examination
from pybal.ipvs.audit import Audit
from pybal.ipvs.reconciler import Reconciler
from pybal.journal.recorder import Recorder
from pybal.reload.render import Configuration
from pybal.runtime.activities import Activities
from pybal.runtime.faults import Faults
from pybal.runtime.held import Held
from pybal.runtime.log import Log
from pybal.sources.state_files import StateFiles
from pybal.status import checks, ipvs, log, loop, reload
from pybal.status.alert_times import AlertTimes
from pybal.status.bgp import BGP
from pybal.status.events import Shown
from pybal.status.metrics import Family, Histogram
from pybal.status.overview import Overview


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonReport:
    """The parts of the daemon that have facts to report. Every fact is computed when requested."""

    clock: IReactorTime
    started: float
    """The monotonic time of the daemon's start, in seconds."""
    services: Services
    held: Held
    engine: Engine
    reconciler: Reconciler
    audit: Audit
    freezer: Freezer
    overrides: Overrides
    examinations: Sequence[Examination]
    announcing: BGPService | None
    journal: Recorder | None
    faults: Faults
    activities: Activities
    state: StateFiles
    alert_times: AlertTimes
    starting: Callable[[], Iterator[Alert]]
    """Yields the alerts of the parts that did not start yet."""
    log: Log
    dry_run: bool
    configuration: Callable[[], Configuration]

    def snapshot(self) -> Snapshot:
        """Return the present state of all pools, with all alerts."""
        could_not_depool = {
            running.settings.service.name: running.controller.could_not_depool for running in self.services
        }
        pools = self.services.pools()
        return Snapshot(pools, MappingProxyType(could_not_depool), self.alerts(), self.alert_times.since)

    def shown(self) -> Shown:
        """Return the state that the status page shows, without its alerts and ages."""
        announcing = self.announcing
        bgp = (announcing.verdicts, tuple(announcing.sessions())) if announcing else ()
        return Shown(tuple(self.services.pools().values()), (self.alert_times.revision, *bgp))

    def in_effect(self, service: str, host: str) -> Server | None:
        """Return a server with its place in IPVS, which follows the pool later; ``None`` without it.

        A server without an address may have any of the addresses that are held from the start.
        """
        controller = self.services[service].controller
        if (server := controller.server(host)) is None:
            return None
        pool = controller.pool
        held = self.reconciler.holds(pool.service, server.address) if server.address else bool(pool.held)
        return server if held is server.pooled else server.placed(Placement.POOLED if held else Placement.OUT)

    def overview(self) -> Overview:
        """Return the summary that `pybal status` shows."""
        return Overview(
            version=__version__,
            process=os.getpid(),
            started=self.started,
            now=self.clock.seconds(),
            dry_run=self.dry_run,
            frozen=self.freezer.frozen,
            drains=tuple(self.announcing.drains()) if self.announcing else (),
            monitors=self.services.number_of_monitors,
            snapshot=self.snapshot(),
            bgp=self.bgp(),
            findings=self.findings(),
        )

    def findings(self) -> Sequence[Finding]:
        """Return the findings of `pybal doctor` that need action."""
        return tuple(found for examination in self.examinations for found in examination.findings)

    def bgp(self) -> BGP:
        """Return the present verdicts and sessions, empty without BGP."""
        if self.announcing is None:
            return BGP()
        sessions = tuple(self.announcing.sessions())
        return BGP(not self.dry_run, self.announcing.verdicts, sessions, self.announcing.restarts)

    def last_responses(self) -> Iterator[LastResponse]:
        """Yield the last response of each monitored server."""
        for name, host, monitor in self.services.monitors():
            yield LastResponse(name, host, monitor.passed_at)

    def frozen(self) -> str:
        """Return the text of the present freeze, empty without one."""
        return self.freezer.frozen.text(self.clock.seconds()) if self.freezer.frozen else ""

    def families(self) -> Iterator[Family | Histogram]:
        """Yield the metrics of the daemon itself."""
        yield from loop.families(self.held)
        yield from checks.families(self.engine)
        yield from log.families(self.log)
        frozen = self.freezer.frozen
        yield Family(
            "pybal_frozen", "gauge", "1 while frozen: IPVS and BGP are not changed", (((), frozen is not None),)
        )
        left = max(0.0, frozen.until - self.clock.seconds()) if frozen else 0.0
        yield Family("pybal_frozen_left_seconds", "gauge", "Seconds until the freeze expires", (((), left),))
        services = [running.settings.service for running in self.services]
        verified = [((("service", service.name),), self.reconciler.is_verified(service)) for service in services]
        yield Family(
            "pybal_ipvs_verified", "gauge", "1 if IPVS holds exactly the wanted destinations of the service", verified
        )
        yield from ipvs.families(self.audit.findings())
        total = (((), float(self.faults.total)),)
        yield Family(
            "pybal_internal_errors_total", "counter", "Unexpected exceptions, each with a traceback in the log", total
        )

    def alerts(self) -> Iterator[Alert | None]:
        """Yield the alerts of all parts, and ``None`` after each service."""
        if frozen := self.frozen():
            yield Alert("", "frozen", f"{frozen}; not changing IPVS or BGP")
        if not len(self.services):
            text = f"{NO_SERVICES}; IPVS stays unchanged (add a section for each service to pybal.conf, and run pybal reload)"
            yield Alert("", "unconfigured", text)
        yield from tuple(self.overrides.alerts())
        # Each part is complete before the next yield: what it reads may change between two.
        yield from tuple(self.starting())
        yield from tuple(self.faults.alerts())
        yield from tuple(self.activities.alerts())
        for running in self.services:
            yield from running.controller.alerts()  # which may be one for each server
            yield None
        yield from tuple(_unverified(running.settings.source for running in self.services))
        yield from tuple(self.reconciler.alerts())
        for examination in self.examinations:
            yield from tuple(examination.alerts())
        yield from tuple(self.audit.alerts())
        if self.announcing:
            yield from tuple(self.announcing.alerts())
        yield from tuple(self.state.alerts())
        if self.journal:
            yield from tuple(self.journal.alerts())
        yield from reload.alerts(self.configuration())
        yield from tuple(loop.alerts(self.held, self.clock.seconds()))
        yield from tuple(checks.alerts(self.engine))
        yield from tuple(log.alerts(self.log))


def _unverified(sources: Iterable[SourceSettings]) -> Iterator[Alert]:
    """Yield an alert for each server of pool sources whose certificate is not verified."""
    found = Counter(" ".join(server_of(each.url)) for each in sources if each.access.tls and not each.access.verify)
    for server, services in found.items():
        risk = f"anyone in the path can change the server lists of {services} services"
        text = f"[{server}] certificate not verified (verify = no); {risk} (set ca or server-name, and verify = yes)"
        yield Alert("", "unverified", text, subject=server)
