"""Requests to etcd's gateway and parsed responses; the responses are recorded from 3.4.23 and 3.5.1."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from pybal.core.steps import finish
from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd import v3wire
from pybal.sources.etcd.v3wire import KeyState, RangeResponse, TokenInvalid, WatchedKeys, WatchResponse
from tests.harness.turning_clock import TurningClock

HEADER = (
    b'"header":{"cluster_id":"10144879847569953045","member_id":"12428976124636271536","revision":"4","raft_term":"2"}'
)


def parse_range(body: bytes) -> RangeResponse:
    return finish(v3wire.parsing_range(body))


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"/p/", b"/p0"), (b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0"), (b"a\xfe\xff", b"a\xff")],
)
def test_range_end_is_first_key_after_prefix(prefix: bytes, end: bytes) -> None:
    assert v3wire.range_end(prefix) == end


def test_requests_are_json_with_base64_and_numbers_as_strings() -> None:
    assert json.loads(v3wire.range_request(b"/p/")) == {"key": "L3Av", "range_end": "L3Aw"}
    assert json.loads(v3wire.range_request(b"/p/", 7)) == {
        "key": "L3Av",
        "range_end": "L3Aw",
        "keys_only": True,
        "min_mod_revision": "7",
    }
    assert json.loads(v3wire.watch_request(b"/p/", 8)) == {
        "create_request": {"key": "L3Av", "range_end": "L3Aw", "start_revision": "8"}
    }
    assert json.loads(v3wire.authenticate_request("u", "p")) == {"name": "u", "password": "p"}


def test_long_range_response_is_parsed_in_several_turns() -> None:
    kvs = ",".join(f'{{"key":"{b64encode(b"/p/%d" % n).decode()}","mod_revision":"2"}}' for n in range(10_000))
    clock, found = TurningClock(), list[RangeResponse]()
    Turns(clock).run(v3wire.parsing_range(b'{%s,"kvs":[%s]}' % (HEADER, kvs.encode()))).addCallback(found.append)
    assert clock.settle() > 2
    assert len(found[0].keys) == 10_000


def test_range_response_is_parsed() -> None:
    kvs = b'"kvs":[{"key":"L3AvYQ==","create_revision":"2","mod_revision":"2","version":"1","value":"MQ=="}]'
    assert parse_range(b'{%s,%s,"count":"1"}' % (HEADER, kvs)) == RangeResponse(
        "10144879847569953045", 4, 1, {b"/p/a": KeyState(2, b"1")}
    )


def test_range_response_is_empty_without_keys_and_count() -> None:
    assert parse_range(b"{%s}" % HEADER) == RangeResponse("10144879847569953045", 4, 0, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"header":{}}',
        b'{"header":1}',
        b'{%s,"count":1}' % HEADER,
        b'{%s,"count":""}' % HEADER,
        b'{%s,"count":"%s"}' % (HEADER, b"9" * 5000),
        b'{%s,"kvs":[1]}' % HEADER,
        b'{%s,"kvs":[{"key":"?","mod_revision":"1"}]}' % HEADER,
        b'{%s,"kvs":[{"key":"L3AvYQ=="}]}' % HEADER,
        b'{%s,"kvs":[{"key":"L3AvYQ==","mod_revision":"1","value":"?"}]}' % HEADER,
        '{%s,"count":"\u0663"}'.encode() % HEADER,
        b'{%s,"count":"%s"}' % (HEADER, b"9" * 21),
        b"[" * 100_000,
    ],
)
def test_malformed_range_response_is_refused(body: bytes) -> None:
    with pytest.raises(SourceError, match="malformed response from etcd") as caught:
        parse_range(body)
    assert caught.value.trouble is Trouble.MALFORMED
    assert len(str(caught.value)) < 200


def result(more: str) -> WatchResponse:
    return v3wire.parse_watch(b'{"result":{%s%s}}\n' % (HEADER, more.encode()))


def test_watch_messages_are_parsed() -> None:
    assert result(',"created":true') == WatchResponse({})
    put = '{"kv":{"key":"L3AvYg==","create_revision":"3","mod_revision":"3","version":"1","value":"MQ=="}}'
    delete = '{"type":"DELETE","kv":{"key":"L3AvYQ==","mod_revision":"4"}}'
    assert result(f',"events":[{put},{delete}]') == WatchResponse(
        {b"/p/b": KeyState(3, b"1"), b"/p/a": KeyState(4, None)}
    )
    assert result(',"watch_id":"-1"') == WatchResponse({})


def test_last_event_of_a_key_in_a_message_wins() -> None:
    put = '{"kv":{"key":"L3AvYg==","create_revision":"3","mod_revision":"3","version":"1","value":"MQ=="}}'
    delete = '{"type":"DELETE","kv":{"key":"L3AvYg==","mod_revision":"4"}}'
    assert result(f',"events":[{put},{delete}]') == WatchResponse({b"/p/b": KeyState(4, None)})


def test_merged_messages_have_the_last_state_of_each_key() -> None:
    first = WatchResponse({b"/a": KeyState(4, b"1"), b"/b": KeyState(4, b"1")})
    last = WatchResponse({b"/a": KeyState(5, None)}, "canceled")
    found = v3wire.merged([first, last, WatchResponse({}, "later")])
    assert found == WatchResponse({b"/a": KeyState(5, None), b"/b": KeyState(4, b"1")}, "canceled")


def test_canceled_watch_has_ended_even_if_created() -> None:
    assert result(',"canceled":true,"compact_revision":"4"') == WatchResponse({}, "compacted at revision 4")
    reason = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"
    refused = result(f',"watch_id":"-1","created":true,"canceled":true,"cancel_reason":"{reason}"')
    assert refused == WatchResponse({}, "user name is empty")
    assert result(',"canceled":true') == WatchResponse({}, "canceled")


def test_error_message_ends_the_watch() -> None:
    line = b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"Service Unavailable"}}'
    assert v3wire.parse_watch(line) == WatchResponse({}, "no leader")
    assert v3wire.parse_watch(b'{"error":"x","message":"etcdserver: y","code":3}') == WatchResponse({}, "y")


@pytest.mark.parametrize(
    "line", [b"", b"1", b"{}", b'{"result":1}', b'{"result":{"events":[{}]}}', b'{"result":{"events":1}}']
)
def test_malformed_watch_message_is_refused(line: bytes) -> None:
    with pytest.raises(SourceError, match="malformed response from etcd"):
        v3wire.parse_watch(line)


@pytest.mark.parametrize(
    ("status", "body", "kind", "trouble", "text"),
    [
        (
            401,
            b'{"error":"etcdserver: invalid auth token","message":"etcdserver: invalid auth token","code":16}',
            TokenInvalid,
            Trouble.DENIED,
            "HTTP 401 (invalid auth token), wanted 200",
        ),
        (
            400,
            b'{"error":"etcdserver: revision of auth store is old","code":3}',
            TokenInvalid,
            Trouble.DENIED,
            "HTTP 400 (revision of auth store is old), wanted 200",
        ),
        (
            400,
            b'{"error":"etcdserver: user name is empty","code":3,"message":"etcdserver: user name is empty"}',
            TokenInvalid,
            Trouble.DENIED,
            "user name is empty; set user and password-file (the gateway ignores the user of a certificate)",
        ),
        (
            400,
            b'{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}',
            SourceError,
            Trouble.DENIED,
            "HTTP 400 (authentication failed, invalid user ID or password), wanted 200",
        ),
        (
            403,
            b'{"error":"etcdserver: permission denied","code":7}',
            SourceError,
            Trouble.DENIED,
            "HTTP 403 (permission denied), wanted 200",
        ),
        (
            503,
            b'{"error":"etcdserver: request timed out","code":14}',
            SourceError,
            Trouble.FAILED,
            "HTTP 503 (request timed out), wanted 200",
        ),
        (404, b"404 page not found\n", SourceError, Trouble.FAILED, "HTTP 404, wanted 200"),
        (401, b"<html>", SourceError, Trouble.DENIED, "HTTP 401, wanted 200"),
    ],
)
def test_error_response_is_classified(
    status: int, body: bytes, kind: type[SourceError], trouble: Trouble, text: str
) -> None:
    error = v3wire.parse_error(status, body)
    assert (type(error), error.trouble, str(error)) == (kind, trouble, text)


def test_token_is_valid_in_a_header_and_never_shown() -> None:
    assert v3wire.parse_token(b'{%s,"token":"PxUzXFHpqrsEEObp.14"}' % HEADER) == "PxUzXFHpqrsEEObp.14"
    for body in (b'{"token":""}', b'{"token":"a\\r\\nb"}', b'{"token":1}', b"{}", b'"token": "s3cr3t"'):
        with pytest.raises(SourceError) as caught:
            v3wire.parse_token(body)
        assert "s3cr3t" not in str(caught.value)


KNOWN = {b"a": KeyState(2, b"1"), b"b": KeyState(3, b"1"), b"gone": KeyState(4, None)}


def test_values_omit_deleted_keys() -> None:
    assert dict(v3wire.values(KNOWN)) == {b"a": b"1", b"b": b"1"}


@pytest.mark.parametrize(
    ("revision", "count", "keys", "number"),
    [
        (4, 2, {b"a": KeyState(2, b""), b"b": KeyState(3, b"")}, 0),
        (4, 2, {}, 0),
        (5, 2, {b"b": KeyState(5, b"")}, 1),
        (5, 3, {b"c": KeyState(5, b"")}, 1),
        (5, 3, {b"gone": KeyState(5, b"")}, 1),
        (5, 1, {}, 1),
        (6, 2, {b"c": KeyState(6, b"")}, 2),
        (5, 3, {}, 1),
    ],
    ids=["all", "nothing new", "changed", "added", "came back", "deleted", "added, deleted", "missing for long"],
)
def test_changes_missed_by_a_watch_are_counted(
    revision: int, count: int, keys: dict[bytes, KeyState], number: int
) -> None:
    watched = WatchedKeys({})
    watched.apply(KNOWN)
    assert watched.missed(RangeResponse("1", revision, count, keys)) == number


def test_changes_after_the_read_do_not_count_as_missed() -> None:
    watched = WatchedKeys({})
    watched.apply(KNOWN)
    assert watched.missed(RangeResponse("1", 3, 3, {b"b": KeyState(3, b""), b"gone": KeyState(2, b"")})) == 0
    assert watched.missed(RangeResponse("1", 3, 3, {b"c": KeyState(3, b"")})) == 1
