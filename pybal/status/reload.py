"""The loaded configuration, plans and the last reload as text, JSON, metrics and alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybal.core.model import Alert
from pybal.ipvs.model import Op
from pybal.ipvs.render import operation
from pybal.reload.plan import Outcome, ReloadPlan, Step
from pybal.reload.render import Configuration, plan_lines
from pybal.runtime.clocks import Clocks
from pybal.status.json_pieces import Elements, LargeJSON
from pybal.status.metrics import Family


def plan_json(plan: ReloadPlan) -> dict[str, LargeJSON]:
    """Return a plan as JSON."""
    return {
        "empty": plan.empty,
        "refused": [*plan.restart, *([plan.radius] if plan.radius else [])],
        "general": list(plan.general),
        "services": Elements(map(_step, plan.steps)),
        "announcements": list(plan.announcements),
    }


def text(configuration: Configuration, clocks: Clocks) -> Iterator[str]:
    """Yield the loaded configuration, its time, and the outcome of the last reload."""
    loaded = clocks.iso_time(configuration.loaded_at)
    yield f"{configuration.file}: sha256 {configuration.digest}, loaded {loaded}\n"
    if stale := _stale(configuration):
        yield f"{stale}\n"
    if last := configuration.last:
        yield f"last reload {clocks.iso_time(last.at)}: {'accepted' if last.accepted else 'refused'}\n"
        yield from (f"  {problem}\n" for problem in last.problems)
        yield from (f"  warning: {warning}\n" for warning in last.warnings)
        yield from (f"  {line}\n" for line in plan_lines(last.plan)) if last.accepted and last.plan else ()


def json(configuration: Configuration, clocks: Clocks) -> dict[str, LargeJSON]:
    """Return the same as JSON; ``last_reload`` is null before the first."""
    last = configuration.last
    return {
        "file": configuration.file,
        "sha256": configuration.digest,
        "loaded": clocks.iso_time(configuration.loaded_at),
        "changed": configuration.changed,
        "last_reload": _outcome(last, clocks) if last else None,
    }


def families(configuration: Configuration, clocks: Clocks) -> Iterator[Family]:
    """Yield the metrics."""
    hashed = ((("sha256", configuration.digest),), 1.0)
    yield Family("pybal_config_info", "gauge", "SHA-256 of the loaded configuration file", [hashed])
    loaded = clocks.time_of(configuration.loaded_at).timestamp()
    yield Family("pybal_config_loaded_timestamp_seconds", "gauge", "Time of the last accepted load", [((), loaded)])
    yield Family(
        "pybal_config_changed", "gauge", "Whether the file differs from the loaded one", [((), configuration.changed)]
    )
    good = configuration.last is None or configuration.last.accepted
    yield Family("pybal_config_last_reload_successful", "gauge", "Whether the last reload was accepted", [((), good)])
    results = [
        ((("result", "accepted"),), float(configuration.accepted)),
        ((("result", "refused"),), float(configuration.refused)),
    ]
    yield Family("pybal_config_reloads_total", "counter", "Reloads by result", results)


def alerts(configuration: Configuration) -> Iterator[Alert]:
    """Yield an alert if the file differs from the loaded configuration."""
    if stale := _stale(configuration):
        yield Alert("", "config", stale)


def _stale(configuration: Configuration) -> str:
    if not configuration.changed:
        return ""
    if not configuration.on_disk:
        return f"{configuration.file} cannot be read; keeping the loaded configuration"
    if (last := configuration.last) and not last.accepted:
        return f"{configuration.file} differs from the loaded configuration; the last reload was refused: {last.problems[0]}"
    return f"{configuration.file} differs from the loaded configuration (apply it with: pybal reload)"


def _outcome(outcome: Outcome, clocks: Clocks) -> LargeJSON:
    return {
        "time": clocks.iso_time(outcome.at),
        "accepted": outcome.accepted,
        "problems": list(outcome.problems),
        "warnings": list(outcome.warnings),
        "plan": plan_json(outcome.plan) if outcome.plan else None,
    }


def _step(step: Step) -> LargeJSON:
    return {
        "service": step.name,
        "step": str(step.verb),
        "reasons": list(step.reasons),
        "ipvsadm": _operations(step.ops),
        "later": _operations(step.later),
        "until": step.until,
        "started": Elements({"host": host, "monitor": kind} for host, kind in step.started),
        "stopped": Elements({"host": host, "monitor": kind} for host, kind in step.stopped),
    }


def _operations(ops: Sequence[Op]) -> Elements:
    return Elements(map(operation, ops))
