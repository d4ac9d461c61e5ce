"""The state of BGP announcements and sessions as text, JSON and metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pybal.bgp.delivery import Delivery, deliveries
from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict, Why
from pybal.core.text import format_age, numbered
from pybal.monitors.base import Labels
from pybal.runtime.clocks import age
from pybal.status.json_pieces import JSON
from pybal.status.metrics import Family

Series: TypeAlias = list[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class BGP:
    """The state of BGP at one moment; ``enabled`` is false if BGP is off, and in a dry run."""

    enabled: bool = False
    verdicts: Sequence[Verdict] = ()
    sessions: Sequence[Session] = ()
    restarts: int = 0

    def deliveries(self) -> Iterator[Delivery]:
        """Yield each verdict with the peers that hold its VIP."""
        return deliveries(self.verdicts, self.sessions, dry_run=not self.enabled)


def text(bgp: BGP, now: float) -> str:
    """Return a line for each VIP and for each peer."""
    if not bgp.enabled and not bgp.verdicts:
        return "BGP is off (set bgp = yes to announce services)\n"
    return "".join(f"{vip_line(each, now)}\n" for each in bgp.deliveries()) + "".join(
        f"{peer_line(s, now)}\n" for s in bgp.sessions
    )


def json(bgp: BGP, now: float) -> JSON:
    """Return the state as JSON; ``age`` is the time since the last change, in seconds."""
    return {
        "enabled": bgp.enabled,
        "restarts": bgp.restarts,
        "vips": [vip_json(each, now) for each in bgp.deliveries()],
        "peers": [_peer_json(session, now) for session in bgp.sessions],
    }


def vip_line(delivery: Delivery, now: float) -> str:
    """Return e.g. ``192.0.2.1/32 announced to 2 of 2 peers for 12 s, MED 100: 1 service verified``."""
    return f"{delivery.prefix} {vip_state(delivery)} for {format_age(age(delivery.since, now))}{_facts(delivery)}"


def vip_state(delivery: Delivery) -> str:
    """Return ``announced to 2 of 2 peers``, ``wanted, sent to no peer`` or ``withheld``."""
    if not delivery.wanted:
        left = f", not withdrawn yet from {numbered(len(delivery.peers), 'peer')}" if delivery.announced else ""
        return f"withheld{left}"
    if not delivery.announced:
        return "wanted, sent to no peer"
    return f"announced to {len(delivery.peers)} of {numbered(delivery.sessions, 'peer')}"


def _facts(delivery: Delivery) -> str:
    announcement, why = delivery.verdict.announcement, f"{delivery.why} ({delivery.detail})"
    if announcement is None:
        return f": {why}"
    unsent = "" if delivery.announced else f"; {why}"
    return f", {_attributes(announcement)}: {delivery.verdict.detail}{unsent}"


def peer_line(session: Session, now: float) -> str:
    """Return e.g. ``peer 192.0.2.251 ESTABLISHED for 60 s: 2 of 2 sent``, or the reason why it is down."""
    sent = f"{len(session.on_wire)} of {session.wanted} sent"
    refused = f", {len(session.refused)} refused" if session.refused else ""
    error = "" if session.established else f"; {session.reason}"
    return f"peer {session.peer.address} {peer_state(session, now)}: {sent}{refused}{error}"


def peer_state(session: Session, now: float) -> str:
    """Return ``ESTABLISHED for 60 s`` or ``down for 36 s (CONNECT)``."""
    if session.down_since is None:
        return f"{session.state} for {format_age(age(session.since, now))}"
    return f"down for {format_age(age(session.down_since, now))} ({session.state})"


def families(bgp: BGP, now: float) -> Iterator[Family]:
    """Yield the metrics: those of PyBal 1.15 first, then new ones."""
    yield Family("pybal_bgp_enabled", "gauge", "Whether BGP announces services", [((), bgp.enabled)])
    if bgp.enabled or bgp.verdicts:
        yield from _session_families(bgp.sessions, now)
        yield Family("pybal_bgp_restarts_total", "counter", "Restarts of ExaBGP", [((), bgp.restarts)])
        yield from _vip_families(tuple(bgp.deliveries()), now)


def _session_families(sessions: Sequence[Session], now: float) -> Iterator[Family]:
    labels: list[Labels] = [
        (("local_asn", str(session.peer.local_asn)), ("peer", str(session.peer.address))) for session in sessions
    ]

    def series(values: Iterator[float]) -> Series:
        return list(zip(labels, values, strict=True))

    established = series(float(session.established) for session in sessions)
    yield Family("pybal_bgp_session_established", "gauge", "Whether the session with the peer is up", established)
    states = [
        (_state_labels(session, state), float(session.state is state)) for session in sessions for state in SessionState
    ]
    yield Family("pybal_bgp_session_state_count", "gauge", "Number of sessions in this state", states)
    ages = series(age(session.since, now) for session in sessions)
    yield Family(
        "pybal_bgp_session_state_age_seconds", "gauge", "Time since the last state change of the session", ages
    )
    sent = series(float(len(session.on_wire)) for session in sessions)
    yield Family("pybal_bgp_session_announced", "gauge", "VIPs announced to the peer and not withdrawn", sent)
    wanted = series(float(session.wanted) for session in sessions)
    yield Family("pybal_bgp_session_wanted", "gauge", "VIPs to announce to the peer", wanted)
    refused = series(float(len(session.refused)) for session in sessions)
    yield Family("pybal_bgp_session_refused", "gauge", "VIPs whose announcement ExaBGP refused", refused)
    repairs = series(float(session.repairs) for session in sessions)
    yield Family(
        "pybal_bgp_session_repairs_total", "counter", "VIPs announced again because they were not sent in time", repairs
    )


def _state_labels(session: Session, state: SessionState) -> Labels:
    peer = session.peer
    return (
        ("local_asn", str(peer.local_asn)),
        ("local_ip", str(session.local_address or "")),
        ("remote_ip", str(peer.address)),
        ("side", "active"),
        ("state", str(state)),
    )


def _vip_families(delivered: Sequence[Delivery], now: float) -> Iterator[Family]:
    labels: list[Labels] = [(("vip", str(each.verdict.vip)),) for each in delivered]

    def gauge(name: str, explanation: str, values: Iterable[float]) -> Family:
        return Family(f"pybal_bgp_vip_{name}", "gauge", explanation, list(zip(labels, values, strict=True)))

    yield gauge(
        "announced",
        "Whether an established peer was sent the VIP",
        [float(each.met) for each in delivered],
    )
    yield gauge("wanted", "Whether the VIP should be announced", [float(each.wanted) for each in delivered])
    yield gauge(
        "age_seconds",
        "Time since the VIP was announced or withdrawn, or the reason changed",
        [age(each.since, now) for each in delivered],
    )
    reasons = Counter(each.verdict.why for each in delivered)
    withheld: Series = [((("why", str(why)),), float(reasons[why])) for why in Why]
    yield Family("pybal_bgp_vips_withheld", "gauge", "VIPs not announced, by reason", withheld)


def vip_json(delivery: Delivery, now: float) -> JSON:
    """Return the state of one VIP as JSON; ``age`` is the time since the last change, in seconds.

    ``announced`` is true if a peer was sent the VIP, ``peers`` are those; ``wanted`` is true if it should be announced.
    """
    announcement = delivery.verdict.announcement
    return {
        "vip": str(delivery.verdict.vip),
        "wanted": delivery.wanted,
        "announced": delivery.wanted and delivery.announced,
        "peers": [str(peer) for peer in delivery.peers],
        "why": None if delivery.why is None else str(delivery.why),
        "detail": delivery.detail,
        "med": announcement.med if announcement else None,
        "graceful_shutdown": bool(announcement and announcement.graceful_shutdown),
        "age": age(delivery.since, now),
    }


def _peer_json(session: Session, now: float) -> JSON:
    peer = session.peer
    return {
        "peer": str(peer.address),
        "local_asn": peer.local_asn,
        "peer_asn": peer.peer_asn,
        "state": str(session.state),
        "age": age(session.since, now),
        "down_for": None if session.down_since is None else age(session.down_since, now),
        "last_error": session.last_error,
        "announced": [
            {"vip": str(each.vip), "med": each.med, "graceful_shutdown": each.graceful_shutdown}
            for each in session.on_wire
        ],
        "families": [f"ipv{version}" for version in session.families],
        "wanted": session.wanted,
        "refused": len(session.refused),
        "repairs": session.repairs,
    }


def _attributes(announcement: Announcement) -> str:
    shutdown = ", graceful shutdown" if announcement.graceful_shutdown else ""
    return f"MED {announcement.med}{shutdown}"
