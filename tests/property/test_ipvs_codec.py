"""Encoded values decode to themselves; arbitrary bytes decode or raise an error."""

from __future__ import annotations

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from pybal.ipvs.codec import decode_destination, decode_service, encode
from pybal.ipvs.framing import FramingError, Message, attribute, attributes, messages, outcome, request
from pybal.ipvs.model import (
    OWN_FLAGS,
    Command,
    Destination,
    Encapsulation,
    Flags,
    Forward,
    Key,
    Mark,
    Op,
    Persistence,
    ServiceKey,
    Traffic,
    Tunnel,
    VirtualService,
)

U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TEXT = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=15)
KEYS: st.SearchStrategy[ServiceKey] = st.builds(Key, U16, st.ip_addresses(), U16) | st.builds(
    Mark, st.integers(1, 2**32 - 1), st.booleans()
)
FLAGS = st.integers(0, 63).map(lambda bits: Flags(bits) & OWN_FLAGS)


@st.composite
def services(draw: st.DrawFn) -> VirtualService:
    key = draw(KEYS)
    netmasks = st.integers(1, 128 if key.ipv6 else 32)
    persistence = draw(st.none() | st.builds(Persistence, U32, netmasks, st.just("") | TEXT))
    return VirtualService(key, draw(TEXT), draw(FLAGS), persistence)


@st.composite
def destinations(draw: st.DrawFn) -> Destination:
    forward = draw(st.sampled_from(Forward))
    tunnel = Tunnel()
    if forward is Forward.TUNNEL:
        tunnel = draw(st.builds(Tunnel, st.sampled_from(Encapsulation), U16, U16))
    return Destination(draw(st.ip_addresses()), draw(U16), draw(U32), forward, draw(U32), draw(U32), tunnel)


@given(services(), st.sampled_from([Command.ADD_SERVICE, Command.EDIT_SERVICE]))
def test_service_reads_back(service: VirtualService, command: Command) -> None:
    assert decode_service(attributes(encode(Op(command, service)))) == service


@given(services(), destinations(), st.sampled_from([Command.ADD, Command.EDIT, Command.DELETE]))
def test_destination_reads_back(service: VirtualService, destination: Destination, command: Command) -> None:
    assert decode_destination(attributes(encode(Op(command, service, destination))), service.key) == (destination, None)


@given(
    services(),
    destinations(),
    st.lists(U32, min_size=2, max_size=2),
    st.lists(U64, min_size=5, max_size=5),
    # Between its counters a kernel may have padding, an attribute without a payload.
    st.sampled_from([b"", attribute(11, b"")]),
)
def test_traffic_is_read_from_a_reply(
    service: VirtualService, destination: Destination, now: list[int], counted: list[int], padding: bytes
) -> None:
    counters = b"".join(padding + attribute(kind, struct.pack("=Q", value)) for kind, value in enumerate(counted, 1))
    parts = {7: struct.pack("=I", now[0]), 8: struct.pack("=I", now[1]), 12: counters}
    reply = dict(attributes(encode(Op(Command.ADD, service, destination))))
    reply[2] += b"".join(attribute(kind, payload) for kind, payload in parts.items())
    traffic = Traffic(now[0], now[1], connections=counted[0], packets=counted[1], bytes=counted[3])
    assert decode_destination(reply, service.key) == (destination, traffic)


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_attributes_read_back(wanted: dict[int, bytes]) -> None:
    assert attributes(b"".join(attribute(kind, payload) for kind, payload in wanted.items())) == wanted


@given(st.lists(st.tuples(U16, U16, U32, st.integers(0, 255), st.binary(max_size=40))))
def test_messages_read_back(wanted: list[tuple[int, int, int, int, bytes]]) -> None:
    # The kernel pads each message to four bytes.
    data = b"".join(
        (made := request(family, flags, sequence, command, body)) + bytes(-len(made) % 4)
        for family, flags, sequence, command, body in wanted
    )
    assert [
        (message.kind, message.flags, message.sequence, message.payload[0], message.payload[4:])
        for message in messages(data)
    ] == [(family, flags | 1, sequence, command, body) for family, flags, sequence, command, body in wanted]


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_and_attributes_or_an_error(data: bytes) -> None:
    for read in (lambda: list(messages(data)), lambda: attributes(data)):
        with suppress(FramingError):
            read()


@given(st.dictionaries(st.integers(0, 16), st.binary(max_size=20)), KEYS)
def test_any_attributes_are_an_entry_or_a_documented_error(found: dict[int, bytes], key: ServiceKey) -> None:
    answer = {kind: b"".join(attribute(*item) for item in found.items()) for kind in (1, 2)}
    for read in (lambda: decode_service(answer), lambda: decode_destination(answer, key)):
        with suppress(KeyError, ValueError, struct.error):
            read()


@given(st.integers(0, 0xFFFF), st.binary(max_size=100))
def test_any_error_message_has_an_outcome_or_is_an_error(flags: int, payload: bytes) -> None:
    with suppress(FramingError, struct.error):
        outcome(Message(2, flags, 1, payload))
