"""The speaker: holds the sessions through ExaBGP, and brings the routes of each peer to the goal.

:mod:`pybal.bgp.adj_rib_out` orders the commands to ExaBGP, :mod:`pybal.bgp.exabgp.process` keeps it running.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pybal.bgp.adj_rib_out import RouteChange
from pybal.bgp.exabgp import arguments, config
from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.events import Event, Notified, OpenReceived, StateChanged, UpdateSent
from pybal.bgp.exabgp.process import ExaBGP, State
from pybal.bgp.exabgp.run import ChildProcess
from pybal.bgp.listen import check_listen
from pybal.bgp.model import Announcement, Session, why_down
from pybal.bgp.passwords import Passwords
from pybal.bgp.peer import Peer
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.core.model import Address, Alert, Severity
from pybal.core.text import format_age
from pybal.runtime.reactor import HeartbeatReactor
from pybal.runtime.workers import Threads, Workers

PASSWORD_SECONDS = 2.0
"""Time for the first read of the password files; then ExaBGP starts with the other peers."""
PASSWORD_THREADS = 4
RELOAD_BEATS = 10
"""Heartbeats, of 0.5 s, for ExaBGP to apply a reload before it is restarted."""
NO_SESSION_SECONDS = 15.0
"""Time without a session after which ExaBGP is restarted: its own pauses grow to 60 s."""

_NO_AUTO = "missing peer-as"
"""ExaBGP 4's error for ``peer-as auto``."""


_Configured = Mapping[Address, tuple[PeerSettings, str]]


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
        self._configured: _Configured = {}
        """The peers of ExaBGP's configuration, with their passwords."""
        self._leaving: dict[Address, int] = {}
        """The peers that ExaBGP must remove before it may add them, with the heartbeats since the reload."""
        self._arriving: dict[Address, int] = {}
        """The peers that a reload added and that had no event since, with the heartbeats since the reload."""
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

    def changed_passwords(self) -> Deferred[frozenset[Address]]:
        """Return the peers whose password file has changed since it was read."""
        return self._passwords.changed()

    def reconfigure(self, settings: BGPSettings) -> None:
        """Apply other settings.

        Changing a peer's own options resets its session only; adding and removing peers affects no other session. Changing the
        listening addresses or ``dead_after`` restarts ExaBGP and resets every session: ExaBGP reads them at its start.
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
        """Bring ExaBGP's configuration up to date: by reloads, or if it takes that by a restart.

        A changed peer is removed by one reload and added by a second one, so that neither its session nor ExaBGP's routes
        of it survive: ExaBGP compares some options only, and keeps the routes of a peer that it resets.
        """
        before, after = self._configured, self._wanted_peers()
        changed = [address for address in before.keys() & after.keys() if before[address] != after[address]]
        if restart or self._needs_restart(before, after, changed):
            self._exabgp.restart("peers changed", soon=True)
            return
        for address in changed:
            self._log.info(
                "Peer {peer}: options or password changed; resetting its session", peer=address, system="bgp"
            )
            self._peers[address] = self._new_peer(after[address][0])
        self._leaving.update(dict.fromkeys((*changed, *(before.keys() - after.keys())), 0))
        wanted = self._wanted_peers().keys()
        if before.keys() != wanted:
            self._arriving = {address: 0 for address in wanted if address not in before or address in self._arriving}
            self._exabgp.reload()

    def _needs_restart(self, before: _Configured, after: _Configured, changed: Collection[Address]) -> bool:
        """Return whether ExaBGP cannot apply the difference by reloads."""
        added = after.keys() - (before.keys() - set(changed))
        # ExaBGP 4 would refuse the whole file for one peer without an AS number.
        unknown = any(after[address][0].peer_asn is None and address not in self._asns for address in added)
        # The keys of the listening sockets are those of its start.
        listening = {ip.version for ip in self._settings.local_ips}
        rekeyed = any(after[each][1] != before[each][1] and each.version in listening for each in changed)
        return rekeyed or (unknown and self.version.startswith("4"))

    def _await_reload(self) -> None:
        """Reload again, and in the end restart ExaBGP, until it has removed and added the peers.

        It answers a reload before it is done, and drops it while an update is pending for any peer, even one that is down.
        """
        for awaited in self._leaving, self._arriving:
            awaited.update({address: beats + 1 for address, beats in awaited.items()})
        for address in self._leaving:
            self._exabgp.command(config.probe(address), partial(self._removed, address))
        pending = {**self._leaving, **self._arriving}
        beats = max(pending.values(), default=0)
        if beats > RELOAD_BEATS:
            self._exabgp.restart(f"it did not reload the options of peer {_summary(pending)}", soon=True)
        elif beats and beats % 2 == 0:
            self._exabgp.reload()

    def _removed(self, address: Address) -> None:
        """Add the peer again, with its present options, if it is still wanted."""
        if self._leaving.pop(address, None) is not None:
            self._apply()

    def _wanted_peers(self) -> _Configured:
        """Return the peers that ExaBGP should have now, with their passwords."""
        known = self._passwords.known
        return {
            peer.address: (peer, known.get(peer.address, ""))
            for peer in self._settings.peers
            if not self._passwords.missing(peer) and peer.address not in self._leaving
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
            text = f"exabgp is not running for {format_age(age)}: {self._exabgp.reason}"
            yield Alert("", "bgp", text, severity=Severity.CRITICAL, subject="exabgp")
        if warning := config.ttl_security_warning(self._settings, self.version):
            yield Alert("", "bgp", warning, subject="ttl-security")
        yield from self._family_alerts()
        none = Severity.CRITICAL if not any(peer.established for peer in self._peers.values()) else Severity.WARNING
        for address, peer in self._peers.items():
            adj = peer.adj
            unreadable = self._passwords.problem(address)
            if unreadable and address in self._configured:
                yield Alert(
                    "", "bgp", f"peer {address}: {unreadable}; keeping the last password", subject=f"{address} password"
                )
            elif unreadable:
                yield Alert(
                    "",
                    "bgp",
                    f"BGP session with {address} down: {unreadable}; reading it again",
                    severity=none,
                    subject=str(address),
                )
            elif not peer.established:
                lasted, why = format_age(self._reactor.seconds() - peer.down_since), why_down(peer.last_error)
                text = f"BGP session with {address} down for {lasted} ({peer.state}): {why}"
                data = {"peer": str(address), "state": str(peer.state), "last_error": peer.last_error}
                yield Alert("", "bgp", text, severity=none, subject=str(address), since=peer.down_since, data=data)
            if adj.refused:
                yield Alert(
                    "",
                    "bgp",
                    f"peer {address}: exabgp refused to announce {_summary(adj.refused)}",
                    subject=f"{address} refused",
                )
            if adj.attempts:
                text = f"peer {address}: update for {_summary(adj.attempts)} was not sent in time; re-announcing"
                yield Alert("", "bgp", text, subject=f"{address} late")

    def _family_alerts(self) -> Iterator[Alert]:
        """Yield an alert for each family of VIPs that no session negotiated."""
        established = [peer for peer in self._peers.values() if peer.established]
        for version in sorted({announcement.vip.version for announcement in self._goal}):
            if established and not any(version in peer.families for peer in established):
                age = self._reactor.seconds() - min(peer.since for peer in established)
                text = (
                    f"IPv{version} VIPs are announced to no peer for {format_age(age)}: no session negotiated IPv{version} unicast "
                    "(enable the family on a router, and in bgp-families)"
                )
                yield Alert("", "bgp", text, subject=f"IPv{version}")

    # -- ExaBGPListener

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        """Return configuration file and environment for the next start, or for a reload."""
        log = self._log.debug if self._quiet else self._log.info
        known = self._configured
        if self._exabgp.state is not State.RUNNING:
            known = {}
            self._leaving.clear()
            self._arriving.clear()
        text = self._config_text()
        for address in (address for address in self._configured if address not in known):
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
        if peer is None or event.peer in self._leaving:
            return
        self._arriving.pop(event.peer, None)
        if isinstance(event, UpdateSent):
            for prefix in event.withdrawn:
                peer.adj.withdrawn(prefix)
            for announcement in event.announced:
                peer.adj.announced(announcement)
        elif isinstance(event, Notified):
            peer.notified(event)
        elif isinstance(event, OpenReceived):
            peer.opened(event.families)
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
        """Check for overdue updates, for missing sessions and for peers to reload."""
        self._await_reload()
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
