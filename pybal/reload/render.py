"""The state of the configuration, and the plan of a reload as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pybal.ipvs.render import operation
from pybal.reload.plan import Outcome, ReloadPlan, Step, Verb

_SIGNS = {Verb.ADD: "+", Verb.REMOVE: "-", Verb.CHANGE: "~"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The state of the configuration.

    ``digest`` is the SHA-256 of the loaded file, ``on_disk`` the digest of the present file, empty if it is unreadable.
    ``loaded_at`` is a monotonic time in seconds. ``last`` is the outcome of the last reload, ``None`` before the first;
    ``accepted`` and ``refused`` count reloads.
    """

    file: str
    digest: str
    on_disk: str
    loaded_at: float
    last: Outcome | None = None
    accepted: int = 0
    refused: int = 0

    @property
    def changed(self) -> bool:
        """True if the file differs from the loaded configuration."""
        return self.digest != self.on_disk


def plan_lines(plan: ReloadPlan) -> Iterator[str]:
    """Yield the steps of a plan with reasons and ipvsadm operations, one per line; empty for no change."""
    yield from (f"refused: {problem}" for problem in (*plan.restart, *([plan.radius] if plan.radius else [])))
    for line in plan.general:
        yield f"~ {line}"
    for step in plan.steps:
        if step.verb is not Verb.KEEP:
            reasons = "; ".join(step.reasons)
            yield f"{_SIGNS[step.verb]} service {step.name}" + (f": {reasons}" if reasons else "")
            yield from (f"    {detail}" for detail in _details(step))
    yield from plan.announcements


def plan_text(plan: ReloadPlan) -> Iterator[str]:
    """Yield the lines of a plan, ``nothing to do`` without any, and the number of unchanged services."""
    line = ""
    for line in plan_lines(plan):
        yield f"{line}\n"
    if not line:
        yield "nothing to do\n"
    kept = sum(step.verb is Verb.KEEP for step in plan.steps)
    yield f"{kept} of {len(plan.steps)} services unchanged\n"


def _details(step: Step) -> Iterator[str]:
    yield from map(operation, step.ops)
    yield from (f"{operation(op)} {step.until}" for op in step.later)
    for verb, monitors in ("starts", step.started), ("stops", step.stopped):
        for kind in dict.fromkeys(kind for _, kind in monitors):
            count = sum(other == kind for _, other in monitors)
            yield f"{verb} {kind} of {count} server{'' if count == 1 else 's'}"
