"""Lines of ExaBGP 4.2.21 and 5.0.15, and invalid lines."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.bgp.exabgp.events import (
    Answered,
    HeartbeatEchoed,
    Notified,
    OpenReceived,
    RelayConnected,
    StateChanged,
    Unrecognised,
    UpdateSent,
    VersionReported,
    read,
)
from pybal.bgp.model import Announcement, SessionState
from pybal.bgp.notification import describe

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
    def test_update_event_has_med_and_graceful_shutdown(self, version: Version) -> None:
        line = version(
            b"update",
            b'"direction": "send", "message": { "update": { "attribute": { "origin": "igp", "as-path": [ 64600 ], '
            b'"confederation-path": [], "med": 7, "community": [ [ 64600, 1 ], [ 65535, 0 ] ] }, '
            b'"announce": { "ipv4 unicast": { "10.92.1.2": [ { "nlri": "10.200.0.1/32" } ] } } } } } }',
        )
        assert read(line) == UpdateSent(PEER, (Announcement(VIP, 7, graceful_shutdown=True),), ())

    def test_withdrawals_of_one_update_are_one_event(self, version: Version) -> None:
        line = version(
            b"update",
            b'"direction": "send", "message": { "update": { "withdraw": { "ipv4 unicast": '
            b'[ { "nlri": "10.200.0.1/32" }, { "nlri": "10.200.0.99/32" } ] } } } } }',
        )
        assert read(line) == UpdateSent(PEER, (), (ip_network("10.200.0.1/32"), ip_network("10.200.0.99/32")))

    def test_end_of_rib_is_ignored(self, version: Version) -> None:
        line = version(
            b"update", b'"direction": "send", "message": { "eor": { "afi" : "ipv4", "safi" : "unicast" } } } }'
        )
        assert read(line) is None

    def test_session_is_established_at_state_up(self, version: Version) -> None:
        assert read(version(b"fsm", b'"state": "ESTABLISHED" } }')) is None
        assert read(version(b"state", b'"state": "up" } }')) == StateChanged(PEER, SessionState.ESTABLISHED)

    def test_ended_session_has_a_reason(self, version: Version) -> None:
        line = version(b"state", b'"state": "down", "reason": "stop, message (shutting down)" } }')
        assert read(line) == StateChanged(PEER, SessionState.IDLE, "stop, message (shutting down)")

    def test_other_states_come_from_the_state_machine(self, version: Version) -> None:
        assert read(version(b"fsm", b'"state": "OPENSENT" } }')) == StateChanged(PEER, SessionState.OPENSENT)
        assert read(version(b"state", b'"state": "connected" } }')) is None

    def test_four_byte_as_number_is_read_from_its_capability(self, version: Version) -> None:
        line = version(
            b"open",
            b'"direction": "receive", "open": { "version": 4, "asn": 23456, "hold_time": 9, "router_id": "10.92.1.1", '
            b'"capabilities": { "65": { "name": "asn4", "asn4": 4200000001 } } } } }',
        )
        assert read(line) == OpenReceived(PEER, 4200000001)

    def test_families_of_an_open_message_are_its_unicast_ones(self, version: Version) -> None:
        line = version(
            b"open",
            b'"direction": "receive", "open": { "asn": 64601, "capabilities": { "1": { "name": "multiprotocol", '
            b'"families": [ "ipv4/unicast", "ipv6/unicast", "l2vpn/evpn" ] } } } } }',
        )
        assert read(line) == OpenReceived(PEER, 64601, frozenset((4, 6)))

    def test_notification_is_described_in_rfc_terms(self, version: Version) -> None:
        line = version(
            b"notification",
            b'"direction": "receive", "notification": { "code": 6, "subcode": 2, "data": "", "message": "" } } }',
        )
        expected = "notification 6/2, cease: administrative shutdown"
        assert read(line) == Notified(PEER, received=True, text=expected)


def test_shutdown_communication_is_escaped_and_shown() -> None:
    """RFC 9003: the router's operator explains the shutdown."""
    data = 'Shutdown Communication: "Wartung für 5 min \x1b[2J \u202e"'.encode().hex().upper().encode()
    notification = b'"notification": { "code": 6, "subcode": 2, "data": "0x%s", "message": "" } } }' % data
    expected = (
        "notification 6/2, cease: administrative shutdown "
        r'("Wartung für 5 min \x1b[2J \u202e")'
    )
    found = read(five(b"notification", b'"direction": "receive", ' + notification))
    assert found == Notified(PEER, received=True, text=expected)


def test_notification_that_exabgp_4_cannot_decode_was_received() -> None:
    """ExaBGP 4.2.21 fails on each shutdown communication, and sends 1/0 itself; captured."""
    data = b'can not decode update message of type "3"'.hex().upper().encode()
    line = four(
        b"notification",
        b'"direction": "send", "notification": { "code": 1, "subcode": 0, "data": "0x%s" } } }' % data,
    )
    expected = "notification 6/2 or 6/4, cease: administrative shutdown or reset (exabgp 4 cannot decode its text)"
    assert read(line) == Notified(PEER, received=True, text=expected)


def test_unknown_as_number_of_exabgp_5_is_read() -> None:
    line = five(b"state", b'"state": "up" } }').replace(b'"peer": 4200000001', b'"peer": None')
    assert read(line) == StateChanged(PEER, SessionState.ESTABLISHED)


def test_answers_versions_and_relay_lines_are_read() -> None:
    assert read(b"done") == Answered(accepted=True)
    assert read(b"error") == Answered(accepted=False)
    assert read(b"exabgp 5.0.15") == VersionReported("5.0.15")
    assert read(b"!hello 4711") == RelayConnected()
    assert read(b"!beat 12") == HeartbeatEchoed()
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
        b'{ "type": "fsm", "neighbor": { "address": { "peer": "bird" }, "state": "IDLE" } }',
        five(b"fsm", b'"state": "SINGING" } }'),
        five(b"update", b'"direction": "send", "message": { "update": { "announce": [] } } } }'),
        five(b"open", b'"direction": "receive", "open": { } } }'),
        five(b"open", b'"direction": "receive", "open": { "asn": 1e999 } } }'),
        five(
            b"notification", b'"direction": "receive", "notification": { "code": 1e999, "subcode": 2, "data": "" } } }'
        ),
        five(
            b"update",
            b'"direction": "send", "message": { "update": { "attribute": { "med": Infinity }, "announce": {} } } } }',
        ),
    ],
)
def test_invalid_line_is_unrecognised(line: bytes) -> None:
    assert read(line) == Unrecognised(line[:200])


@given(st.binary(max_size=200))
def test_arbitrary_line_does_not_raise(line: bytes) -> None:
    read(line)


@given(st.integers(0, 500))
def test_truncated_line_does_not_raise(length: int) -> None:
    line = five(
        b"update", b'"direction": "send", "message": { "update": { "withdraw": { "ipv4 unicast": [ 1 ] } } } } }'
    )
    read(line[:length])


def test_unknown_notification_keeps_its_codes() -> None:
    assert describe(9, 1) == "notification 9/1, unknown error"
    assert describe(2, 99) == "notification 2/99, OPEN message error"
