"""Metrics and alerts of the checks, the event loop and the file descriptors of the daemon."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.checks.engine import Engine
from pybal.core.model import Alert
from pybal.status.metrics import Family, Histogram
from pybal.status.process import descriptors

#: Seconds for which a local error stays an alert.
_RECENT = 60.0

#: Share of the file descriptors in use above which an alert is raised.
_MANY_DESCRIPTORS = 0.9


def families(engine: Engine) -> Iterator[Family | Histogram]:
    """Yield the metrics."""
    yield Family("pybal_checks_total", "counter", "Finished checks", (((), engine.checks),))
    inconclusive = "Checks with an inconclusive result"
    yield Family("pybal_checks_inconclusive_total", "counter", inconclusive, (((), engine.inconclusive),))
    errors = [((("error", name),), count) for name, count in engine.local_errors.items()]
    yield Family("pybal_checks_local_errors_total", "counter", "Local resource errors, by error", errors)
    lost = "Total time that the event loop was behind schedule"
    yield Family("pybal_loop_lost_seconds_total", "counter", lost, (((), engine.lost),))
    delays, late = "Delay of the wake-ups of the check timer", engine.lateness
    yield Histogram("pybal_loop_delay_seconds", delays, late.buckets(), late.count, late.seconds)
    isolation = engine.isolation
    isolated = "1 while no server of any service responds: the balancer may be isolated"
    yield Family("pybal_cut_off", "gauge", isolated, (((), isolation.outage is not None),))
    isolations = "Times that no server of any service responded"
    yield Family("pybal_cut_offs_total", "counter", isolations, (((), isolation.count),))


def alerts(engine: Engine) -> Iterator[Alert]:
    """Yield the alerts for isolation, few free descriptors, recent local errors, and commands."""
    outage = engine.isolation.outage
    if outage is not None:
        yield Alert(
            "", "checker", f"{outage.text(engine.seconds())}; this balancer may be isolated", subject="isolated"
        )
    used, most = descriptors()
    if used > _MANY_DESCRIPTORS * most:
        yield Alert(
            "",
            "checker",
            f"{used} of {most} file descriptors in use (raise LimitNOFILE= in the unit)",
            subject="descriptors",
        )
    for error, at in engine.local_problems.items():
        age = engine.seconds() - at
        if age < _RECENT:
            text = f"local error {age:.0f} s ago ({error}); ignoring the affected check results"
            yield Alert("", "checker", text, subject=error)
    for part in sorted(engine.alerting, key=lambda part: part.service):
        yield from tuple(part.alerts(engine.seconds()))
