"""Announcements and sessions as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from pybal.config.settings import PeerSettings
from pybal.core.model import Address

Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Announcement:
    """One VIP with the attributes that all peers share; the others are settings of each peer.

    ``graceful_shutdown`` adds the well-known community 65535:0 (RFC 8326): routers prefer any other path.
    """

    vip: Address
    med: int = 0
    graceful_shutdown: bool = False

    @property
    def prefix(self) -> Prefix:
        """The VIP as a prefix of one address."""
        return ip_network(self.vip)


class SessionState(StrEnum):
    """The states of a session (RFC 4271 §8.2.2)."""

    IDLE = "IDLE"
    CONNECT = "CONNECT"
    ACTIVE = "ACTIVE"
    OPENSENT = "OPENSENT"
    OPENCONFIRM = "OPENCONFIRM"
    ESTABLISHED = "ESTABLISHED"


@dataclass(frozen=True, slots=True)
class Session:
    """A snapshot of the session with one peer.

    ``since`` is the monotonic time, in seconds, of the last change of ``state``. ``entered`` counts the entries into each
    state. ``last_error`` is the reason why the last session ended or was refused; empty while the session is established.
    ``on_wire`` holds the announcements sent in this session and not withdrawn; ``wanted`` is the number of announcements
    that the peer should hold, ``refused`` those that ExaBGP refused, ``repairs`` the number of updates that
    were sent again because ExaBGP had not sent them in time. ``families`` are the IP versions that the session negotiated,
    empty while it is not established. ``down_since`` is the time of the end of the last session, or of the start of the daemon;
    ``None`` while it is established. ``local_address`` is our end of the connection, ``None`` without a
    route to the peer.
    """

    peer: PeerSettings
    state: SessionState = SessionState.IDLE
    since: float = 0.0
    entered: Mapping[SessionState, int] = field(default_factory=dict)
    last_error: str = ""
    on_wire: tuple[Announcement, ...] = ()
    wanted: int = 0
    refused: tuple[Address, ...] = ()
    repairs: int = 0
    families: tuple[int, ...] = ()
    local_address: Address | None = None
    down_since: float | None = None

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED

    @property
    def reason(self) -> str:
        """The reason why the session is down."""
        return why_down(self.last_error)


def why_down(last_error: str) -> str:
    """Return the reason why a session is down; ExaBGP does not report refused connections."""
    return last_error or "never established (check the router, and bgp-peer-address)"
