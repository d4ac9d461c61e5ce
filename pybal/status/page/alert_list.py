"""The alerts of the page: one folded line for each kind and severity, critical first. Pure.

The kinds are in a fixed order, that of their consequence, so that lines do not jump during an incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pybal.core.model import Alert
from pybal.core.text import first_of
from pybal.runtime.clocks import Clocks
from pybal.status.alerts import level
from pybal.status.compat115 import Level
from pybal.status.page.elements import Mark, amount, at, counted, lasted, pool_link, time_since, verdict

LISTED = 8
"""Alerts of one kind that are listed; the line names the number of all."""
OPEN = 5
"""The first critical line is open if it has at most this many alerts."""
_NAMED = 3

_NOUNS = {
    "no-servers": ("service", "without new connections"),
    "not-in-ipvs": ("service", "missing in IPVS"),
    "pooled-down": ("server", "down but pooled"),
    "checker": ("problem", "of the checks"),
    "bgp": ("problem", "of BGP sessions"),
    "not-announced": ("VIP", "not announced"),
    "down": ("server", "down and not pooled"),
    "suspect-check": ("check", "under suspicion"),
    "source": ("pool source", "with a problem"),
    "unknown": ("monitor", "without a result"),
    "unresolved": ("name", "without an address"),
    "frozen": ("freeze", ""),
    "depooled": ("server", "depooled by an operator"),
    "disabled": ("service", "with fewer enabled servers than its floor"),
    "too-small": ("pool", "too small to depool"),
    "flapping": ("VIP", "withdrawn repeatedly"),
    "ipvs": ("problem", "of IPVS"),
    "ipvs-drift": ("service", "changed by another program"),
    "ipvs-writer": ("conflict", "with another program"),
    "ipvs-audit": ("overdue audit", "of IPVS"),
    "ipvs-foreign": ("group", "of foreign IPVS services"),
    "ipvs-ledger": ("problem", "of the ownership ledger"),
    "dns-move": ("server", "with an unproven new address"),
    "duplicate": ("problem", "of shared addresses"),
    "removed": ("list", "that removed many servers"),
    "command": ("command", "failing or late"),
    "scheduler": ("scheduler", "unfit for weight 0"),
    "unverified": ("source server", "with an unverified certificate"),
    "host": ("finding", "of pybal doctor"),
}
"""A noun and its complement for each kind, in the order of consequence; other kinds follow."""
_ORDER = {kind: place for place, kind in enumerate(_NOUNS)}


@dataclass(frozen=True, slots=True)
class Kind:
    """The present alerts of one kind and severity."""

    name: str
    mark: Mark
    members: Sequence[Alert]

    @property
    def headline(self) -> str:
        """``10 servers down but pooled``; servers are counted, not alerts, if the alerts name them."""
        hosts = [alert.data["hosts"] for alert in self.members if "hosts" in alert.data]
        number = sum(len(each) for each in hosts if isinstance(each, Sequence)) or len(self.members)
        noun, complement = _NOUNS.get(self.name, ("alert", f"of kind {self.name}"))
        return f"{counted(number, noun)} {complement}".rstrip()

    @property
    def detail(self) -> str:
        """The text of a single alert, else the names of its services or subjects."""
        return self.detail_within("")

    def detail_within(self, of: str) -> str:
        """Return the detail without the name of the service ``of``."""
        if len(self.members) == 1:
            (alert,) = self.members
            return alert.text if alert.service in {"", of} else f"{alert.service}: {alert.text}"
        services = list(dict.fromkeys(alert.service for alert in self.members if alert.service not in {"", of}))
        names = services or list(dict.fromkeys(alert.subject for alert in self.members if alert.subject))
        return f"in {first_of(names, _NAMED)}" if services else first_of(names, _NAMED)

    @property
    def since(self) -> float | None:
        return min((alert.since for alert in self.members if alert.since is not None), default=None)


def kinds(found: Iterable[Alert]) -> Sequence[Kind]:
    """Return the kinds of some alerts, critical first, then in the order of their consequence."""
    by_kind: dict[tuple[Level, str], list[Alert]] = {}
    for alert in found:
        by_kind.setdefault((level(alert), alert.kind), []).append(alert)
    return sorted(
        (Kind(name, Mark.of(own), members) for (own, name), members in by_kind.items()),
        key=lambda kind: (kind.mark is not Mark.CRIT, _ORDER.get(kind.name, len(_ORDER)), kind.name),
    )


def beyond_verdict(found: Sequence[Kind]) -> Sequence[Kind]:
    """Return the kinds that a verdict, made of the first one, does not show completely."""
    return found[1:] if found and len(found[0].members) == 1 else found


def summary(found: Sequence[Kind], headline: str, otherwise: str, clocks: Clocks) -> Iterator[str]:
    """Yield the verdict on the alerts of a view, and the list of those that it does not show completely.

    Without alerts ``otherwise`` stands below the headline.
    """
    mark, detail, since = (found[0].mark, found[0].detail, found[0].since) if found else (Mark.OK, otherwise, None)
    yield verdict(mark, headline, detail, since, clocks)
    yield from alert_list(beyond_verdict(found), clocks)


def alert_list(found: Sequence[Kind], clocks: Clocks, of: str = "") -> Iterator[str]:
    """Yield the list; nothing without alerts. ``of`` is the service of the view: it is not named."""
    if found:
        yield "<div class=alerts>"
        for place, kind in enumerate(found):
            few = place == 0 and kind.mark is Mark.CRIT and len(kind.members) <= OPEN
            yield _details(kind, clocks, of, is_open=few)
        yield "</div>\n"


def _details(kind: Kind, clocks: Clocks, of: str, *, is_open: bool) -> str:
    word = "critical" if kind.mark is Mark.CRIT else "warning"
    since = "" if kind.since is None else f"<b>{lasted(kind.since, clocks)}</b> {time_since(kind.since, clocks)}"
    listed = "".join(_item(alert, clocks, of) for alert in kind.members[:LISTED])
    others = len(kind.members) - LISTED
    more = f"and {amount(others)} more. " if others > 0 else ""
    name = escape(f"{word}-{kind.name}")
    return (
        f'<details id="{name}" class={word[0]}{" open" if is_open else ""}><summary>'
        f"<span class='sev {kind.mark.css}'>{word}</span>"
        f"<span class=what><b>{escape(kind.headline)}</b> {escape(kind.detail_within(of))}</span><span class=since>{since}</span></summary>"
        f"<div class=list><ul>{listed}</ul><p>{more}Kind <code>{escape(kind.name)}</code></p></div></details>\n"
    )


def _item(alert: Alert, clocks: Clocks, of: str) -> str:
    since = "" if alert.since is None else f"<time>{at(alert.since, clocks)}</time>"
    subject = escape(alert.subject) if of and alert.service == of else pool_link(alert.service)
    return f"<li><span>{subject}</span><span>{escape(alert.text)}</span>{since}"
