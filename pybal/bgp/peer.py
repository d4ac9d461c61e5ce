"""One peer: the state of its session, why the last one fell, and what it should hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from twisted.logger import Logger

from pybal.bgp.adj_rib_out import AdjRIBOut
from pybal.bgp.exabgp import config
from pybal.bgp.exabgp.events import Entered, Notified
from pybal.bgp.model import Announcement, Session, SessionState
from pybal.config.settings import PeerSettings


class Peer:
    """What the speaker keeps for one peer. ``seconds`` is the monotonic time of the last change of state."""

    _log = Logger()

    def __init__(self, settings: PeerSettings, seconds: float) -> None:
        self.settings = settings
        self.adj = AdjRIBOut()
        self.ending = False
        """Whether its session is closed by us."""
        self.state = SessionState.IDLE
        self.since = seconds
        self.last_error = ""
        self._entered: Counter[SessionState] = Counter()
        self._notification = ""
        self._complained = ""
        self._system = f"bgp peer@{settings.address}"

    @property
    def established(self) -> bool:
        return self.state is SessionState.ESTABLISHED

    def session(self) -> Session:
        """Return how it stands."""
        return Session(
            self.settings,
            self.state,
            self.since,
            MappingProxyType(dict(self._entered)),
            self.last_error,
            tuple(self.adj.wire.values()),
            len(self.adj.goal),
            len(self.adj.refused),
            self.adj.repairs,
        )

    def want(self, announcements: Iterable[Announcement]) -> None:
        """Replace what it should hold; VIPs of a family without a next hop are not for it."""
        always = config.GRACEFUL_SHUTDOWN in self.settings.communities
        self.adj.want(
            {
                announcement.prefix: replace(announcement, graceful_shutdown=announcement.graceful_shutdown or always)
                for announcement in announcements
                if config.next_hop(self.settings, announcement) is not None
            }
        )

    def notified(self, event: Notified) -> None:
        """Take note of why the session is about to end."""
        self._notification = f"{'received' if event.received else 'sent'} {event.text}"
        self._failed(self._notification)

    def entered(self, event: Entered, seconds: float, now: float) -> bool:
        """Take note of a state, with ExaBGP's reason if the session fell; return whether it is another.

        ``now`` is the time of :mod:`pybal.bgp.adj_rib_out`.
        """
        if event.reason and not self._notification:
            self._failed(event.reason)
        if event.reason or event.state is SessionState.CONNECT:
            self._notification = ""
        if event.state is self.state:
            return False
        if event.state is SessionState.ESTABLISHED:
            self.adj.up(now)
            self._complained = ""
        elif self.established:
            self.adj.down()
        log = self._log.info if event.state is SessionState.ESTABLISHED else self._log.debug
        log("State is now: {state}", state=event.state.value, system=self._system)
        self.state, self.since = event.state, seconds
        self._entered[event.state] += 1
        return True

    def exabgp_ended(self, reason: str, seconds: float) -> None:
        """Take note that there is no session any more, nor anybody who was told anything."""
        if self.established:
            self._failed(f"exabgp has ended: {reason}")
        self._notification = ""
        if self.state is not SessionState.IDLE:
            self.state, self.since = SessionState.IDLE, seconds
            self._entered[SessionState.IDLE] += 1
        self.adj.forgotten()

    def _failed(self, reason: str) -> None:
        self.last_error = reason
        if reason == self._complained:  # the same, at each attempt
            return
        self._complained = reason
        log = self._log.info if self.ending else self._log.warn
        log("No session with peer {peer}: {reason}", peer=self.settings.address, reason=reason, system=self._system)
