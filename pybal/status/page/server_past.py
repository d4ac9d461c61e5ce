"""The past of one server: a ribbon of its placements, and its decisions and transitions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.core.text import format_age
from pybal.runtime.clocks import Clocks
from pybal.status.page.elements import Mark, at, counted, lasted, state, tools, unbroken
from pybal.status.page.states import State

_DAY = 86400.0
_ROWS = 20
_AFTER = {
    "pooled": State.SERVING,
    "kept": State.FORCED,
    "forced in": State.FORCED,
    "depooled": State.DOWN,
    "removed": State.DISABLED,
}
"""The state of a server after each decision."""
_BEFORE = {"pooled": State.DOWN, "kept": State.SERVING, "depooled": State.SERVING}
_MARKS = {"pooled": Mark.OK, "depooled": Mark.WARN, "kept": Mark.CRIT, "forced in": Mark.CRIT}


def past_section(host: str, past: PoolHistory, present: State, started: float, clocks: Clocks) -> Iterator[str]:
    """Yield the section.

    ``present`` is the state of the server, ``started`` the monotonic time of the start of the daemon.
    """
    decisions = list(past.decisions_on(host))
    # The journal may have decisions of an earlier run.
    begin = min(started, decisions[0].at) if decisions else started
    yield f"<section id=transitions>{tools('Transitions')}"
    yield _ribbon(decisions, present, max(begin, clocks.monotonic - _DAY), clocks)
    rows = sorted([*_decisions(host, decisions, clocks), *_transitions(host, past, clocks)], reverse=True)
    if rows:
        yield "<div class=wide><table class=lines><thead><tr><th scope=col>Time<th scope=col>Change<th scope=col>Reason<th scope=col>Lasted</thead><tbody>"
        yield from (f"{markup}\n" for _, markup in rows[:_ROWS])
        yield "</table></div>"
        if len(rows) > _ROWS:
            yield f"<p class=more>and {counted(len(rows) - _ROWS, 'older one')}</p>"
    else:
        yield "<p class=soft>No decision and no transition is kept.</p>"
    yield "</section>\n"


def _decisions(host: str, decisions: Sequence[Decision], clocks: Clocks) -> Iterator[tuple[float, str]]:
    for place, one in enumerate(decisions):
        end = decisions[place + 1].at if place + 1 < len(decisions) else None
        left = f"until now, {lasted(one.at, clocks)}" if end is None else unbroken(format_age(end - one.at))
        reason = f"{one.reason_of(host)}; {one.arithmetic}"
        yield one.at, _line(one.at, state(_MARKS.get(one.verb, Mark.NONE), one.verb), reason, left, clocks)


def _transitions(host: str, past: PoolHistory, clocks: Clocks) -> Iterator[tuple[float, str]]:
    for monitor, log in past.transitions(host).items():
        for one in log:
            reason = " ".join(filter(None, (one.reason, one.last_reason and f"(later: {one.last_reason})")))
            mark, word = (Mark.OK, "up") if one.up else (Mark.WARN, "down")
            yield one.at, _line(one.at, state(mark, f"{monitor} {word}"), reason, "", clocks)


def _line(moment: float, change: str, reason: str, left: str, clocks: Clocks) -> str:
    return f"<tr><td class=mono>{at(moment, clocks)}<td>{change}<td class=why>{escape(reason)}<td class=soft>{left}"


def _ribbon(decisions: Sequence[Decision], present: State, start: float, clocks: Clocks) -> str:
    """Return the placements since ``start`` as a bar: full height is pooled."""
    span = max(clocks.monotonic - start, 1e-9)
    spells: list[tuple[float, State]] = []
    for one in decisions:
        if not spells:
            spells.append((start, _BEFORE.get(one.verb, State.UNKNOWN)))
        spells.append((max(one.at, start), _AFTER.get(one.verb, State.UNKNOWN)))
    spells = spells or [(start, present)]
    spells[-1] = spells[-1][0], present
    ends = [*(begin for begin, _ in spells[1:]), clocks.monotonic]
    parts = "".join(
        f"<rect class={each.key} x={100 * (begin - start) / span:.4g}% width={100 * (end - begin) / span:.4g}% />"
        for (begin, each), end in zip(spells, ends, strict=True)
        if end > begin
    )
    told = ", ".join(f"{each.word} since {at(begin, clocks)}" for begin, each in spells[-_TOLD:])
    return (
        f'<svg class=ribbon role=img aria-label="{escape(told)}">{parts}<text x=0 y=38>{lasted(start, clocks)} ago</text>'
        f"<text x=100% y=38 class=end>now</text></svg>"
    )


_TOLD = 5
"""Placements in the sentence of the ribbon."""
