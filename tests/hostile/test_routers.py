"""Routers that mean harm: the session with another router stays, and keeps its routes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import ExitStack
from random import Random
from typing import Any, cast

import pytest

from tests.harness.attacked_balancer import AttackedBalancer
from tests.harness.bgp.hostile_router import (
    ASN,
    KEEPALIVE,
    REFRESH,
    attributes,
    capability,
    ending,
    flooding,
    message,
    notification,
    opened,
    parameter,
    peaceful,
    prefixes,
    session,
    update,
)
from tests.harness.hostile_peers import Conversation, HostilePeer, silent
from tests.harness.hostile_server import drip, flood

BGP = 179
CONNECTED = 3

LONG_PATH = attributes(tuple([ASN] * 255))
COMMUNITIES = b"\xd0\x08" + struct.pack("!H", 3000) + bytes(3000)
FLOODS: Mapping[str, Conversation] = {
    "updates": flooding(update(prefixes(0, 700), attributes())),
    "updates-of-one": flooding(update(prefixes(0, 1), attributes())),
    "long-paths": flooding(update(prefixes(0, 400), LONG_PATH)),
    "communities": flooding(update(prefixes(0, 100), attributes(more=COMMUNITIES))),
    "unknown-attributes": flooding(
        update(prefixes(0, 1), attributes(more=b"".join(b"\xc0%c\0" % n for n in range(100, 250))))
    ),
    "withdrawals": flooding(update(b"", withdrawn=prefixes(0, 700))),
    "keepalives": flooding(KEEPALIVE),
    "refreshes": flooding(REFRESH),
    "end-of-rib": flooding(update(b"")),
}
SESSIONS: Mapping[str, Conversation] = {
    "silent": silent,
    "hangs-after-open": session(silent),
    "resets": ending(b"", reset=True),
    "ceases": ending(notification(6, 2, b"\x80" + b"\x1b]0;owned\x07\x1b[2J" * 9)),
    "notifications": flood(b"", notification(6, 4), asked=False),
    "invalid-text": ending(notification(6, 2, b"\xff" * 200)),
    "unknown-notification": ending(notification(255, 255, bytes(4000))),
    "other-asn": flood(opened(asn=1), KEEPALIVE, asked=False),
    "no-capability": session(silent, opened(capabilities=b"")),
    "many-capabilities": session(silent, opened(capabilities=parameter(capability(99) * 120))),
    "other-family": session(silent, opened(capabilities=parameter(capability(1, b"\0\2\0\1")))),
    "short-capability": session(silent, opened(capabilities=parameter(capability(65, b"\0")))),
    "wrong-length": session(silent, opened(capabilities=b"\2\xff\1\4")),
    "version": session(silent, opened(version=9)),
    "hold-time": session(silent, opened(hold=1)),
    "short-hold": session(silent, opened(hold=3)),
    "own-router-id": session(silent, opened(router="10.9.0.1")),
    "garbage": flood(b"", Random(1).randbytes(65536), asked=False),
    "marker": flood(b"", bytes(19), asked=False),
    "length": flood(b"", b"\xff" * 16 + b"\xff\xff\2" + bytes(65516), asked=False),
    "drip": drip(opened()[:20], b"\0"),
    "unknown-message": ending(message(9, bytes(1000))),
    "malformed-update": ending(update(prefixes(0, 1), b"\x40\1\xff")),
    "same-attributes": ending(update(prefixes(0, 1), attributes() + attributes())),
    "loop": ending(update(prefixes(0, 1), attributes((64600,) * 10))),
}


def states(balancer: AttackedBalancer) -> dict[str, str]:
    """Return the state of each session."""
    document = cast("dict[str, Any] | None", balancer.process.get_json("/v1/bgp")) or {}
    return {peer["peer"]: peer["state"] for peer in document.get("peers", ())}


def sections(peers: Mapping[str, HostilePeer]) -> str:
    return "".join(f"[bgp {name}]\nbgp-peer-address = {peer.host}\n" for name, peer in peers.items())


def routers(stack: ExitStack, talks: Mapping[str, Conversation]) -> dict[str, HostilePeer]:
    healed = session(peaceful)
    return {
        name: stack.enter_context(HostilePeer(f"127.0.1.{number + 1}", BGP, talk, healed))
        for number, (name, talk) in enumerate(talks.items())
    }


@pytest.mark.parametrize("name", FLOODS)
def test_flood_of_a_router_leaves_the_routes_of_others(balancer: AttackedBalancer, name: str) -> None:
    with ExitStack() as stack:
        peers = routers(stack, {name: FLOODS[name]})
        (peer,) = peers.values()
        with balancer.attack(f"flood of {name}"):
            balancer.reload(access=sections(peers))
            balancer.wait(lambda: peer.conversations, "a session")
            watch(balancer, 6.0)
            peer.behave()
            balancer.wait(lambda: states(balancer).get(peer.host) == "ESTABLISHED", "a session")
        balancer.wait_for_no_alert()


def watch(balancer: AttackedBalancer, seconds: float) -> None:
    """Let an attack last for these seconds of the daemon's time."""
    end = balancer.probe.now() + seconds
    balancer.wait(lambda: balancer.probe.now() > end, "the end")


def test_hostile_sessions_leave_the_routes_of_others(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        peers = routers(stack, SESSIONS)
        with balancer.attack("sessions"):
            balancer.reload(access=sections(peers))
            balancer.wait(lambda: all(peer.conversations for peer in peers.values()), "connections")
            watch(balancer, 15.0)
            for path in ("/v1/bgp", "/v1/alerts", "/metrics"):
                assert all(line.isprintable() for line in balancer.process.get(path).replace("\t", "").splitlines())
            for peer in peers.values():
                peer.behave()
            hosts = {peer.host for peer in peers.values()}
            balancer.wait(lambda: established(balancer) >= hosts, f"sessions: {states(balancer)}")
        balancer.wait_for_no_alert()
    assert all(line.isprintable() for line in balancer.process.log.replace("\t", "").splitlines())


def established(balancer: AttackedBalancer) -> set[str]:
    return {peer for peer, state in states(balancer).items() if state == "ESTABLISHED"}
