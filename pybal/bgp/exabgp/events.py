"""ExaBGP's output lines as typed events. Pure; no line raises.

ExaBGP writes one JSON object per line for each event, ``done`` or ``error`` as the answer to each command, and its version.
The relay adds lines that begin with ``!``. Written for 4.2.21 to 5.0.15; unknown fields and types are ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from pybal.bgp.model import Announcement, Prefix, SessionState
from pybal.bgp.notification import describe
from pybal.core.model import Address
from pybal.core.text import printable

LONGEST_LINE = 1 << 17
"""Bytes kept of each line: 4,000 prefixes in one update."""

HELLO, BEAT = b"!hello", b"!beat"
"""The relay's first line, and the heartbeat, which the relay echoes."""

_DONE = {b"done", b'{ "answer": "done" }', b'{"answer": "done"}'}
_ERROR = (b"error", b'{ "answer": "error', b'{"answer": "error')
_REMARKS = {b"shutdown in progress", b"reload in progress"}
_GRACEFUL_SHUTDOWN = [65535, 0]
_ADDRESS_BITS = {4: 32, 6: 128}
_REASON_SHOWN = 300
_UNDECODED = b'can not decode update message of type "3"'
"""ExaBGP 4 sends this after a NOTIFICATION that it cannot decode: one with a text for operators."""
_UNDECODED_TEXT = "notification 6/2 or 6/4, cease: administrative shutdown or reset (exabgp 4 cannot decode its text)"
_VERSIONS = {"ipv4/unicast": 4, "ipv6/unicast": 6}


@dataclass(frozen=True, slots=True)
class RelayConnected:
    """The relay is connected."""


@dataclass(frozen=True, slots=True)
class HeartbeatEchoed:
    """The relay returned a heartbeat."""


@dataclass(frozen=True, slots=True)
class Answered:
    """ExaBGP accepted or refused a command; answers arrive in the order of the commands."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class VersionReported:
    """ExaBGP reported its version, e.g. ``5.0.15``."""

    version: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A session entered a state. ``reason`` is set if the session ended."""

    peer: Address
    state: SessionState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenReceived:
    """The peer sent its OPEN message, with its AS number and the IP versions of its unicast families."""

    peer: Address
    asn: int
    families: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Notified:
    """A NOTIFICATION ended the session; ``text`` has the RFCs' names of its codes."""

    peer: Address
    received: bool
    text: str


@dataclass(frozen=True, slots=True)
class UpdateSent:
    """ExaBGP sent an UPDATE to the peer."""

    peer: Address
    announced: tuple[Announcement, ...]
    withdrawn: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """An unrecognised line; its first bytes."""

    line: bytes


Event = (
    RelayConnected
    | HeartbeatEchoed
    | Answered
    | VersionReported
    | StateChanged
    | OpenReceived
    | Notified
    | UpdateSent
    | Unrecognised
)


def read(line: bytes) -> Event | None:
    """Return the event of a line, or ``None`` for a line without one."""
    line = line.strip()
    if not line or line in _REMARKS:
        return None
    if line in _DONE:
        return Answered(accepted=True)
    if line.startswith(_ERROR):
        return Answered(accepted=False)
    if line.startswith(b"!"):
        return (
            RelayConnected()
            if line.startswith(HELLO)
            else HeartbeatEchoed()
            if line.startswith(BEAT)
            else Unrecognised(line[:200])
        )
    if line.startswith(b"exabgp "):
        return VersionReported(line[7:47].decode("ascii", "replace"))
    try:
        # ExaBGP 5.0 writes an AS number that is still unknown as Python's None, which is not JSON.
        return _json_event(json.loads(line.replace(b'"peer": None', b'"peer": null')))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError):
        return Unrecognised(line[:200])


def _json_event(message: Any) -> Event | None:  # noqa: ANN401  # any JSON value
    kind, neighbor = message["type"], message.get("neighbor")
    if kind not in _KINDS or not isinstance(neighbor, dict):
        return None
    return _KINDS[kind](ip_address(neighbor["address"]["peer"]), neighbor)


def _fsm(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    state = SessionState(str(neighbor["state"]).upper())
    # Wait for "state up", which follows immediately: ExaBGP sends no UPDATE before it.
    return None if state is SessionState.ESTABLISHED else StateChanged(peer, state)


def _state(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    if neighbor["state"] == "up":
        return StateChanged(peer, SessionState.ESTABLISHED)
    if neighbor["state"] == "down":
        reason = printable(str(neighbor.get("reason", ""))[:_REASON_SHOWN])  # may hold the peer's own words (RFC 8203)
        return StateChanged(peer, SessionState.IDLE, reason or "no reason given")
    return None


def _open(peer: Address, neighbor: dict[str, Any]) -> Event | None:
    if neighbor.get("direction") != "receive":
        return None
    message = neighbor["open"]
    capabilities = message.get("capabilities", {})
    # RFC 6793: an AS number of 4 bytes is in a capability; the field of 2 bytes holds 23456 then.
    four = capabilities.get("65", {}).get("asn4", message["asn"])
    # RFC 4760. To a peer without this capability ExaBGP sends no route at all.
    families = capabilities.get("1", {}).get("families", [])
    return OpenReceived(peer, int(four), frozenset(_VERSIONS[name] for name in families if name in _VERSIONS))


def _notification(peer: Address, neighbor: dict[str, Any]) -> Event:
    message = neighbor["notification"]
    code, subcode, received = int(message["code"]), int(message["subcode"]), neighbor.get("direction") == "receive"
    data = bytes.fromhex(message.get("data", "").removeprefix("0x"))
    if not received and data == _UNDECODED:
        return Notified(peer, received=True, text=_UNDECODED_TEXT)
    return Notified(peer, received, describe(code, subcode, data))


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
    return UpdateSent(
        peer,
        tuple(
            Announcement(prefix.network_address, med, graceful_shutdown)
            for prefix in announced
            if prefix.prefixlen == _ADDRESS_BITS[prefix.version]
        ),
        tuple(withdrawn),
    )


def _prefix(entry: Any) -> Prefix:  # noqa: ANN401  # any JSON value
    return _network(entry["nlri"] if isinstance(entry, dict) else entry)


# Our own VIPs, again and again: to parse 4,000 of them takes 50 ms.
_network = lru_cache(maxsize=8192)(ip_network)


_KINDS = {"fsm": _fsm, "state": _state, "open": _open, "notification": _notification, "update": _update}
