"""The cards beside the pools: peers, VIPs, sources and host. Only exceptions are listed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pybal.bgp.model import Session
from pybal.core.text import first_of, format_age
from pybal.runtime.clocks import Clocks
from pybal.sources.pool_source import PoolSource
from pybal.status.bgp import vip_state
from pybal.status.page.document import BGP_VIEW, HOST_VIEW, SOURCES_VIEW
from pybal.status.page.elements import Mark, card, counted, item, lasted, link, state, unbroken
from pybal.status.page.facts import Facts, unlisted

_LISTED = 5
"""Exceptions in one card."""
_NAMED = 3


def cards(facts: Facts) -> Iterator[str]:
    """Yield the cards; those of BGP only if BGP is on."""
    if facts.bgp.sessions:
        yield _peers(facts)
    if facts.bgp.verdicts:
        yield _vips(facts)
    yield _sources(facts)
    yield _host(facts)


def _peers(facts: Facts) -> str:
    sessions = facts.bgp.sessions
    established = sum(session.established for session in sessions)
    items = [_peer(session, facts.clocks) for session in sessions]
    return card(
        "bgp", "BGP peers", f"{established} of {len(sessions)}", items, link(BGP_VIEW, "Sessions and what was sent")
    )


def _peer(session: Session, clocks: Clocks) -> str:
    name, sent = f"<b>{session.peer.address}</b>", f"{len(session.on_wire)} of {counted(session.wanted, 'VIP')} sent"
    if session.established:
        return item(name, state(Mark.OK, "established"), f"for {lasted(session.since, clocks)}, {sent}")
    down = "down" if session.down_since is None else f"down for {lasted(session.down_since, clocks)}"
    return item(name, state(Mark.WARN, down), f"{session.reason}. {session.state}")


def _vips(facts: Facts) -> str:
    delivered = list(facts.bgp.deliveries())
    announced = sum(each.met for each in delivered)
    odd = [each for each in delivered if not each.wanted or len(each.peers) < each.sessions]
    reasons = Counter((vip_state(each), "" if each.why is None else str(each.why)) for each in odd)
    items = []
    for (shown, why), number in reasons.most_common(_LISTED):
        own = [str(each.verdict.vip) for each in odd if vip_state(each) == shown and str(each.why or "") == why]
        items.append(
            item(
                state(Mark.WARN, f"{number} {shown}"),
                "",
                f"{why}: {first_of(own, _NAMED)}" if why else first_of(own, _NAMED),
            )
        )
    return card(
        "vips",
        "VIPs",
        f"{announced} of {len(delivered)}",
        items or [item(state(Mark.OK, "all sent to all peers"), "")],
        link(f"{BGP_VIEW}#vips", f"All {counted(len(delivered), 'VIP')}"),
    )


def _sources(facts: Facts) -> str:
    sources = [source for _, source in facts.sources]
    odd = [source for source in sources if source.problem is not None]
    by_problem: dict[str, list[PoolSource]] = {}
    for source in odd:
        by_problem.setdefault((source.problem or "").removeprefix(f"{source.name}: "), []).append(source)
    items = [_problem(problem, own) for problem, own in sorted(by_problem.items(), key=lambda each: -len(each[1]))]
    if len(items) > _LISTED:
        items = [*items[:_LISTED], f"and {counted(len(items) - _LISTED, 'other problem')}"]
    oldest = unbroken(format_age(max((source.age for source in sources), default=0.0)))
    current = [item(state(Mark.OK, "all current"), f"<span class=soft>oldest {oldest}</span>")]
    return card(
        "sources",
        "Sources",
        f"{len(sources) - len(odd)} of {len(sources)}",
        items or current,
        link(SOURCES_VIEW, "All sources"),
    )


def _problem(problem: str, own: Sequence[PoolSource]) -> str:
    name = own[0].name if len(own) == 1 else counted(len(own), "source")
    oldest = unbroken(format_age(max(source.age for source in own)))
    mark = Mark.CRIT if any(map(unlisted, own)) else Mark.WARN
    return item(state(mark, name), f"<span class=soft>{oldest}</span>", problem)


def _host(facts: Facts) -> str:
    found = facts.findings
    words = found.problem or (f"{counted(found.drifted, 'entry')} changed" if found.drifted else "")
    audited = f"<span class=soft>audited {unbroken(format_age(found.age))} ago</span>"
    ipvs = state(Mark.WARN, "IPVS") if words else state(Mark.OK, "IPVS as wanted")
    return card("host", "Host", "", [item(ipvs, audited, words)], link(HOST_VIEW, "All checks of the host"))
