"""The checks of one server: the last one by phase, and a timeline of each monitor. Pure.

A drawing has two layers: texts and patterns at percent positions, and bars in an inner drawing that is stretched, so that no width
distorts a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from math import ceil, log10
from statistics import median

from pybal.checks.result import INCONCLUSIVE, PASSED
from pybal.core.decision import Decision
from pybal.core.text import format_duration
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks
from pybal.status.page.elements import Mark, at, counted, lasted, state, tools, unbroken

_PHASES = ("connect", "tls", "first byte", "headers", "body")
"""The phases that have a colour each; others share the last one."""
_HEIGHT = 120
_TOP = 12
_LINES = 4
_OUTLIER = 4
"""A check that took more than this many times the median is cut."""
_BAR = 0.8
"""The width of a bar; the rest is the gap to the next one."""
_TICKS = 4
_PLOTTED = 5
"""The least number of checks that are drawn; fewer are only listed."""


def _colour(phase: str) -> int:
    return _PHASES.index(phase) + 1 if phase in _PHASES else len(_PHASES)


def last_check(monitor: Monitor, clocks: Clocks) -> str:
    """Return the card of the last check of a monitor, with a bar for each phase."""
    past = list(monitor.history())
    if not past:
        return ""
    result, rows, start = past[-1].result, "", 0.0
    whole = max(sum(result.phases.values()), 1e-9)
    for phase, seconds in result.phases.items():
        rows += (
            f"<tr><th scope=row>{escape(phase)}<td><svg aria-hidden=true><rect class=p{_colour(phase)}"
            f" x={100 * start / whole:.3g}% width={max(0.6, 100 * seconds / whole):.3g}% height=12 rx=2 /></svg>"
            f"<td class=num>{unbroken(_milliseconds(seconds))}"
        )
        start += seconds
    facts = [] if result.verdict is PASSED else [result.text]
    facts += [counted(result.received, "byte")] if result.received else []
    return (
        f"<section class=card><h2>Last check <span>{escape(monitor.name)}, {lasted(past[-1].at, clocks)} ago</span></h2>"
        f"<table class=fall><tbody>{rows}<tr><th scope=row>total<td>{_verdict(past[-1])}"
        f" <span class=soft>{escape('; '.join(facts))}</span><td class=num>{unbroken(_milliseconds(result.duration))}</table></section>"
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else format_duration(seconds)


def _verdict(past: PastResult) -> str:
    verdict = past.result.verdict
    mark = Mark.OK if verdict is PASSED else Mark.QUERY if verdict is INCONCLUSIVE else Mark.CRIT
    return state(mark, f"follow-up {verdict.value}" if past.follow_up else verdict.value)


def timeline(monitor: Monitor, decided: Decision | None, clocks: Clocks) -> Iterator[str]:
    """Yield the timeline of a monitor's checks; ``decided`` is the last decision about the server."""
    past = list(monitor.history())
    name = escape(monitor.name)
    shared = f" <span class=soft>shared by {len(monitor.shared_by)} services</span>" if monitor.shared_by else ""
    yield f'<section class=checks id="checks-{name}">{tools(f"Checks of {name}{shared}")}'
    if not past:
        yield "<p class=soft>No check has ended yet.</p>"
    elif len(past) < _PLOTTED:
        yield from _table(past, clocks, is_open=True)
    else:
        scale = _scale(past)
        yield _legend(past, scale)
        yield _plot(past, scale, decided, clocks)
        yield "<p class=check role=status>Point at a check, or move with the arrow keys.</p>"
        yield from _table(past, clocks, is_open=False)
    yield "</section>\n"


def _legend(past: Sequence[PastResult], scale: float) -> str:
    phases = dict.fromkeys(phase for each in past for phase in each.result.phases)
    keys = "".join(f"<span><i class=p{_colour(phase)}></i>{escape(phase)}</span>" for phase in phases)
    limit = unbroken(_axis(scale))
    slow = {past[place].result.verdict is PASSED for place in _cut(past, scale)}
    cut = f"<span><i class=h></i>failed after more than {limit}</span>" if False in slow else ""
    cut += f"<span><i class=slow></i>passed after more than {limit}</span>" if True in slow else ""
    failed = "<span><i class=fail></i>failed</span>" if any(each.result.verdict is not PASSED for each in past) else ""
    return f"<p class=phases>{keys}{cut}{failed}<span><i class=okay></i>passed</span></p>"


def _scale(past: Sequence[PastResult]) -> float:
    """Return the largest duration of the axis, in seconds: a multiple of 1, 2 or 5 times a power of ten."""
    durations = [each.result.duration for each in past]
    usual = max(each for each in durations if each <= _OUTLIER * median(durations))
    step = max(usual, 1e-4) / _LINES
    power = 10.0 ** ceil(log10(step) - 1)
    return _LINES * next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def _cut(past: Sequence[PastResult], scale: float) -> Sequence[int]:
    """Return the places of the checks that took longer than the axis."""
    return [place for place, each in enumerate(past) if each.result.duration > scale]


def _axis(seconds: float) -> str:
    return format_duration(seconds) if seconds >= 0.01 else f"{1000 * seconds:g} ms"  # noqa: PLR2004  no digits after the point


def _plot(past: Sequence[PastResult], scale: float, decided: Decision | None, clocks: Clocks) -> str:
    number = len(past)
    heights = [(_TOP + _HEIGHT - _HEIGHT * line / _LINES, scale * line / _LINES) for line in range(_LINES + 1)]
    lines = "".join(f"<line class=axis x1=0 x2=100% y1={y:.0f} y2={y:.0f} />" for y, _ in heights)
    labels = "".join(f"<text x=40 y={y + 4:.0f} class=end>{unbroken(_axis(value))}</text>" for y, value in heights)
    return (
        f"<div class=plot><svg class=time aria-hidden=true>{labels}<text x=40 y={_TOP + _HEIGHT + 16} class=end>result</text></svg>"
        f'<svg class=time role=img aria-label="{escape(_described(past, clocks))}">{lines}{_moment(past, decided, clocks)}{_hatched(past, scale)}'
        f'<svg y={_TOP} width=100% height={_HEIGHT} viewBox="0 0 {number} {_HEIGHT}" preserveAspectRatio=none>{_bars(past, scale)}</svg>'
        f'<svg y={_TOP + _HEIGHT + 6} width=100% height=10 viewBox="0 0 {number} 10" preserveAspectRatio=none>{_results(past)}</svg>'
        f"{_times(past, clocks)}</svg></div>"
    )


def _bars(past: Sequence[PastResult], scale: float) -> str:
    """Return one path for each phase: the stacked bars of all checks."""
    paths = dict.fromkeys(range(1, len(_PHASES) + 1), "")
    cut = set(_cut(past, scale))
    for place, each in enumerate(past):
        y = float(_HEIGHT)
        for phase, seconds in each.result.phases.items() if place not in cut else ():
            height = _HEIGHT * seconds / scale
            y -= height
            paths[_colour(phase)] += f"M{place} {y:.1f}h{_BAR}v{height:.1f}h-{_BAR}z"
    return "".join(f'<path class=p{colour} d="{path}"/>' for colour, path in paths.items() if path)


def _hatched(past: Sequence[PastResult], scale: float) -> str:
    """Return a hatched bar for each run of checks that took longer than the axis; failures look different."""
    share = 100 / len(past)
    passed = {place: past[place].result.verdict is PASSED for place in _cut(past, scale)}
    runs = [list(run) for _, run in groupby(enumerate(passed), key=lambda pair: (pair[1] - pair[0], passed[pair[1]]))]
    return "".join(
        f"<rect class={'late' if passed[run[0][1]] else 'cut'} x={run[0][1] * share:.4g}%"
        f" width={len(run) * share - 0.2 * share:.4g}% y={_TOP} height={_HEIGHT} />"
        for run in runs
    )


def _results(past: Sequence[PastResult]) -> str:
    """Return the results: a stub for a pass, the full height for a failure."""
    passed = "".join(f"M{n} 7h{_BAR}v3h-{_BAR}z" for n, each in enumerate(past) if each.result.verdict is PASSED)
    failed = "".join(f"M{n} 0h{_BAR}v10h-{_BAR}z" for n, each in enumerate(past) if each.result.verdict is not PASSED)
    return f'<path class=okay d="{passed}"/><path class=fail d="{failed}"/>'


def _moment(past: Sequence[PastResult], decided: Decision | None, clocks: Clocks) -> str:
    """Return a line at the time of a decision; empty if it is older than the checks."""
    if decided is None or decided.at <= past[0].at:
        return ""
    place = 100 * sum(each.at < decided.at for each in past) / len(past)
    anchor, shift = ("end", -0.6) if place > 80 else ("start", 0.6)  # noqa: PLR2004  percent
    return (
        f"<line class=when x1={place:.4g}% x2={place:.4g}% y1=0 y2={_TOP + _HEIGHT + 20} />"
        f"<text x={place + shift:.4g}% y=9 class='moment {anchor}'>{escape(decided.verb)} {at(decided.at, clocks)}</text>"
    )


def _times(past: Sequence[PastResult], clocks: Clocks) -> str:
    number = len(past)
    places = sorted({round(tick * (number - 1) / (_TICKS - 1)) for tick in range(_TICKS)})
    return "".join(
        f"<text x={100 * (place + 0.4) / number:.4g}% y={_TOP + _HEIGHT + 36} class={_anchor(place, number)}>"
        f"{at(past[place].at, clocks)}</text>"
        for place in places
    )


def _anchor(place: int, number: int) -> str:
    return "start" if place == 0 else "end" if place == number - 1 else "mid"


def _described(past: Sequence[PastResult], clocks: Clocks) -> str:
    """Return the sentence of the timeline for screen readers."""
    passed = sum(each.result.verdict is PASSED for each in past)
    last = past[-1].result
    end = last.verdict.value if last.verdict is PASSED else f"{last.verdict.value}, {last.text}"
    return (
        f"{counted(len(past), 'check')} from {at(past[0].at, clocks)} to {at(past[-1].at, clocks)}:"
        f" {passed} passed, {len(past) - passed} did not; the last one {end}."
    )


def _table(past: Sequence[PastResult], clocks: Clocks, *, is_open: bool) -> Iterator[str]:
    """Yield the checks as a table, the newest first."""
    yield f"<details{' open' if is_open else ''}><summary>All {counted(len(past), 'check')} as a table</summary><div class=wide><table><thead><tr>"
    yield "".join(f"<th scope=col>{column}" for column in ("Time", "Result", "Took", "Reason"))
    yield "</thead><tbody>"
    for each in reversed(past):
        result = each.result
        reason = "" if result.verdict is PASSED else result.text
        told = ": ".join(filter(None, (each.subject, reason)))
        took = unbroken(format_duration(result.duration))
        yield f"<tr><td>{at(each.at, clocks)}<td>{_verdict(each)}<td class=num>{took}<td>{escape(told)}\n"
    yield "</table></div></details>"
