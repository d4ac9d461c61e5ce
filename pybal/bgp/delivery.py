"""The peers that hold each VIP: it is announced when an established peer has been sent it. Pure.

A verdict is a decision; whether routers know of it depends on the sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pybal.bgp.model import Session
from pybal.bgp.verdict import Verdict
from pybal.core.model import Address
from pybal.core.text import first_of

_NAMED = 3


class Unsent(StrEnum):
    """The reason why no peer has been sent a VIP although it should be announced."""

    DRY_RUN = "dry-run"
    NO_SESSION = "no-session"
    NO_FAMILY = "no-family"
    REFUSED = "refused"
    NOT_SENT = "not-sent"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verdict and the established peers that were sent its VIP, of ``sessions`` in all.

    ``why`` is the reason of the verdict against the announcement, or why no peer was sent it; ``None`` if it is announced.
    ``since`` is the monotonic time, in seconds, since which it is so.
    """

    verdict: Verdict
    peers: Sequence[Address]
    sessions: int
    why: str | None
    detail: str
    since: float

    @property
    def wanted(self) -> bool:
        """True if the VIP should be announced."""
        return self.verdict.announcement is not None

    @property
    def announced(self) -> bool:
        """True if an established peer was sent the VIP and not its withdrawal."""
        return bool(self.peers)

    @property
    def met(self) -> bool:
        """True if the VIP should be announced, and is."""
        return self.wanted and self.announced

    @property
    def prefix(self) -> str:
        """The VIP as a prefix of one address."""
        return f"{self.verdict.vip}/{self.verdict.vip.max_prefixlen}"


def deliveries(
    verdicts: Iterable[Verdict], sessions: Sequence[Session], *, dry_run: bool = False
) -> Iterator[Delivery]:
    """Yield the delivery of each verdict."""
    holders: dict[Address, list[Session]] = {}
    for session in sessions:
        for announcement in session.on_wire if session.established else ():
            holders.setdefault(announcement.vip, []).append(session)
    for verdict in verdicts:
        held_by = holders.get(verdict.vip, [])
        why, detail, since = verdict.why, verdict.detail, verdict.since
        if verdict.announcement is not None and held_by:
            since = max(since, min(session.since for session in held_by))
        elif verdict.announcement is not None:
            unsent, detail = (Unsent.DRY_RUN, "no BGP session") if dry_run else _unsent(verdict.vip, sessions)
            yield Delivery(verdict, (), len(sessions), unsent, detail, since)
            continue
        yield Delivery(verdict, [each.peer.address for each in held_by], len(sessions), why, detail, since)


def _unsent(vip: Address, sessions: Sequence[Session]) -> tuple[Unsent, str]:
    """Return why no peer was sent a VIP, with the peers concerned."""
    established = [session for session in sessions if session.established]
    if not established:
        return Unsent.NO_SESSION, first_of([f"{each.peer.address}: {each.reason}" for each in sessions], _NAMED)
    able = [session for session in established if vip.version in session.families]
    if not able:
        peers = first_of([str(session.peer.address) for session in established], _NAMED)
        return Unsent.NO_FAMILY, f"IPv{vip.version} unicast not negotiated with {peers}"
    refused = [str(session.peer.address) for session in able if vip in session.refused]
    if refused:
        return Unsent.REFUSED, f"by exabgp, for peer {first_of(refused, _NAMED)}"
    return Unsent.NOT_SENT, f"update for peer {first_of([str(each.peer.address) for each in able], _NAMED)} pending"
