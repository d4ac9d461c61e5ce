"""Arbitrary responses to the client of etcd's gateway, and arbitrary changes while keys are watched."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybal.core.steps import finish
from pybal.sources.base import SourceError
from pybal.sources.etcd import v3wire
from pybal.sources.etcd.v3wire import Keys, KeyState, RangeResponse, WatchedKeys

NUMBERS = st.one_of(st.integers(), st.text(max_size=25), st.integers().map(str), st.none(), st.booleans())
TEXTS = st.one_of(st.text(max_size=8), st.binary(max_size=8).map(lambda data: b64encode(data).decode()), NUMBERS)
ENTRIES = st.dictionaries(st.sampled_from(["key", "value", "mod_revision", "type"]), TEXTS)
EVENTS = st.fixed_dictionaries({}, optional={"kv": st.one_of(ENTRIES, TEXTS), "type": TEXTS})
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "header": st.one_of(st.fixed_dictionaries({}, optional={"cluster_id": TEXTS, "revision": TEXTS}), TEXTS),
        "kvs": st.one_of(st.lists(st.one_of(ENTRIES, TEXTS), max_size=3), ENTRIES, TEXTS),
        "count": TEXTS,
        "created": TEXTS,
        "canceled": TEXTS,
        "compact_revision": TEXTS,
        "cancel_reason": TEXTS,
        "events": st.one_of(st.lists(st.one_of(EVENTS, TEXTS), max_size=3), TEXTS),
        "error": st.one_of(st.fixed_dictionaries({}, optional={"message": TEXTS}), TEXTS),
        "message": TEXTS,
        "token": TEXTS,
    },
)
ANSWERS = st.one_of(RESULTS, st.fixed_dictionaries({"result": st.one_of(RESULTS, TEXTS)}), TEXTS)


def parse_range(body: bytes) -> RangeResponse:
    return finish(v3wire.parsing_range(body))


@pytest.mark.parametrize("parse", [parse_range, v3wire.parse_watch, v3wire.parse_token])
@given(body=st.one_of(st.binary(max_size=40), ANSWERS.map(lambda answer: json.dumps(answer).encode())))
def test_response_is_parsed_or_refused(parse: Callable[[bytes], object], body: bytes) -> None:
    said = ""
    try:
        parse(body)
    except SourceError as error:
        said = str(error)
    assert len(said) < 600


@given(status=st.integers(100, 599), answer=ANSWERS)
def test_error_response_always_has_a_reason(status: int, answer: object) -> None:
    assert 0 < len(str(v3wire.parse_error(status, json.dumps(answer).encode()))) < 600


@given(kept=st.dictionaries(st.binary(), st.binary(), max_size=5), revision=st.integers(1, 2**63 - 1))
def test_encoded_keys_are_read_back(kept: dict[bytes, bytes], revision: int) -> None:
    entries = [
        {"key": b64encode(k).decode(), "value": b64encode(v).decode(), "mod_revision": str(revision)}
        for k, v in kept.items()
    ]
    answer = {"header": {"cluster_id": "7", "revision": str(revision)}, "kvs": entries, "count": str(len(kept))}
    written = {key: KeyState(revision, value) for key, value in kept.items()}
    assert parse_range(json.dumps(answer).encode()) == RangeResponse("7", revision, len(kept), written)
    events = [{"kv": entry} for entry in entries]
    assert v3wire.parse_watch(json.dumps({"result": {"events": events}}).encode()).keys == written


@given(prefix=st.binary(max_size=4), key=st.binary(max_size=6))
@example(b"\xff", b"\xff\xff")
def test_range_contains_keys_with_its_prefix(prefix: bytes, key: bytes) -> None:
    end = v3wire.range_end(prefix)
    assert (prefix <= key and (key < end or end == b"\0")) == key.startswith(prefix)


Changes = list[tuple[bytes, bool]]
FIRST = 2  # the revision of the first change


@given(
    changes=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.booleans()), min_size=1, max_size=12),
    agreed=st.integers(0, 12),
    read=st.integers(0, 12),
    sent=st.integers(0, 12),
    lost=st.sets(st.integers(0, 11)),
    full=st.booleans(),
)
def test_read_finds_exactly_the_changes_lost_by_a_watch(
    changes: Changes, agreed: int, read: int, sent: int, lost: set[int], *, full: bool
) -> None:
    """``agreed`` changes were verified before, ``read`` precede the read, ``sent`` reached the watch."""
    agreed, read = sorted(number % (len(changes) + 1) for number in (agreed, read))
    known = state(changes, max(sent, agreed), lost=lost - set(range(agreed)))
    then = dict(v3wire.values(state(changes, read)))
    since = 0 if full else FIRST + agreed
    there = {k: w for k, w in state(changes, read).items() if k in then and w.revision >= since}
    watched = WatchedKeys({})
    watched.apply(known)
    number = watched.missed(RangeResponse("1", FIRST + read - 1, len(then), there))
    if sent >= read and not lost:
        assert number == 0
    if sent <= read:
        exactly = state(changes, read)
        assert number == sum(revision(known, key) != revision(exactly, key) for key in known.keys() | exactly.keys())


def state(changes: Changes, number: int, lost: set[int] | None = None) -> Keys:
    """Return the keys after ``number`` changes, without the lost ones."""
    known: dict[bytes, KeyState] = {}
    for at, (key, is_there) in enumerate(changes[:number]):
        if at not in (lost or ()):
            known[key] = KeyState(FIRST + at, b"" if is_there else None)
    return known


def revision(keys: Keys, key: bytes) -> int:
    """Return the revision of the last change of a key, 0 if it does not exist."""
    written = keys.get(key)
    return written.revision if written and written.value is not None else 0
