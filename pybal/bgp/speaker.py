"""The speaker: has ExaBGP hold the sessions, and every peer hold exactly what is announced.

What is inside ExaBGP at any time, and why, is :mod:`pybal.bgp.adj_rib_out`; how it is kept running, :mod:`pybal.bgp.exabgp.process`.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.logger import Logger

from pybal.bgp.adj_rib_out import RouteChange
from pybal.bgp.exabgp import config
from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.events import Entered, Event, Notified, Opened, Sent
from pybal.bgp.exabgp.process import ChildProcess, ExaBGP, user
from pybal.bgp.model import Announcement, Session
from pybal.bgp.peer import Peer
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.core.model import Address, Alert

ALONE_SECONDS = 15.0
"""Without any session for this long ExaBGP is begun anew: its own pauses grow to a minute, and nothing is lost."""

_NO_AUTO = "missing peer-as"
"""What ExaBGP 4 says of ``peer-as auto``."""


class SpeakerError(Exception):
    """The speaker cannot start; the text says why, for the operator."""


class Speaker:
    """Announces to all peers of the settings.

    ``directory`` is for the socket and the configuration file: ours, mode 0700, made if it is not there. ``changed`` is called
    after each change of a session's state and of what is on the wire. ``spawn`` begins a child.
    """

    _log = Logger()

    def __init__(
        self,
        settings: BGPSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        directory: Path,
        random: Random,
        changed: Callable[[], None],
        python: str = sys.executable,
        spawn: Callable[..., ChildProcess] = Child,
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._changed = changed
        self._exabgp = ExaBGP(self, reactor=reactor, directory=directory, random=random, python=python, spawn=spawn)
        self._goal: tuple[Announcement, ...] = ()
        self._peers = {peer.address: Peer(peer, reactor.seconds()) for peer in settings.peers}
        self._passwords: dict[Address, str] = {}
        self._asns: dict[Address, int] = {}
        self._user = ""
        self._last_up = 0.0
        self._quiet = False

    @property
    def restarts(self) -> int:
        """How often ExaBGP was begun again."""
        return self._exabgp.restarts

    @property
    def version(self) -> str:
        """ExaBGP's version, empty until it has said it."""
        return self._exabgp.version

    def start(self) -> None:
        """Begin. Raises :class:`SpeakerError`; nothing was started then."""
        try:
            self._user = user()
        except KeyError:
            raise SpeakerError(f"exabgp wants a user with a name, and user {os.geteuid()} has none") from None
        self._keep_secret(_passwords(self._settings))
        for ip in self._settings.local_ips:
            _listenable(ip, self._settings.local_port)
        try:
            self._text()
            self._exabgp.start()
        except (OSError, config.UnfitError) as error:
            raise SpeakerError(f"cannot prepare exabgp: {error}") from error

    async def stop(self) -> None:
        """Withdraw all by closing the sessions, and return when ExaBGP is gone."""
        for peer in self._peers.values():
            peer.ending = True
        await self._exabgp.stop()

    def announce(self, announcements: Iterable[Announcement]) -> None:
        """Set the goal, which replaces the former: the VIPs that the peers are to hold."""
        self._goal = tuple(announcements)
        for peer in self._peers.values():
            peer.want(self._goal)
        self.room()

    def check(self, settings: BGPSettings) -> None:
        """Raise :class:`SpeakerError` unless :meth:`reconfigure` can be done."""
        for ip, port in _listening(settings) - _listening(self._settings):
            _listenable(ip, port)
        try:
            config.configuration(settings, self._exabgp.relay, _passwords(settings), self._asns)
        except config.UnfitError as error:
            raise SpeakerError(f"cannot prepare exabgp: {error}") from error

    def reconfigure(self, settings: BGPSettings) -> None:
        """Have the sessions of other settings.

        Peers may come and go, and the sessions of the others stay up. If a peer itself changes, or where we listen, ExaBGP
        and all sessions begin anew: it has no command for that.
        """
        passwords = _passwords(settings)
        before = {peer.address: (peer, self._passwords.get(peer.address)) for peer in self._settings.peers}
        after = {peer.address: (peer, passwords.get(peer.address)) for peer in settings.peers}
        anew = _listening(settings) != _listening(self._settings) or any(
            before[address] != after[address] for address in before.keys() & after.keys()
        )
        come = [peer for peer in settings.peers if peer.address not in before]
        # One that must be told the number of each peer would refuse the whole file.
        anew = anew or (self.version.startswith("4") and any(peer.peer_asn is None for peer in come))
        self._settings = settings
        self._keep_secret(passwords)
        self._peers = {
            address: self._peers[address] if before.get(address) == after[address] else self._newcomer(peer)
            for address, (peer, _) in after.items()
        }
        self._asns = {address: asn for address, asn in self._asns.items() if address in after}
        if anew:
            self._exabgp.restart("its peers have changed", soon=True)
        elif before.keys() != after.keys():
            self._exabgp.reload()

    def _newcomer(self, settings: PeerSettings) -> Peer:
        peer = Peer(settings, self._reactor.seconds())
        peer.want(self._goal)
        return peer

    def sessions(self) -> Iterator[Session]:
        """Yield how it stands with each peer, in the order of the settings."""
        for peer in self._peers.values():
            yield peer.session()

    def alerts(self) -> Iterator[Alert]:
        """Yield what an operator should know."""
        if self._exabgp.reason:
            yield Alert("", "bgp", f"exabgp does not run: {self._exabgp.reason}")
        if unheeded := config.unheeded(self._settings, self.version):
            yield Alert("", "bgp", unheeded)
        for address, peer in self._peers.items():
            adj = peer.adj
            if not peer.established:
                age = self._reactor.seconds() - peer.since
                why = peer.last_error or "it has taken no connection yet"  # of refusals ExaBGP says nothing
                yield Alert("", "bgp", f"session with peer {address} is {peer.state}, for {age:.0f} s: {why}")
            if adj.refused:
                yield Alert("", "bgp", f"exabgp refused {_some(adj.refused)} for peer {address}")
            if adj.attempts:
                yield Alert(
                    "", "bgp", f"peer {address} was not sent what is wanted of {_some(adj.attempts)}; told again"
                )

    # -- for ExaBGP

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        log = self._log.debug if self._quiet else self._log.info
        for address in self._peers:
            log("Starting BGP session with peer {peer}", peer=address, system=f"bgp peer@{address}")
        return self._text(), config.environment(self._settings, self._user)

    def _keep_secret(self, passwords: dict[Address, str]) -> None:
        self._passwords = passwords
        self._exabgp.secrets = tuple(passwords.values())

    def _text(self) -> str:
        return config.configuration(self._settings, self._exabgp.relay, self._passwords, self._asns)

    def happened(self, event: Event) -> None:
        """Take an event of a session."""
        if not isinstance(event, Entered | Notified | Opened | Sent):
            return
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        if isinstance(event, Sent):
            for prefix in event.withdrawn:
                peer.adj.withdrawn(prefix)
            for announcement in event.announced:
                peer.adj.announced(announcement)
        elif isinstance(event, Notified):
            peer.notified(event)
        elif isinstance(event, Opened):
            self._learn(peer.settings, event.asn)
        elif not peer.entered(event, self._reactor.seconds(), self._exabgp.now):
            return
        self._tell(peer)
        self._changed()

    def versioned(self) -> None:
        """Say what this version leaves out."""
        if unheeded := config.unheeded(self._settings, self.version):
            self._log.warn("{text}", text=unheeded, system="bgp")

    def beat(self) -> None:
        """Look after what is late."""
        seconds = self._reactor.seconds()
        for peer in self._peers.values():
            peer.adj.verify(self._exabgp.now)
            if peer.adj.hopeless:
                self._exabgp.restart(f"it does not withdraw what peer {peer.settings.address} must not hold")
        if any(peer.established for peer in self._peers.values()):
            self._last_up, self._quiet = seconds, False
        elif seconds - max(self._last_up, self._exabgp.greeted_at) > ALONE_SECONDS:
            self._quiet = True
            self._exabgp.restart(f"no session for {ALONE_SECONDS:g} s", soon=True)
        self.room()

    def room(self) -> None:
        """Tell what there is to tell."""
        for peer in self._peers.values():
            self._tell(peer)

    def ended(self, reason: str, said: str) -> bool:
        for peer in self._peers.values():
            peer.exabgp_ended(reason, self._reactor.seconds())
        self._changed()
        if _NO_AUTO not in said or self._asns:
            return False
        self._log.warn(
            "this exabgp cannot take the number of a peer's autonomous system from the peer; it is guessed, refused once, "
            "and learned. Better name it with bgp-peer-asn",
            system="bgp",
        )
        self._asns = {peer.address: peer.local_asn for peer in self._settings.peers if peer.peer_asn is None}
        return True

    def _learn(self, peer: PeerSettings, asn: int) -> None:
        """Take the peer's word for its number where ExaBGP could not."""
        if self._asns.get(peer.address, asn) == asn:
            return
        self._asns[peer.address] = asn
        self._exabgp.restart(f"peer {peer.address} is of AS {asn}", soon=True)

    def _tell(self, peer: Peer) -> None:
        repaired = []
        for change in peer.adj.due(self._exabgp.now, self._exabgp.spare):
            self._exabgp.command(_command(peer.settings, change), partial(self._refused, peer, change))
            repaired += [change.prefix] if change.repair else []
        if repaired:
            self._log.warn(
                "Peer {peer} was not sent what is wanted of {repaired}; telling exabgp again",
                peer=peer.settings.address,
                repaired=_some(repaired),
                system="bgp",
            )

    def _refused(self, peer: Peer, change: RouteChange) -> None:
        self._log.error(
            "exabgp refused to {verb} {prefix} for peer {peer}",
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
    assert change.old is not None  # noqa: S101  # one of them is there
    return config.withdraw(peer, change.old)


def _listening(settings: BGPSettings) -> set[tuple[Address, int]]:
    return {(ip, settings.local_port) for ip in settings.local_ips}


def _passwords(settings: BGPSettings) -> dict[Address, str]:
    return {peer.address: _password(peer) for peer in settings.peers if peer.md5_password_file}


def _password(peer: PeerSettings) -> str:
    """Return the first line of the file; an error names the file, never what it holds."""
    try:
        with Path(peer.md5_password_file).open(encoding="ascii") as file:
            return file.readline().strip() or _unusable(peer, "an empty first line, wanted a password")
    except OSError as error:
        return _unusable(peer, str(error.strerror))
    except UnicodeDecodeError:
        return _unusable(peer, "not ASCII")


def _unusable(peer: PeerSettings, why: str) -> str:
    raise SpeakerError(f"MD5 password of peer {peer.address}, {peer.md5_password_file}: {why}")


def _listenable(ip: Address, port: int) -> None:
    """Raise :class:`SpeakerError` unless ExaBGP will be able to listen there."""
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((str(ip), port))
            probe.listen()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            raise SpeakerError(f"cannot listen for BGP on {ip} port {port}: {error.strerror} ({name})") from error


def _some(prefixes: Iterable[object]) -> str:
    """Return the first of them, and how many more there are."""
    first, *others = map(str, prefixes)
    return f"{first} and {len(others)} more" if others else first
