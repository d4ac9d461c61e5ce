"""The speaker: holds the sessions through ExaBGP, and brings the routes of each peer to the goal.

:mod:`pybal.bgp.adj_rib_out` orders the commands to ExaBGP, :mod:`pybal.bgp.exabgp.process` keeps it running.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from twisted.logger import Logger

from pybal.bgp.adj_rib_out import RouteChange
from pybal.bgp.exabgp import arguments, config
from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.events import Event, Notified, OpenReceived, StateChanged, UpdateSent
from pybal.bgp.exabgp.process import ExaBGP, State
from pybal.bgp.exabgp.run import ChildProcess
from pybal.bgp.listen import check_listen
from pybal.bgp.model import Announcement, Session
from pybal.bgp.passwords import Passwords, Threads
from pybal.bgp.peer import Peer
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.core.model import Address, Alert
from pybal.runtime.reactor import HeartbeatReactor
from pybal.runtime.workers import Workers

PASSWORD_SECONDS = 2.0
"""Time for the first read of the password files; then ExaBGP starts with the other peers."""
PASSWORD_THREADS = 4
NO_SESSION_SECONDS = 15.0
"""Time without a session after which ExaBGP is restarted: its own pauses grow to 60 s."""

_NO_AUTO = "missing peer-as"
"""ExaBGP 4's error for ``peer-as auto``."""


class SpeakerError(Exception):
    """The speaker cannot start, or cannot apply settings; the text is for the operator."""


class Speaker:
    """Announce to all peers of the settings.

    ``directory`` holds the socket and the configuration file; it must be owned by the daemon's user, mode 0700, and is
    created if it does not exist. ``changed`` is called after each change of a session's state or of the routes on the
    wire. ``spawn`` starts a child process, ``threads`` read files, ``files`` (one thread) writes ExaBGP's.
    """

    _log = Logger()

    def __init__(
        self,
        settings: BGPSettings,
        *,
        reactor: HeartbeatReactor,
        directory: Path,
        random: Random,
        changed: Callable[[], None],
        python: str = sys.executable,
        spawn: Callable[..., ChildProcess] = Child,
        threads: Threads | None = None,
        files: Threads | None = None,
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._changed = changed
        self._exabgp = ExaBGP(
            self,
            reactor=reactor,
            directory=directory,
            random=random,
            python=python,
            files=files or Workers("exabgp", 1, reactor),
            spawn=spawn,
        )
        self._goal: tuple[Announcement, ...] = ()
        self._peers = {peer.address: Peer(peer, reactor.seconds()) for peer in settings.peers}
        threads = threads or Workers("passwords", PASSWORD_THREADS, reactor)
        self._passwords = Passwords(threads, reactor, self._passwords_changed)
        self._configured: Mapping[Address, tuple[PeerSettings, str]] = {}
        """The peers of ExaBGP's configuration, with their passwords."""
        self._asns: dict[Address, int] = {}
        self._user = ""
        self._last_up = 0.0
        self._quiet = False

    @property
    def restarts(self) -> int:
        """The number of restarts of ExaBGP."""
        return self._exabgp.restarts

    @property
    def version(self) -> str:
        """ExaBGP's version, empty until it is reported."""
        return self._exabgp.version

    def start(self) -> None:
        """Start ExaBGP. Raises :class:`SpeakerError`, having started nothing."""
        try:
            self._user = arguments.user()
        except KeyError:
            raise SpeakerError(
                f"user {os.geteuid()} has no name, and exabgp needs one (add the user to /etc/passwd)"
            ) from None
        _check_listening(_listening(self._settings))
        try:
            config.configuration(self._settings, self._exabgp.relay(self._settings.dead_after), {}, self._asns)
            self._exabgp.start(within=PASSWORD_SECONDS)
        except (OSError, config.UnsupportedValueError) as error:
            raise SpeakerError(f"cannot prepare exabgp: {error}") from error
        self._passwords.follow(self._settings.peers)
        self._passwords_changed()

    async def stop(self) -> None:
        """Close the sessions, which withdraws all routes, and return when ExaBGP has ended."""
        for peer in self._peers.values():
            peer.closing = True
        self._passwords.stop()
        await self._exabgp.stop()

    def announce(self, announcements: Iterable[Announcement]) -> None:
        """Replace the goal: the VIPs that the peers should hold."""
        self._goal = tuple(announcements)
        for peer in self._peers.values():
            peer.set_goal(self._goal)
        self.window_opened()

    def check(self, settings: BGPSettings) -> None:
        """Raise :class:`SpeakerError` if :meth:`reconfigure` would fail."""
        _check_listening(_listening(settings) - _listening(self._settings))
        try:
            config.configuration(settings, self._exabgp.relay(settings.dead_after), {}, self._asns)
        except config.UnsupportedValueError as error:
            raise SpeakerError(f"cannot prepare exabgp: {error}") from error

    def reconfigure(self, settings: BGPSettings) -> None:
        """Apply other settings.

        Adding and removing peers keeps the other sessions up. Changing a peer's own options, the listening addresses or
        ``dead_after`` restarts ExaBGP and resets every session: ExaBGP has no command for such a change.
        """
        before = {peer.address: peer for peer in self._settings.peers}
        after = {peer.address: peer for peer in settings.peers}
        restart = _of_process(settings) != _of_process(self._settings)
        self._settings = settings
        self._peers = {
            address: self._peers[address] if before.get(address) == peer else self._new_peer(peer)
            for address, peer in after.items()
        }
        self._asns = {address: asn for address, asn in self._asns.items() if address in after}
        self._passwords.follow(settings.peers)
        self._apply(restart=restart)

    def _passwords_changed(self) -> None:
        """Give ExaBGP the peers whose password became known; start it after the first ones."""
        if self._exabgp.state is not State.STOPPED:
            self._apply()
        elif self._passwords.settled:
            self._exabgp.hasten()

    def _apply(self, *, restart: bool = False) -> None:
        """Bring ExaBGP's configuration up to date: by a reload, or if it takes that by a restart."""
        before, after = self._configured, self._wanted_peers()
        added = [peer for address, (peer, _) in after.items() if address not in before]
        restart = (
            restart
            or any(before[address] != after[address] for address in before.keys() & after.keys())
            # ExaBGP 4 would refuse the whole file for one peer without an AS number.
            or (self.version.startswith("4") and any(peer.peer_asn is None for peer in added))
        )
        if restart:
            self._exabgp.restart("peers changed", soon=True)
        elif before.keys() != after.keys():
            self._exabgp.reload()

    def _wanted_peers(self) -> Mapping[Address, tuple[PeerSettings, str]]:
        """Return the peers with their passwords, except those whose password is missing."""
        known = self._passwords.known
        return {
            peer.address: (peer, known.get(peer.address, ""))
            for peer in self._settings.peers
            if not self._passwords.missing(peer)
        }

    def _new_peer(self, settings: PeerSettings) -> Peer:
        peer = Peer(settings, self._reactor.seconds())
        peer.set_goal(self._goal)
        return peer

    def sessions(self) -> Iterator[Session]:
        """Yield a snapshot of each session, in the order of the settings."""
        for peer in self._peers.values():
            yield peer.session()

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each problem with ExaBGP, a session or a route."""
        if self._exabgp.reason:
            age = self._reactor.seconds() - self._exabgp.down_since
            yield Alert("", "bgp", f"exabgp is not running for {age:.0f} s: {self._exabgp.reason}")
        if warning := config.ttl_security_warning(self._settings, self.version):
            yield Alert("", "bgp", warning)
        for address, peer in self._peers.items():
            adj = peer.adj
            unreadable = self._passwords.problem(address)
            if unreadable and address in self._configured:
                yield Alert("", "bgp", f"peer {address}: {unreadable}; keeping the last password")
            elif unreadable:
                yield Alert("", "bgp", f"BGP session with {address} down: {unreadable}; reading it again")
            elif not peer.established:
                age = self._reactor.seconds() - peer.since
                why = peer.last_error or "never established"  # ExaBGP does not report refused connections
                yield Alert("", "bgp", f"BGP session with {address} down for {age:.0f} s ({peer.state}): {why}")
            if adj.refused:
                yield Alert("", "bgp", f"peer {address}: exabgp refused to announce {_summary(adj.refused)}")
            if adj.attempts:
                text = f"peer {address}: update for {_summary(adj.attempts)} was not sent in time; re-announcing"
                yield Alert("", "bgp", text)

    # -- ExaBGPListener

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        """Return configuration file and environment for the next start."""
        log = self._log.debug if self._quiet else self._log.info
        text = self._config_text()
        for address in self._configured:
            log("Starting BGP session with peer {peer}", peer=address, system=f"bgp peer@{address}")
        return text, config.environment(self._settings, self._user)

    @property
    def listens(self) -> bool:
        """True if ExaBGP accepts connections."""
        return bool(self._settings.local_ips)

    def _config_text(self) -> str:
        self._configured = self._wanted_peers()
        passwords = {address: password for address, (_, password) in self._configured.items() if password}
        self._exabgp.secrets = tuple(passwords.values())
        settings = replace(self._settings, peers=tuple(peer for peer, _ in self._configured.values()))
        return config.configuration(settings, self._exabgp.relay(settings.dead_after), passwords, self._asns)

    def event_received(self, event: Event) -> None:
        """Apply an event of a session."""
        if not isinstance(event, StateChanged | Notified | OpenReceived | UpdateSent):
            return
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        if isinstance(event, UpdateSent):
            for prefix in event.withdrawn:
                peer.adj.withdrawn(prefix)
            for announcement in event.announced:
                peer.adj.announced(announcement)
        elif isinstance(event, Notified):
            peer.notified(event)
        elif isinstance(event, OpenReceived):
            self._learn_asn(peer.settings, event.asn)
        elif not peer.state_changed(event, self._reactor.seconds(), self._exabgp.now):
            return
        self._send_changes(peer)
        self._changed()

    def version_changed(self) -> None:
        """Warn if this version does not enforce an option."""
        if warning := config.ttl_security_warning(self._settings, self.version):
            self._log.warn("{text}", text=warning, system="bgp")

    def heartbeat(self) -> None:
        """Check for overdue updates and for missing sessions."""
        seconds = self._reactor.seconds()
        for peer in self._peers.values():
            peer.adj.verify(self._exabgp.now)
            if peer.adj.stuck:
                self._exabgp.restart(f"a withdrawal was not sent to peer {peer.settings.address}")
        if any(peer.established for peer in self._peers.values()):
            self._last_up, self._quiet = seconds, False
        elif self._configured and seconds - max(self._last_up, self._exabgp.since) > NO_SESSION_SECONDS:
            self._quiet = True
            self._exabgp.restart(f"no session for {NO_SESSION_SECONDS:g} s", soon=True)
        self.window_opened()

    def window_opened(self) -> None:
        """Send pending changes of all peers."""
        for peer in self._peers.values():
            self._send_changes(peer)

    def exabgp_ended(self, reason: str, output: str) -> bool:
        """Record the end of ExaBGP; return whether the next start is the remedy."""
        for peer in self._peers.values():
            peer.exabgp_ended(reason, self._reactor.seconds())
        self._changed()
        if _NO_AUTO not in output or self._asns:
            return False
        self._log.warn(
            "This exabgp version cannot detect a peer's AS number; guessing it, then restarting exabgp with the number of the "
            "peer's OPEN message (set bgp-peer-asn to avoid this)",
            system="bgp",
        )
        self._asns = {peer.address: peer.local_asn for peer in self._settings.peers if peer.peer_asn is None}
        return True

    def _learn_asn(self, peer: PeerSettings, asn: int) -> None:
        """Restart ExaBGP with the AS number of the peer's OPEN message, if it was guessed wrong."""
        if self._asns.get(peer.address, asn) == asn:
            return
        self._asns[peer.address] = asn
        self._exabgp.restart(f"peer {peer.address} has AS number {asn}", soon=True)

    def _send_changes(self, peer: Peer) -> None:
        repaired = []
        for change in peer.adj.due(self._exabgp.now, self._exabgp.spare):
            self._exabgp.command(_command(peer.settings, change), partial(self._refused, peer, change))
            repaired += [change.prefix] if change.repair else []
        if repaired:
            self._log.warn(
                "Peer {peer}: update for {repaired} was not sent in time; re-announcing",
                peer=peer.settings.address,
                repaired=_summary(repaired),
                system="bgp",
            )

    def _refused(self, peer: Peer, change: RouteChange) -> None:
        self._log.error(
            "Peer {peer}: exabgp refused to {verb} {prefix}",
            verb="withdraw" if change.new is None else "announce",
            prefix=change.prefix,
            peer=peer.settings.address,
            system="bgp",
        )
        peer.adj.refuse(change)
        self._changed()


def _command(peer: PeerSettings, change: RouteChange) -> bytes:
    if change.new is not None:
        return config.announce(peer, change.new)
    assert change.old is not None  # noqa: S101  # every change has one of both
    return config.withdraw(peer, change.old)


def _listening(settings: BGPSettings) -> set[tuple[Address, int]]:
    return {(ip, settings.local_port) for ip in settings.local_ips}


def _check_listening(places: Iterable[tuple[Address, int]]) -> None:
    for ip, port in places:
        try:
            check_listen(ip, port)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            raise SpeakerError(f"cannot listen for BGP on {ip} port {port}: {error.strerror} ({name})") from error


def _of_process(settings: BGPSettings) -> tuple[object, ...]:
    """Return the settings that ExaBGP and its relay read at their start only."""
    return _listening(settings), settings.dead_after


def _summary(prefixes: Iterable[object]) -> str:
    """Return the first prefix and the number of the others."""
    first, *others = map(str, prefixes)
    return f"{first} and {len(others)} more" if others else first
