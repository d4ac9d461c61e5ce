"""The state of BGP announcements and sessions as text, JSON and metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict, Why
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


def text(bgp: BGP, now: float) -> str:
    """Return a line for each VIP and for each peer."""
    if not bgp.enabled and not bgp.verdicts:
        return "BGP is off (set bgp = yes to announce services)\n"
    return "".join(f"{vip_line(v, now)}\n" for v in bgp.verdicts) + "".join(
        f"{peer_line(s, now)}\n" for s in bgp.sessions
    )


def json(bgp: BGP, now: float) -> JSON:
    """Return the state as JSON; ``age`` is the time since the last change, in seconds."""
    return {
        "enabled": bgp.enabled,
        "restarts": bgp.restarts,
        "vips": [vip_json(verdict, now) for verdict in bgp.verdicts],
        "peers": [_peer_json(session, now) for session in bgp.sessions],
    }


def vip_line(verdict: Verdict, now: float) -> str:
    """Return e.g. ``192.0.2.1/32 not announced for 12 s: first-checks (web: 3 of 16 servers unknown)``."""
    prefix, lasted = f"{verdict.vip}/{verdict.vip.max_prefixlen}", f"for {age(verdict.since, now):.0f} s"
    if verdict.announcement is None:
        return f"{prefix} not announced {lasted}: {verdict.why} ({verdict.detail})"
    return f"{prefix} announced {lasted}, {_attributes(verdict.announcement)}: {verdict.detail}"


def peer_line(session: Session, now: float) -> str:
    """Return e.g. ``peer 192.0.2.251 ESTABLISHED for 60 s: 2 of 2 sent``, with the last error."""
    sent = f"{len(session.on_wire)} of {session.wanted} sent"
    refused = f", {session.refused} refused" if session.refused else ""
    error = f"; last error: {session.last_error}" if session.last_error else ""
    down = f", down for {age(session.down_since, now):.0f} s" if session.down_since is not None else ""
    return (
        f"peer {session.peer.address} {session.state} for {age(session.since, now):.0f} s{down}: {sent}{refused}{error}"
    )


def families(bgp: BGP, now: float) -> Iterator[Family]:
    """Yield the metrics: those of PyBal 1.15 first, then new ones."""
    yield Family("pybal_bgp_enabled", "gauge", "Whether BGP announces services", [((), bgp.enabled)])
    if bgp.enabled or bgp.verdicts:
        yield from _session_families(bgp.sessions, now)
        yield Family("pybal_bgp_restarts_total", "counter", "Restarts of ExaBGP", [((), bgp.restarts)])
        yield from _vip_families(bgp.verdicts, now)


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
    refused = series(float(session.refused) for session in sessions)
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


def _vip_families(verdicts: Sequence[Verdict], now: float) -> Iterator[Family]:
    labels: list[Labels] = [(("vip", str(verdict.vip)),) for verdict in verdicts]
    announced = [float(verdict.announcement is not None) for verdict in verdicts]
    yield Family(
        "pybal_bgp_vip_announced", "gauge", "Whether the VIP is announced", list(zip(labels, announced, strict=True))
    )
    ages = [age(verdict.since, now) for verdict in verdicts]
    help_ = "Time since the VIP was announced or withdrawn, or the reason changed"
    yield Family("pybal_bgp_vip_age_seconds", "gauge", help_, list(zip(labels, ages, strict=True)))
    reasons = Counter(verdict.why for verdict in verdicts)
    withheld: Series = [((("why", str(why)),), float(reasons[why])) for why in Why]
    yield Family("pybal_bgp_vips_withheld", "gauge", "VIPs not announced, by reason", withheld)


def vip_json(verdict: Verdict, now: float) -> JSON:
    """Return the state of one VIP as JSON; ``age`` is the time since the last change, in seconds."""
    announcement = verdict.announcement
    return {
        "vip": str(verdict.vip),
        "announced": announcement is not None,
        "why": None if verdict.why is None else str(verdict.why),
        "detail": verdict.detail,
        "med": announcement.med if announcement else None,
        "graceful_shutdown": bool(announcement and announcement.graceful_shutdown),
        "age": age(verdict.since, now),
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
        "refused": session.refused,
        "repairs": session.repairs,
    }


def _attributes(announcement: Announcement) -> str:
    shutdown = ", graceful shutdown" if announcement.graceful_shutdown else ""
    return f"MED {announcement.med}{shutdown}"
