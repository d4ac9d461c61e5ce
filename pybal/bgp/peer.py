"""One peer: the state of its session, the reason why the last one ended, and its routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from twisted.logger import Logger

from pybal.bgp.adj_rib_out import AdjRIBOut
from pybal.bgp.exabgp import config
from pybal.bgp.exabgp.events import Notified, StateChanged
from pybal.bgp.local_address import local_address
from pybal.bgp.model import Announcement, Session, SessionState
from pybal.config.settings import PeerSettings
from pybal.core.text import format_age

_NETWORK_ERROR = "closing connection"
"""ExaBGP's reason for each session or attempt to connect that ends without a NOTIFICATION."""

_LOST = {
    SessionState.CONNECT: "no TCP connection (wrong address, TCP port blocked, or no BGP on the peer)",
    SessionState.ESTABLISHED: "connection lost without a NOTIFICATION",
}
"""Meanings of a network error, by the state in which it occurs."""
_NOT_ACCEPTED = (
    "connection closed before the session was established (this balancer's address unknown to the peer, or TTL too low)"
)


class Peer:
    """The speaker's state of one peer. ``seconds`` is the monotonic time of the last change of state."""

    _log = Logger()

    def __init__(self, settings: PeerSettings, seconds: float) -> None:
        self.settings = settings
        self.adj = AdjRIBOut()
        self.closing = False
        """True while the daemon closes the session."""
        self.state = SessionState.IDLE
        self.since = self.down_since = seconds
        self.last_error = ""
        self.families = frozenset(settings.families)
        """The IP versions of the VIPs that the peer should hold: common to the last OPEN messages."""
        self._announcements: tuple[Announcement, ...] = ()
        self._local_address = settings.local_address or local_address(settings.address)
        self._entered: Counter[SessionState] = Counter()
        self._notification = ""
        """The last NOTIFICATION since ESTABLISHED: later failures to connect do not explain the end."""
        self._reported = ""
        self._system = f"bgp peer@{settings.address}"

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED

    def session(self) -> Session:
        """Return a snapshot of the session."""
        return Session(
            self.settings,
            self.state,
            self.since,
            MappingProxyType(dict(self._entered)),
            self.last_error,
            tuple(self.adj.wire.values()),
            len(self.adj.goal),
            tuple(announcement.vip for announcement in self.adj.refused.values()),
            self.adj.repairs,
            tuple(sorted(self.families)) if self.established else (),
            self._local_address,
            None if self.established else self.down_since,
        )

    def set_goal(self, announcements: Iterable[Announcement]) -> None:
        """Replace the announcements; the peer should hold those of its families that have a next hop."""
        self._announcements = tuple(announcements)
        always = config.GRACEFUL_SHUTDOWN in self.settings.communities
        self.adj.set_goal(
            {
                announcement.prefix: replace(announcement, graceful_shutdown=announcement.graceful_shutdown or always)
                for announcement in self._announcements
                if announcement.vip.version in self.families
                and config.next_hop(self.settings, announcement) is not None
            }
        )

    def opened(self, families: frozenset[int]) -> None:
        """Apply the families of the peer's OPEN message, which precedes ESTABLISHED."""
        self.families = families & frozenset(self.settings.families)
        self.set_goal(self._announcements)

    def notified(self, event: Notified) -> None:
        """Record the NOTIFICATION that is about to end the session."""
        self._notification = f"{'received' if event.received else 'sent'} {event.text}"
        self._failed(self._notification)

    def state_changed(self, event: StateChanged, seconds: float, now: float) -> bool:
        """Record the state, and ExaBGP's reason if the session ended; return whether the state changed.

        ``now`` is the time of :mod:`pybal.bgp.adj_rib_out`.
        """
        if event.reason:
            self._failed(self._cause(event.reason))
        if event.state is self.state:
            return False
        if event.state is SessionState.ESTABLISHED:
            self.adj.up(now)
            self._log_recovery(seconds)
            self.last_error = self._reported = self._notification = ""
        elif self.established:
            self.adj.down()
            self.down_since = seconds
        log = self._log.info if event.state is SessionState.ESTABLISHED else self._log.debug
        log("State is now: {state}", state=event.state.value, system=self._system)
        self.state, self.since = event.state, seconds
        self._entered[event.state] += 1
        if event.state is SessionState.OPENSENT:  # connected: the route may have changed since the last session
            self._local_address = self.settings.local_address or local_address(self.settings.address)
        return True

    def exabgp_ended(self, reason: str, seconds: float) -> None:
        """Record the end of ExaBGP: the session is gone, and ExaBGP's routes with it."""
        if self.established:
            self._failed(f"exabgp ended: {reason}")
            self.down_since = seconds
        if self.state is not SessionState.IDLE:
            self.state, self.since = SessionState.IDLE, seconds
            self._entered[SessionState.IDLE] += 1
        self.adj.reset()

    def _log_recovery(self, seconds: float) -> None:
        """Log that the session is up again, unless it is the first one and nothing failed."""
        if self.last_error or self._entered[SessionState.ESTABLISHED]:
            self._log.info(
                "BGP session with {peer} up again after {lasted} ({reason})",
                peer=self.settings.address,
                lasted=format_age(seconds - self.down_since),
                reason=self.last_error or "no reason known",
                system=self._system,
            )

    def _cause(self, reason: str) -> str:
        """Return ExaBGP's reason for the end of the session, or what it means in the present state."""
        return _LOST.get(self.state, _NOT_ACCEPTED) if reason == _NETWORK_ERROR else reason

    def _failed(self, reason: str) -> None:
        reason = self._notification or reason
        self.last_error = reason
        if reason == self._reported:  # repeated by each attempt to connect
            return
        self._reported = reason
        log = self._log.info if self.closing else self._log.warn
        log("BGP session with {peer} down: {reason}", peer=self.settings.address, reason=reason, system=self._system)
