"""The view of BGP: the peers, and each VIP with the reason why it is not announced. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pybal.bgp.delivery import Delivery
from pybal.bgp.model import Session
from pybal.core.model import Alert
from pybal.core.text import first_of
from pybal.runtime.clocks import Clocks
from pybal.status.bgp import vip_state
from pybal.status.page.alert_list import Kind, kinds, summary
from pybal.status.page.document import BGP_VIEW, Heading, document
from pybal.status.page.elements import (
    Mark,
    amount,
    at,
    counted,
    foot,
    lasted,
    row,
    state,
    table,
    tools,
)
from pybal.status.page.facts import Facts, collected, worst

KINDS = frozenset(("bgp", "not-announced", "flapping"))
"""The kinds of alert about BGP."""

_NAMED = 3
_PEER_COLUMNS = ("Peer", "Session", "For", "Peer AS", "Sent", "Refused", "Reason")
_VIP_COLUMNS = ("VIP", "State", "Since", "MED", "Services", "Reason")
_GROUPS = (
    ("withheld", "Not announced", Mark.WARN),
    ("partly", "Not to all peers", Mark.WARN),
    ("all", "To all", Mark.OK),
)
"""The groups of VIPs: key, title and mark."""


def bgp_view(facts: Facts) -> Iterator[str]:
    """Yield the view of BGP."""
    found = yield from collected(facts)
    own = [alert for alert in found if alert.kind in KINDS]
    yield from document(facts, Heading("BGP", worst(own), worst(found), BGP_VIEW), _sections(facts, own))


def _sections(facts: Facts, own: Sequence[Alert]) -> Iterator[str]:
    delivered = list(facts.bgp.deliveries())
    by_kind = kinds(own)
    headline, otherwise = _headline(by_kind, delivered)
    yield from summary(by_kind, headline, otherwise, facts.clocks)
    if facts.bgp.sessions:
        yield "<section id=bgp>" + tools("Peers")
        rows = (_peer(session, facts.clocks) for session in facts.bgp.sessions)
        yield from table("peers lines report", "BGP peers", _PEER_COLUMNS, rows)
        yield "</section>"
    if delivered:
        yield from _vips(facts, delivered)
    yield foot("In a terminal: <code>pybal status</code>, <code>pybal drain VIP</code>.")


def _headline(found: Sequence[Kind], delivered: Sequence[Delivery]) -> tuple[str, str]:
    """Return the headline, and the text below it without alerts."""
    if found:
        return "; ".join(kind.headline for kind in found), ""
    if not delivered:
        return "BGP is off", "Set bgp = yes to announce the VIPs of services."
    announced = sum(each.met for each in delivered)
    return f"{amount(announced)} of {counted(len(delivered), 'VIP')} announced", "No alerts of BGP."


def _peer(session: Session, clocks: Clocks) -> str:
    peer, down = session.peer, session.down_since
    word = state(Mark.OK, "established") if session.established else state(Mark.WARN, f"down ({session.state})")
    return row(
        f"<b>{peer.address}</b>",
        word,
        lasted(session.since if down is None else down, clocks),
        str(peer.peer_asn or "any"),
        f"{amount(len(session.on_wire))} of {amount(session.wanted)}",
        amount(len(session.refused)),
        "" if session.established else escape(session.reason),
        name=f"peer-{peer.address}",
    )


def _vips(facts: Facts, delivered: Sequence[Delivery]) -> Iterator[str]:
    groups: dict[str, list[Delivery]] = {key: [] for key, _, _ in _GROUPS}
    for each in delivered:
        groups[_group_of(each)].append(each)
    chips = [(key, title, len(groups[key])) for key, title, _ in _GROUPS if groups[key]]
    yield "<section id=vips>"
    yield tools("VIPs", [("", "All", len(delivered)), *chips], search="Filter VIPs, services and reasons")
    yield from table("vips lines report", "VIPs", _VIP_COLUMNS, _bodies(facts, groups), name="list")
    yield "</section>\n"


def _group_of(delivery: Delivery) -> str:
    if not delivery.met:
        return "withheld"
    return "all" if len(delivery.peers) == delivery.sessions else "partly"


def _bodies(facts: Facts, groups: dict[str, list[Delivery]]) -> Iterator[str]:
    services: dict[str, list[str]] = {}
    for name, pool in facts.snapshot.pools.items():
        services.setdefault(str(pool.service.vip), []).append(name)
    for key, _, mark in _GROUPS:
        if groups[key]:
            yield f"<tbody data-k={key}>"
            for each in groups[key]:
                yield _vip(each, mark, services.get(str(each.verdict.vip), ()), facts.clocks)


def _vip(delivery: Delivery, mark: Mark, services: Sequence[str], clocks: Clocks) -> str:
    announcement = delivery.verdict.announcement
    shutdown = ", graceful shutdown" if announcement and announcement.graceful_shutdown else ""
    why = f"{delivery.why}: {delivery.detail}" if delivery.why else delivery.verdict.detail
    return row(
        f"<b>{delivery.verdict.vip}</b>",
        state(mark, vip_state(delivery)),
        f"<time>{at(delivery.since, clocks)}</time>",
        f"{announcement.med}{shutdown}" if announcement else "",
        escape(first_of(services, _NAMED)),
        escape(why),
        name=f"vip-{delivery.verdict.vip}",
    )
