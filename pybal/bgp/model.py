"""What is announced, to whom, and how it stands with each peer, as values. Pure."""

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
    """One VIP with what all peers are told alike; next hop, AS path and communities are each peer's own.

    ``graceful_shutdown`` adds the well-known community 65535:0 (RFC 8326): prefer any other way.
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
    """How it stands with one peer, for those who ask.

    ``since`` is the monotonic time, in seconds, of the last change of ``state``. ``entered`` counts how often each state was
    entered. ``last_error`` is why the last session ended or was refused, empty if none was. ``on_wire`` is what ExaBGP
    has sent to the peer in this session and not withdrawn; ``wanted`` is how many announcements it should hold,
    ``refused`` how many of them ExaBGP did not take, ``repairs`` how often one was told again because it was not on the wire.
    """

    peer: PeerSettings
    state: SessionState = SessionState.IDLE
    since: float = 0.0
    entered: Mapping[SessionState, int] = field(default_factory=dict)
    last_error: str = ""
    on_wire: tuple[Announcement, ...] = ()
    wanted: int = 0
    refused: int = 0
    repairs: int = 0

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED
