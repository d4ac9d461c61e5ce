"""ExaBGP's configuration file, environment and commands, rendered from the settings. Pure.

The grammar is the one that 4.2.21 to 5.0 share. It has no quoting: values that it cannot express are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pybal.bgp.model import Announcement
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.core.model import Address
from pybal.runtime import child

PROCESS = "pybal"
GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326."""

_API = (
    f"api {{ processes [ {PROCESS} ]; neighbor-changes; fsm; "
    "send { parsed; update; notification; } receive { parsed; notification; open; } }"
)
_WORD = re.compile(r"[^\s;{}\"'\[\]\\#]+")
PASSWORD = re.compile(r"[\x21\x23-\x3a\x3c-\x5b\x5d-\x7a\x7c\x7e]{1,80}")
_COMMUNITY = re.compile(r"[0-9]+(:[0-9]+){1,2}")


_TTL_SINCE = (5, 0, 14)
"""The first version that checks the TTL of received packets."""


class UnsupportedValueError(ValueError):
    """A value that ExaBGP's configuration cannot express; the text never contains a password."""


def configuration(
    settings: BGPSettings,
    run: Sequence[str],
    passwords: Mapping[Address, str],
    asns: Mapping[Address, int],
) -> str:
    """Return exabgp.conf. ``run`` is the relay's command; raises :class:`UnsupportedValueError`.

    ``asns`` holds AS numbers for peers whose settings have none. A peer without either gets ``auto``, the number of its
    OPEN message, which ExaBGP 4 does not support.
    """
    for word in run:
        if not _WORD.fullmatch(word):
            raise UnsupportedValueError(
                f"exabgp cannot run {word!r}, wanted a path without blanks, quotes and ; {{ }} [ ] # \\"
            )
    parts = [f"process {PROCESS} {{\n    run {' '.join(run)};\n    encoder json;\n}}\n"]
    for peer in settings.peers:
        options = _neighbor(peer, settings, passwords.get(peer.address, ""), asns.get(peer.address))
        parts.append(f"neighbor {peer.address} {{\n" + "".join(f"    {option}\n" for option in options) + "}\n")
    return "\n".join(parts)


def _neighbor(peer: PeerSettings, settings: BGPSettings, password: str, asn: int | None) -> list[str]:
    for value in (*peer.communities, *peer.large_communities):
        if not _COMMUNITY.fullmatch(value):
            raise UnsupportedValueError(
                f"peer {peer.address}: invalid community {value!r}, wanted numbers joined by colons"
            )
    local = local_address(peer, settings)
    options = [
        f"router-id {_router_id(peer, settings)};",
        # With the unspecified address the kernel chooses, in 4.2 and 5.0; "auto" fails with MD5 in both.
        f"local-address {local or ('0.0.0.0' if peer.address.version == 4 else '::')};",  # noqa: S104, PLR2004  # connects from there
        f"local-as {peer.local_asn};",
        f"peer-as {peer.peer_asn or asn or 'auto'};",
        f"hold-time {peer.hold_time};",
        "adj-rib-in false;",
        "group-updates true;",
    ]
    if local is not None and local in settings.local_ips:
        # The socket is the one of tcp.bind; this option sets the peer's MD5 key on it.
        options.append(f"listen {settings.local_port};")
    if password:
        if not PASSWORD.fullmatch(password):
            raise UnsupportedValueError(
                f"peer {peer.address}: invalid MD5 password, "
                'wanted 1 to 80 characters of printable ASCII without blanks and " ; { } \\'
            )
        options.append(f'md5-password "{password}";')
    if peer.ttl_security:
        options += ["outgoing-ttl 255;", "incoming-ttl 255;"]
    elif peer.multihop:
        options.append(f"outgoing-ttl {peer.multihop};")
    return [
        *options,
        # With graceful restart the peers would keep the routes of a dead balancer.
        "capability { asn4 enable; route-refresh enable; graceful-restart disable; }",
        "family { " + " ".join(f"ipv{version} unicast;" for version in peer.families) + " }",
        _API,
    ]


def local_address(peer: PeerSettings, settings: BGPSettings) -> Address | None:
    """Return the local address of a session, or ``None`` for the kernel's choice.

    If the daemon listens on a single address of the family, it is that one: ExaBGP accepts a peer's connection only for a
    session with the address that the connection was made to.
    """
    listening = [ip for ip in settings.local_ips if ip.version == peer.address.version]
    return peer.local_address or (listening[0] if len(listening) == 1 else None)


def _router_id(peer: PeerSettings, settings: BGPSettings) -> Address:
    for address in (peer.router_id, peer.local_address, *settings.local_ips, peer.nexthop_ipv4):
        if address is not None and address.version == 4:  # noqa: PLR2004  # RFC 4271: a router ID has the form of an IPv4 address
            return address
    raise UnsupportedValueError(
        f"peer {peer.address}: no router ID (set bgp-router-id, or an IPv4 local address or next hop)"
    )


def ttl_security_warning(settings: BGPSettings, version: str) -> str:
    """Return a warning if this ExaBGP version does not enforce ``bgp-ttl-security``, else an empty text."""
    peers = [str(peer.address) for peer in settings.peers if peer.ttl_security]
    number = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if not peers or not number or tuple(map(int, number.groups())) >= _TTL_SINCE:
        return ""
    return (
        f"exabgp {version} does not check the TTL of received packets: bgp-ttl-security protects only the remote end of "
        f"peer {', '.join(peers)} (upgrade exabgp to {'.'.join(map(str, _TTL_SINCE))} or later)"
    )


def environment(settings: BGPSettings, user: str) -> dict[str, str]:
    """Return ExaBGP's complete environment: it inherits no variable and reads no settings file."""
    options = {
        # Keep the privileges: dropping them clears the parent-death signal (prctl(2), PR_SET_PDEATHSIG).
        "daemon.user": user,
        "daemon.drop": "false",
        "daemon.daemonize": "false",
        "daemon.pid": "",
        "daemon.umask": "0o077",
        "log.enable": "true",
        "log.destination": "stdout",
        "log.level": "WARNING",
        "log.short": "true",
        "api.cli": "false",
        "api.ack": "true",
        # If the relay is killed while the daemon hangs, the next relay misses the heartbeats and closes the sessions.
        "api.respawn": "true",
        "api.terminate": "true",
        "api.encoder": "json",
        "tcp.bind": " ".join(map(str, settings.local_ips)),
        "tcp.port": str(settings.local_port),
        "tcp.once": "false",
        "tcp.delay": "0",
        "reactor.speed": "10",
    }
    return child.environment(
        EXABGP_ENVFILE="/nonexistent", **{f"exabgp.{name}": value for name, value in options.items()}
    )


def next_hop(peer: PeerSettings, announcement: Announcement) -> Address | None:
    """Return a peer's next hop for a VIP; ``None`` if its family has no next hop."""
    return peer.nexthop_ipv4 if announcement.vip.version == 4 else peer.nexthop_ipv6  # noqa: PLR2004


def announce(peer: PeerSettings, announcement: Announcement) -> bytes:
    """Return the command to announce to one peer."""
    words = [_route(peer, "announce", announcement)]
    # Without a path ExaBGP sends our own number over eBGP, and an empty path over iBGP.
    if peer.as_path and peer.as_path != (peer.local_asn,):
        words.append(f"as-path [ {' '.join(map(str, peer.as_path))} ]")
    communities = dict.fromkeys([*peer.communities, *([GRACEFUL_SHUTDOWN] if announcement.graceful_shutdown else [])])
    for name, values in ("community", communities), ("large-community", peer.large_communities):
        if values:
            words.append(f"{name} [ {' '.join(values)} ]")
    return " ".join(words).encode("ascii")


def withdraw(peer: PeerSettings, announcement: Announcement) -> bytes:
    """Return the command to withdraw from one peer."""
    return _route(peer, "withdraw", announcement).encode("ascii")


def probe(peer: Address) -> bytes:
    """Return a command that ExaBGP refuses unless it has the peer; for a session that is about to end."""
    return f"neighbor {peer} announce eor ipv4 unicast".encode("ascii")


def _route(peer: PeerSettings, verb: str, announcement: Announcement) -> str:
    hop = next_hop(peer, announcement)
    return f"neighbor {peer.address} {verb} route {announcement.prefix} next-hop {hop} med {announcement.med}"
