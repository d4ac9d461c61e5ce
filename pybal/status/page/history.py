"""The view of the last decisions of all pools, the newest first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from html import escape

from pybal.core.decision import NAMED_HOSTS, Decision
from pybal.core.text import first_of
from pybal.runtime.clocks import Clocks
from pybal.status.page.document import HISTORY_VIEW, Heading, document
from pybal.status.page.elements import Mark, amount, counted, foot, lasted, pool_link, row, state, table, tools, verdict
from pybal.status.page.facts import Facts, collected, worst

SHOWN = 300
"""Decisions on the page; ``/v1/pools/X/history`` has the others."""

_COLUMNS = ("Time", "Service", "Decision", "Servers", "Reason", "Pool afterwards")
_HOUR = 3600.0
_MARKS = {"pooled": Mark.OK, "depooled": Mark.WARN, "kept": Mark.CRIT, "forced in": Mark.CRIT, "removed": Mark.NONE}


def history_view(facts: Facts) -> Iterator[str]:
    """Yield the view of the last decisions."""
    found = yield from collected(facts)
    decisions: list[tuple[float, str, Decision]] = []
    for name in facts.snapshot.pools:
        decisions += [(one.at, name, one) for one in facts.history(name).decisions]
        yield ""
    newest = nlargest(SHOWN, decisions, key=lambda each: each[0])
    mark = worst(found)
    yield from document(facts, Heading("history", mark, mark, HISTORY_VIEW), _sections(facts, newest, len(decisions)))


def _sections(facts: Facts, newest: list[tuple[float, str, Decision]], kept: int) -> Iterator[str]:
    yield _verdict(facts, newest, kept)
    verbs = {verb: sum(one.verb == verb for _, _, one in newest) for verb in _MARKS}
    chips = [(verb.replace(" ", "-"), verb, number) for verb, number in verbs.items() if number]
    yield "<section>"
    yield tools("Decisions", [("", "All", len(newest)), *chips], search="Filter services, hosts and reasons")
    rows = (_row(name, one, facts.clocks) for _, name, one in newest)
    yield from table("past lines report", "Decisions, the newest first", _COLUMNS, rows, name="list")
    yield "</section>\n"
    yield foot(
        "All decisions of a pool: <code>pybal history SERVICE</code>; the transitions of one server:"
        " <code>pybal history SERVICE HOST</code>."
    )


def _verdict(facts: Facts, newest: list[tuple[float, str, Decision]], kept: int) -> str:
    now = facts.clocks.monotonic
    recent = [each for each in newest if now - each[0] < _HOUR]
    services = counted(len({name for _, name, _ in recent}), "service")
    number = f"{'At least ' if len(recent) == SHOWN else ''}{counted(len(recent), 'decision')}"
    headline = f"{number} in the last hour, in {services}" if recent else "No decision in the last hour"
    shown = f"The newest {amount(len(newest))} of {amount(kept)} are shown." if kept > len(newest) else ""
    return verdict(Mark.OK, headline, shown or "All kept decisions are shown.", None, facts.clocks)


def _row(service: str, one: Decision, clocks: Clocks) -> str:
    number = len(one.hosts) + one.others
    moment = clocks.iso_time(one.at)
    reasons = list(dict.fromkeys(one.reasons))
    more = f" and {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    subject = one.hosts[0] if number == 1 else f"{counted(number, 'server')}: {first_of(one.hosts, NAMED_HOSTS)}"
    return row(
        f"<time title='{lasted(one.at, clocks)} ago'>{moment[5:10]} {moment[11:19]}</time>",
        pool_link(service),
        state(_MARKS.get(one.verb, Mark.NONE), one.verb),
        escape(subject),
        escape(f"{reasons[0]}{more}"),
        escape(one.arithmetic),
        name=f"d-{one.at:.6f}-{service}-{one.verb}",
        key=one.verb.replace(" ", "-"),
    )
