"""Pool files of any content: a listing with valid members, or a SourceError."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats.entry import HIGHEST_WEIGHT
from pybal.sources.formats.text import Listing, parse

HOSTS = st.from_regex(r"(?!-)[A-Za-z0-9._:-]{1,20}", fullmatch=True)
MEMBERS = st.lists(
    st.builds(Member, HOSTS, st.integers(0, HIGHEST_WEIGHT), st.booleans()), unique_by=lambda member: member.host
).map(tuple)
NAMES = st.sampled_from(["pool", "pool.json", "pool.yaml"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
YAML_PIECES = [
    *"\n :-?&*!|>'\"%@`{}[],#~a0",
    *("\n- ", ": ", "  ", "---\n", "...", "&a", "*a", "<<: ", "!!int ", "host: a", "a: {weight: 1}", "weight: ", "\t"),
    *("enabled: no", "0x1", "1:20", "\u2028", "\ufeff"),
]
FIELDS = st.dictionaries(st.sampled_from(["host", "weight", "enabled", "rack"]), VALUES)


def written(members: tuple[Member, ...], name: str) -> bytes:
    if name.endswith(".json"):
        return json.dumps({m.host: {"weight": m.weight, "enabled": m.enabled} for m in members}).encode()
    if name.endswith(".yaml"):
        fields = [f"- host: '{m.host}'\n  weight: {m.weight}\n  enabled: {str(m.enabled).lower()}\n" for m in members]
        return "".join(fields or ["[]\n"]).encode()
    return b"".join(f"{{'host': '{m.host}', 'weight': {m.weight}, 'enabled': {m.enabled}}}\n".encode() for m in members)


def parsed(data: bytes, name: str, last: tuple[Member, ...] | None) -> Listing | None:
    try:
        return parse(data, name, last)
    except SourceError:
        return None


def is_sound(listing: Listing) -> bool:
    hosts = [member.host for member in listing.members]
    return len(set(hosts)) == len(hosts) and all(
        type(m.weight) is int and 0 <= m.weight <= HIGHEST_WEIGHT and type(m.enabled) is bool and m.host.isascii()
        for m in listing.members
    )


@given(MEMBERS, NAMES, st.none() | MEMBERS)
def test_parse_returns_the_written_members(
    members: tuple[Member, ...], name: str, last: tuple[Member, ...] | None
) -> None:
    assert parse(written(members, name), name, last) == Listing(members)


@given(st.binary(), NAMES, st.none() | MEMBERS)
def test_arbitrary_bytes_are_a_listing_or_a_source_error(
    data: bytes, name: str, last: tuple[Member, ...] | None
) -> None:
    listing = parsed(data, name, last)
    assert listing is None or is_sound(listing)


@given(MEMBERS, NAMES, st.none() | MEMBERS, st.data())
def test_mutated_files_are_a_listing_or_a_source_error(
    members: tuple[Member, ...], name: str, last: tuple[Member, ...] | None, draw: st.DataObject
) -> None:
    data = written(members, name)
    start, end = sorted(draw.draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
    listing = parsed(data[:start] + draw.draw(st.binary(max_size=3)) + data[end:], name, last)
    assert listing is None or is_sound(listing)


@given(st.dictionaries(st.text(max_size=5) | HOSTS, FIELDS | VALUES), st.none() | MEMBERS)
def test_json_documents_are_a_listing_or_a_source_error(document: Any, last: tuple[Member, ...] | None) -> None:
    listing = parsed(json.dumps(document).encode(), "pool.json", last)
    assert listing is None or is_sound(listing)


@given(
    st.dictionaries(st.text(max_size=5) | HOSTS, FIELDS | VALUES) | st.lists(FIELDS | VALUES, max_size=3),
    st.none() | MEMBERS,
    st.booleans() | st.none(),
)
def test_yaml_documents_are_a_listing_or_a_source_error(
    document: Any, last: tuple[Member, ...] | None, flow: bool | None
) -> None:
    listing = parsed(yaml.safe_dump(document, default_flow_style=flow).encode(), "pool.yaml", last)
    assert listing is None or is_sound(listing)


@given(st.lists(st.sampled_from(YAML_PIECES), max_size=12).map("".join), st.none() | MEMBERS)
def test_yaml_fragments_are_a_listing_or_a_source_error(text: str, last: tuple[Member, ...] | None) -> None:
    listing = parsed(text.encode(), "pool.yaml", last)
    assert listing is None or is_sound(listing)


@given(MEMBERS, st.booleans() | st.none(), st.none() | MEMBERS)
def test_json_and_yaml_parse_equally(
    members: tuple[Member, ...], flow: bool | None, last: tuple[Member, ...] | None
) -> None:
    document = json.loads(written(members, "pool.json"))
    text = yaml.safe_dump(document, default_flow_style=flow, sort_keys=False)
    assert parse(text.encode(), "pool.yaml", last) == Listing(members)


@given(MEMBERS.filter(bool), st.data())
def test_truncated_yaml_is_refused_unless_cut_between_lines(members: tuple[Member, ...], draw: st.DataObject) -> None:
    data = written(members, "pool.yaml")
    part = data[: draw.draw(st.integers(1, len(data) - 1))]
    assert part.endswith(b"\n") or parsed(part, "pool.yaml", ()) is None


@given(MEMBERS.filter(bool), st.data())
def test_invalid_yaml_entry_affects_no_other_host(members: tuple[Member, ...], draw: st.DataObject) -> None:
    """T125397: one invalid value in etcd stopped all updates."""
    victim = draw.draw(st.sampled_from(members))
    document = json.loads(written(members, "pool.json"))
    document[victim.host]["weight"] = draw.draw(VALUES.filter(lambda value: type(value) is not int))
    last = tuple(Member(member.host, 77) for member in members)
    listing = parse(yaml.safe_dump(document, sort_keys=False).encode(), "pool.yaml", last)
    assert listing.members == tuple(Member(m.host, 77) if m is victim else m for m in members)
    assert len(listing.problems) == 1
    assert repr(victim.host)[1:-1] in listing.problems[0]


@given(st.lists(FIELDS, max_size=3), st.none() | MEMBERS)
def test_lines_of_dictionaries_are_a_listing_or_a_source_error(
    entries: list[dict[str, Any]], last: tuple[Member, ...] | None
) -> None:
    listing = parsed("".join(f"{entry}\n" for entry in entries).encode("utf-8", "replace"), "pool", last)
    assert listing is None or is_sound(listing)


@given(MEMBERS.filter(bool), st.data())
def test_truncated_lines_are_refused_unless_cut_between_lines(members: tuple[Member, ...], draw: st.DataObject) -> None:
    data = written(members, "pool")
    part = data[: draw.draw(st.integers(1, len(data) - 1))]
    assert (parsed(part, "pool", ()) is None) is not part.endswith((b"\n", b"}"))


@given(MEMBERS.filter(bool), st.data())
def test_invalid_json_entry_affects_no_other_host(members: tuple[Member, ...], draw: st.DataObject) -> None:
    """T125397: one invalid value in etcd stopped all updates."""
    victim = draw.draw(st.sampled_from(members))
    document = json.loads(written(members, "pool.json"))
    document[victim.host]["weight"] = draw.draw(VALUES.filter(lambda value: type(value) is not int))
    last = tuple(Member(member.host, 77) for member in members)
    listing = parse(json.dumps(document).encode(), "pool.json", last)
    assert listing.members == tuple(Member(m.host, 77) if m is victim else m for m in members)
    assert len(listing.problems) == 1
    assert repr(victim.host)[1:-1] in listing.problems[0]
