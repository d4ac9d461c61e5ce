"""What ExaBGP says, line by line, as typed events. Pure; nothing that it may say raises or ends anything.

ExaBGP writes, one a line: JSON objects for what happens, ``done`` and ``error`` as answers to commands, and its version. The
relay puts in lines of its own, which begin with ``!``. Seen from 4.2.21 and 5.0.15; unknown fields and kinds are passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from pybal.bgp.model import Announcement, Prefix, SessionState
from pybal.bgp.notification import words
from pybal.core.model import Address

LONGEST_LINE = 1 << 20
"""Bytes beyond which a line is not read: 1,000 prefixes in one update take 30 kB."""

HELLO, BEAT = b"!hello", b"!beat"
"""The relay's first line, and the heartbeat, which goes both ways."""

_DONE = {b"done", b'{ "answer": "done" }', b'{"answer": "done"}'}
_ERROR = (b"error", b'{ "answer": "error', b'{"answer": "error')
_REMARKS = {b"shutdown in progress", b"reload in progress"}
_GRACEFUL_SHUTDOWN = [65535, 0]
_ADDRESS_BITS = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Greeted:
    """The relay is there."""


@dataclass(frozen=True, slots=True)
class Beaten:
    """The relay answers to our heartbeat."""


@dataclass(frozen=True, slots=True)
class Answered:
    """ExaBGP took a command, or refused it; answers come in the order of the commands."""

    taken: bool


@dataclass(frozen=True, slots=True)
class Versioned:
    """ExaBGP names its version, e.g. ``5.0.15``."""

    version: str


@dataclass(frozen=True, slots=True)
class Entered:
    """A session is in another state. ``reason`` is why it fell, if that is so."""

    peer: Address
    state: SessionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer has said which number its autonomous system has."""

    peer: Address
    asn: int


@dataclass(frozen=True, slots=True)
class Notified:
    """A NOTIFICATION ended the session, with the RFCs' words for it."""

    peer: Address
    received: bool
    text: str


@dataclass(frozen=True, slots=True)
class Sent:
    """An UPDATE went to the peer."""

    peer: Address
    announced: tuple[Announcement, ...]
    withdrawn: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Strange:
    """A line of which we make nothing; its first bytes."""

    line: bytes


Event = Greeted | Beaten | Answered | Versioned | Entered | Opened | Notified | Sent | Strange


def read(line: bytes) -> Event | None:
    """Return what a line tells, or ``None`` if that is of no interest."""
    line = line.strip()
    if not line or line in _REMARKS:
        return None
    if line in _DONE:
        return Answered(taken=True)
    if line.startswith(_ERROR):
        return Answered(taken=False)
    if line.startswith(b"!"):
        return Greeted() if line.startswith(HELLO) else Beaten() if line.startswith(BEAT) else Strange(line[:200])
    if line.startswith(b"exabgp "):
        return Versioned(line[7:47].decode("ascii", "replace"))
    try:
        # A peer whose number is yet to be learned is Python's None to ExaBGP 5.0, which is no JSON.
        return _happened(json.loads(line.replace(b'"peer": None', b'"peer": null')))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return Strange(line[:200])


def _happened(said: Any) -> Event | None:  # noqa: ANN401  # whatever JSON holds
    kind, neighbor = said["type"], said.get("neighbor")
    if kind not in _KINDS or not isinstance(neighbor, dict):
        return None
    return _KINDS[kind](ip_address(neighbor["address"]["peer"]), neighbor)


def _fsm(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    state = SessionState(str(neighbor["state"]).upper())
    # "state up" follows at once, and counts: only then does ExaBGP send.
    return None if state is SessionState.ESTABLISHED else Entered(peer, state)


def _state(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    if neighbor["state"] == "up":
        return Entered(peer, SessionState.ESTABLISHED)
    if neighbor["state"] == "down":
        return Entered(peer, SessionState.IDLE, str(neighbor.get("reason", "")) or "no reason given")
    return None


def _open(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    if neighbor.get("direction") != "receive":
        return None
    said = neighbor["open"]
    # RFC 6793: who has a number of 4 bytes says so in a capability; the field of 2 bytes holds 23456 then.
    four = said.get("capabilities", {}).get("65", {}).get("asn4", said["asn"])
    return Opened(peer, int(four))


def _notification(peer: Address, neighbor: dict[str, Any]) -> Event:
    said = neighbor["notification"]
    return Notified(peer, neighbor.get("direction") == "receive", words(int(said["code"]), int(said["subcode"])))


def _update(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    if neighbor.get("direction") != "send":
        return None
    update = neighbor["message"].get("update", {})
    attributes = update.get("attribute", {})
    med = int(attributes.get("med", 0))
    graceful_shutdown = _GRACEFUL_SHUTDOWN in attributes.get("community", [])
    withdrawn = [_prefix(entry) for family in update.get("withdraw", {}).values() for entry in family]
    announced = [
        _prefix(entry)
        for family in update.get("announce", {}).values()
        for entries in family.values()
        for entry in entries
    ]
    if not (announced or withdrawn):
        return None
    return Sent(
        peer,
        tuple(
            Announcement(prefix.network_address, med, graceful_shutdown)
            for prefix in announced
            if prefix.prefixlen == _ADDRESS_BITS[prefix.version]
        ),
        tuple(withdrawn),
    )


def _prefix(entry: Any) -> Prefix:  # noqa: ANN401  # whatever JSON holds
    return ip_network(entry["nlri"] if isinstance(entry, dict) else entry)


_KINDS = {"fsm": _fsm, "state": _state, "open": _open, "notification": _notification, "update": _update}
