"""The view of the host: findings with remedies, IPVS, activities and the event loop. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pybal.core.model import Alert
from pybal.core.text import format_age
from pybal.runtime.held import Hold
from pybal.status.page import bgp, sources
from pybal.status.page.alert_list import kinds, summary
from pybal.status.page.document import HOST_VIEW, Heading, document
from pybal.status.page.elements import (
    Mark,
    amount,
    card,
    counted,
    foot,
    item,
    lasted,
    row,
    state,
    table,
    tools,
    unbroken,
)
from pybal.status.page.facts import Facts, HostFinding, collected, worst

_FINDING_COLUMNS = ("Finding", "Grade", "Why", "Remedy")
_HOLD_COLUMNS = ("Callback", "Held", "CPU", "Ago", "Cause")
_LISTED = 8
_MS = 1e3


def host_view(facts: Facts) -> Iterator[str]:
    """Yield the view of the host."""
    found = yield from collected(facts)
    elsewhere = bgp.KINDS | sources.KINDS
    own = [alert for alert in found if not alert.service and alert.kind not in elsewhere]
    yield from document(facts, Heading("host", worst(own), worst(found), HOST_VIEW), _sections(facts, own))


def _sections(facts: Facts, own: Sequence[Alert]) -> Iterator[str]:
    by_kind = kinds(own)
    headline = "; ".join(kind.headline for kind in by_kind) or "No problem of this balancer"
    yield from summary(by_kind, headline, "Services, BGP and sources have their own views.", facts.clocks)
    yield from _findings(facts.host)
    yield "<div class='cols even'>"
    yield _ipvs(facts)
    yield _activities(facts)
    yield "</div>"
    yield from _loop(facts)
    yield foot(
        "In a terminal: <code>pybal doctor</code> also shows what is in order; <code>pybal diff</code> compares"
        " IPVS with the wanted state."
    )


def _findings(found: Sequence[HostFinding]) -> Iterator[str]:
    yield f"<section>{tools('Findings of pybal doctor')}"
    if found:
        yield from table("findings lines report", "Findings", _FINDING_COLUMNS, map(_finding, found))
    else:
        yield "<p class=soft>No finding that needs action. The host is examined every minute.</p>"
    yield "</section>\n"


def _finding(found: HostFinding) -> str:
    grade = str(found.grade)
    remedy = f"<code>{escape(found.mend)}</code>" if found.mend else ""
    return row(
        escape(found.text),
        state(Mark.WARN if grade == "warn" else Mark.CRIT, grade),
        escape(found.why),
        remedy,
        name=f"finding-{found.about}",
    )


def _ipvs(facts: Facts) -> str:
    found = facts.findings
    drift = found.drifted
    verified = sum(intent.verified for intent in found.intents.values())
    repairs = "repaired" if found.repairs else "reported"
    wanted = Mark.OK if verified == len(found.intents) else Mark.WARN
    items = [
        item(state(wanted, f"{amount(verified)} of {counted(len(found.intents), 'service')} verified"), ""),
        item(
            state(Mark.WARN if drift else Mark.OK, f"{counted(drift, 'entry')} changed by another program"),
            f"<span class=soft>{repairs}</span>",
        ),
        item(f"{counted(len(found.foreign), 'service')} of other programs", ""),
    ]
    if found.problem:
        items.insert(0, item(state(Mark.WARN, "audit failed"), "", found.problem))
    return card("ipvs", "IPVS", f"audited {unbroken(format_age(found.age))} ago", items)


def _activities(facts: Facts) -> str:
    stalled = list(facts.activities.stalled())
    items = [item(state(Mark.WARN, name), "", problem) for name, problem in stalled[:_LISTED]]
    if len(stalled) > _LISTED:
        items.append(f"and {counted(len(stalled) - _LISTED, 'other')}")
    if not stalled:
        items.append(item(state(Mark.OK, "none stalled"), ""))
    if (configuration := facts.configuration) is not None:
        changed = state(Mark.WARN, "differs from the file") if configuration.changed else state(Mark.OK, "loaded")
        age = f"<span class=soft>{lasted(configuration.loaded_at, facts.clocks)} ago</span>"
        items.append(item(changed, age, configuration.file))
    return card(
        "activities", "Activities and configuration", counted(len(list(facts.activities)), "periodic activity"), items
    )


def _loop(facts: Facts) -> Iterator[str]:
    held = facts.held
    share = held.seconds / max(1.0, facts.clocks.monotonic - facts.balancer.started)
    yield f"<section>{tools('Longest callbacks of the event loop')}"
    yield f"<p class=soft>{amount(held.turns)} callbacks; the loop was busy for {100 * share:.1f} % of the time.</p>"
    rows = (_hold(place, hold, facts) for place, hold in enumerate(held.longest()))
    yield from table("holds lines report", "Longest callbacks", _HOLD_COLUMNS, rows)
    yield "</section>\n"


def _hold(place: int, hold: Hold, facts: Facts) -> str:
    return row(
        f"<span class=mono>{escape(hold.call)}</span>",
        unbroken(f"{hold.wall * _MS:,.0f} ms"),
        unbroken(f"{hold.cpu * _MS:,.0f} ms"),
        lasted(hold.at, facts.clocks),
        escape(hold.cause.partition(": ")[2]),
        name=f"hold-{place}",
    )
