"""What ExaBGP 4.2.21 and 5.0.15 said to us, and what nobody should say."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.bgp.exabgp.events import (
    Answered,
    Beaten,
    Entered,
    Greeted,
    Notified,
    Opened,
    Sent,
    Strange,
    Versioned,
    read,
)
from pybal.bgp.model import Announcement, SessionState
from pybal.bgp.notification import words

Version = Callable[[bytes, bytes], bytes]
PEER = ip_address("10.92.1.1")
VIP = ip_address("10.200.0.1")

# Captured from the two versions with bird 2.0.12 as the router.
HEAD_5 = (
    b'{ "exabgp": "5.0.0", "time": 1795272243.1, "host" : "vm", "pid" : 18406, "ppid" : 18405, "counter": 7, "type": "%s", '
    b'"neighbor": { "address": { "local": "10.92.1.2", "peer": "10.92.1.1" }, '
    b'"asn": { "local": 64600, "peer": 4200000001 }, "router-id": "10.92.1.2" , '
)
HEAD_4 = (
    b'{ "exabgp": "4.0.1", "time": 1795272246.1, "host" : "vm", "pid" : 18624, "ppid" : 18623, "counter": 23, "type": "%s", '
    b'"neighbor": { "address": { "local": "0.0.0.0", "peer": "10.92.1.1" }, '
    b'"asn": { "local": 64600, "peer": 4200000001 } , '
)


def five(kind: bytes, rest: bytes) -> bytes:
    return HEAD_5 % kind + rest


def four(kind: bytes, rest: bytes) -> bytes:
    return HEAD_4 % kind + rest


@pytest.mark.parametrize("version", [four, five])
class TestBothVersions:
    def test_an_announcement_on_the_wire_has_its_med_and_whether_it_shuts_down_gracefully(
        self, version: Version
    ) -> None:
        line = version(
            b"update",
            b'"direction": "send", "message": { "update": { "attribute": { "origin": "igp", "as-path": [ 64600 ], '
            b'"confederation-path": [], "med": 7, "community": [ [ 64600, 1 ], [ 65535, 0 ] ] }, '
            b'"announce": { "ipv4 unicast": { "10.92.1.2": [ { "nlri": "10.200.0.1/32" } ] } } } } } }',
        )
        assert read(line) == Sent(PEER, (Announcement(VIP, 7, graceful_shutdown=True),), ())

    def test_withdrawals_come_together(self, version: Version) -> None:
        line = version(
            b"update",
            b'"direction": "send", "message": { "update": { "withdraw": { "ipv4 unicast": '
            b'[ { "nlri": "10.200.0.1/32" }, { "nlri": "10.200.0.99/32" } ] } } } } }',
        )
        assert read(line) == Sent(PEER, (), (ip_network("10.200.0.1/32"), ip_network("10.200.0.99/32")))

    def test_the_end_of_all_routes_is_no_change(self, version: Version) -> None:
        line = version(
            b"update", b'"direction": "send", "message": { "eor": { "afi" : "ipv4", "safi" : "unicast" } } } }'
        )
        assert read(line) is None

    def test_a_session_is_established_when_exabgp_says_up(self, version: Version) -> None:
        assert read(version(b"fsm", b'"state": "ESTABLISHED" } }')) is None
        assert read(version(b"state", b'"state": "up" } }')) == Entered(PEER, SessionState.ESTABLISHED)

    def test_a_session_that_falls_has_a_reason(self, version: Version) -> None:
        line = version(b"state", b'"state": "down", "reason": "stop, message (shutting down)" } }')
        assert read(line) == Entered(PEER, SessionState.IDLE, "stop, message (shutting down)")

    def test_other_states_are_the_state_machines(self, version: Version) -> None:
        assert read(version(b"fsm", b'"state": "OPENSENT" } }')) == Entered(PEER, SessionState.OPENSENT)
        assert read(version(b"state", b'"state": "connected" } }')) is None

    def test_a_number_of_four_bytes_is_read_from_its_capability(self, version: Version) -> None:
        line = version(
            b"open",
            b'"direction": "receive", "open": { "version": 4, "asn": 23456, "hold_time": 9, "router_id": "10.92.1.1", '
            b'"capabilities": { "65": { "name": "asn4", "asn4": 4200000001 } } } } }',
        )
        assert read(line) == Opened(PEER, 4200000001)

    def test_a_notification_has_the_words_of_the_rfc(self, version: Version) -> None:
        line = version(
            b"notification",
            b'"direction": "receive", "notification": { "code": 6, "subcode": 2, "data": "", "message": "" } } }',
        )
        expected = "notification 6/2, cease: administrative shutdown"
        assert read(line) == Notified(PEER, received=True, text=expected)


def test_a_peer_whose_number_is_not_known_is_read_although_it_is_no_json() -> None:
    line = five(b"state", b'"state": "up" } }').replace(b'"peer": 4200000001', b'"peer": None')
    assert read(line) == Entered(PEER, SessionState.ESTABLISHED)


def test_answers_versions_and_the_relays_own_lines() -> None:
    assert read(b"done") == Answered(taken=True)
    assert read(b"error") == Answered(taken=False)
    assert read(b"exabgp 5.0.15") == Versioned("5.0.15")
    assert read(b"!hello 4711") == Greeted()
    assert read(b"!beat 12") == Beaten()
    assert read(b"shutdown in progress") is None
    assert read(b'{ "exabgp": "5.0.0", "type": "notification", "notification": "shutdown" }') is None


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b"!what",
        b'{ "type": "fsm", "neighbor": { "address": { "peer": "nobody" }, "state": "IDLE" } }',
        five(b"fsm", b'"state": "SINGING" } }'),
        five(b"update", b'"direction": "send", "message": { "update": { "announce": [] } } } }'),
        five(b"open", b'"direction": "receive", "open": { } } }'),
    ],
)
def test_what_makes_no_sense_is_strange_and_nothing_more(line: bytes) -> None:
    assert read(line) == Strange(line[:200])


@given(st.binary(max_size=200))
def test_no_line_of_garbage_raises(line: bytes) -> None:
    read(line)


@given(st.integers(0, 500))
def test_no_line_cut_off_raises(length: int) -> None:
    line = five(
        b"update", b'"direction": "send", "message": { "update": { "withdraw": { "ipv4 unicast": [ 1 ] } } } } }'
    )
    read(line[:length])


def test_an_unknown_notification_keeps_its_numbers() -> None:
    assert words(9, 1) == "notification 9/1, unknown error"
    assert words(2, 99) == "notification 2/99, OPEN message error"
