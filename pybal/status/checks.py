"""What the daemon tells of itself as a checker: metrics and alerts of its checks, its loop and its descriptors."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.checks.engine import Engine
from pybal.core.model import Alert
from pybal.status.metrics import Family
from pybal.status.process import descriptors

#: How long trouble of the checker itself stays an alert, in seconds.
_RECENT = 60.0

#: The share of the descriptors that may be in use before it is an alert.
_MANY_DESCRIPTORS = 0.9


def families(engine: Engine) -> Iterator[Family]:
    """Yield the metrics."""
    yield Family("pybal_checks_total", "counter", "Checks made", (((), engine.checks),))
    void = "Checks whose result said nothing of the server"
    yield Family("pybal_checks_inconclusive_total", "counter", void, (((), engine.inconclusive),))
    errors = [((("error", name),), count) for name, count in engine.local_errors.items()]
    yield Family("pybal_checks_local_errors_total", "counter", "What local resources refused", errors)
    yield Family("pybal_loop_lost_seconds_total", "counter", "How late the loop came in all", (((), engine.lost),))
    wakes = [((("late_below", f"{seconds:g}"),), count) for seconds, count in engine.lateness.counts()]
    late = "Times the loop came to its checks, by how many seconds late: less than this, not less than the one before"
    yield Family("pybal_loop_wakes_total", "counter", late, wakes)
    isolation = engine.isolation
    yield Family("pybal_cut_off", "gauge", "Whether nobody at all is heard", (((), isolation.outage is not None),))
    yield Family("pybal_cut_offs_total", "counter", "How often nobody at all was heard", (((), isolation.count),))


def alerts(engine: Engine) -> Iterator[Alert]:
    """Yield what an operator should know."""
    outage = engine.isolation.outage
    if outage is not None:
        yield Alert("", "checker", f"{outage.text(engine.seconds())}; this balancer may be isolated")
    used, most = descriptors()
    if used > _MANY_DESCRIPTORS * most:
        yield Alert("", "checker", f"{used} of {most} descriptors in use")
    for trouble, at in engine.local_problems.items():
        age = engine.seconds() - at
        if age < _RECENT:
            yield Alert("", "checker", f"{trouble}, {age:.0f} s ago: checks that met it say nothing of their servers")
