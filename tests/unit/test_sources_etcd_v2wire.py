"""Responses of etcd's API v2; those of etcd itself are recorded from 3.4.23."""

from __future__ import annotations

import json

import pytest

from pybal.core.steps import finish
from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.v2wire import Change, HistoryLost, Snapshot, parse_change, parsing_directory
from tests.harness.turning_clock import TurningClock


def change(action: str, key: str, value: str = "", *, directory: bool = False) -> Change:
    return Change(action, key, value, directory, 7)


@pytest.mark.parametrize("action", ["set", "create", "update", "compareAndSwap"])
def test_change_sets_the_value_of_its_key(action: str) -> None:
    one = change(action, "/pools/web/c")
    assert (one.key_in("/pools/web"), one.deletes) == ("c", False)


@pytest.mark.parametrize("action", ["delete", "expire", "compareAndDelete"])
def test_change_deletes_its_key(action: str) -> None:
    one = change(action, "/pools/web/a")
    assert (one.key_in("/pools/web"), one.deletes) == ("a", True)


@pytest.mark.parametrize(
    "other",
    [
        change("delete", "/pools/web", directory=True),
        change("delete", "/pools", directory=True),
        change("set", "/pools/web/sub", directory=True),
        change("delete", "/pools"),
        change("set", "/pools/website/a", "1"),
        change("touch", "/pools/web/a", "1"),
    ],
    ids=lambda change: f"{change.action} {change.key}",
)
def test_other_changes_require_a_read(other: Change) -> None:
    assert other.key_in("/pools/web") is None


def test_change_is_below_the_root_directory() -> None:
    assert change("set", "/a", "3").key_in("/") == "a"


def parsed(path: str, status: int, body: bytes, index: str) -> Snapshot:
    return finish(parsing_directory(path, status, body, index))


def test_long_directory_is_parsed_in_several_turns() -> None:
    body = directory(*({"key": f"/p/{number}", "value": "1"} for number in range(10_000)))
    clock, found = TurningClock(), list[Snapshot]()
    Turns(clock).run(parsing_directory("/p", 200, body, "7")).addCallback(found.append)
    assert clock.settle() > 2
    assert len(found[0].texts or ()) == 10_000


def directory(*nodes: object) -> bytes:
    return json.dumps({"action": "get", "node": {"key": "/p", "dir": True, "nodes": nodes}}).encode()


def test_directory_has_its_values_and_index() -> None:
    body = directory(
        {"key": "/p/a", "value": "1", "modifiedIndex": 5, "createdIndex": 5},
        {"key": "/p/b", "value": "", "modifiedIndex": 6, "createdIndex": 6},
        {"key": "/p/sub", "dir": True, "modifiedIndex": 7, "createdIndex": 7},
    )
    assert parsed("/p", 200, body, "7") == Snapshot({"a": "1", "b": ""}, 7)


def test_directory_is_missing_at_the_index_of_the_error() -> None:
    body = b'{"errorCode":100,"message":"Key not found","cause":"/p","index":9}'
    assert parsed("/p", 404, body, "9") == Snapshot(None, 9)


def test_key_is_not_a_directory() -> None:
    with pytest.raises(SourceError, match="/p is a key, wanted a directory"):
        parsed("/p", 200, b'{"action":"get","node":{"key":"/p","value":"1","modifiedIndex":5}}', "5")


@pytest.mark.parametrize(
    ("body", "index"),
    [
        (b"", "1"),
        (b"[]", "1"),
        (b"{}", "1"),
        (b"[" * 100_000, "1"),
        (b'{"node": 7}', "1"),
        (b'{"node": {"dir": true, "nodes": 7}}', "1"),
        (b'{"self": 1, "node": {"dir": true}}', "1"),
        (directory({"key": 7, "value": "1"}), "1"),
        (directory("a"), "1"),
        (directory({"key": "/p/a", "value": "1"}), ""),
        (directory({"key": "/p/a", "value": "1"}), "x"),
    ],
)
def test_malformed_directory_is_refused(body: bytes, index: str) -> None:
    with pytest.raises(SourceError, match="malformed response from etcd") as caught:
        parsed("/p", 200, body, index)
    assert caught.value.trouble is Trouble.MALFORMED
    assert len(str(caught.value)) < 200


def test_watch_response_is_one_change() -> None:
    node = {"key": "/p/a", "value": "2", "modifiedIndex": 8, "createdIndex": 5}
    assert parse_change(200, json.dumps({"action": "set", "node": node}).encode()) == Change(
        "set", "/p/a", "2", False, 8
    )
    node = {"key": "/p/a", "modifiedIndex": 9, "createdIndex": 5}
    body = json.dumps({"action": "delete", "node": node, "prevNode": {"key": "/p/a", "value": "2"}}).encode()
    assert parse_change(200, body) == Change("delete", "/p/a", "", False, 9)


@pytest.mark.parametrize(
    "body",
    [
        b'{"node": {"key": "/p/a", "value": "1", "modifiedIndex": 8}}',
        b'{"action": "set", "node": {"value": "1", "modifiedIndex": 8}}',
        b'{"action": "set", "node": {"key": "/p/a", "value": "1"}}',
        b'{"action": "set", "node": {"key": "/p/a", "value": "1", "modifiedIndex": "x"}}',
    ],
)
def test_malformed_change_is_refused(body: bytes) -> None:
    with pytest.raises(SourceError, match="malformed response from etcd"):
        parse_change(200, body)


@pytest.mark.parametrize("value", [7, 0, True, False, [], ["x"], {}, {"weight": 1}])
def test_value_of_a_wrong_type_is_an_error_of_its_key(value: object) -> None:
    nodes = [{"key": f"/p/{name}", "value": found, "modifiedIndex": 5} for name, found in (("a", value), ("b", "1"))]
    assert parsed("/p", 200, directory(*nodes), "7").texts == {"a": None, "b": "1"}
    set_ = {"action": "set", "node": nodes[0]}
    assert parse_change(200, json.dumps(set_).encode()).value is None


def test_watch_ends_without_a_change_when_the_member_stops() -> None:
    with pytest.raises(SourceError, match="watch ended without a change") as caught:
        parse_change(200, b"")
    assert caught.value.trouble is Trouble.SILENT


@pytest.mark.parametrize(
    "body",
    [
        b'{"errorCode":401,"message":"The event in requested index is outdated and cleared","index":2102}',
        b'{"errorCode":400,"message":"watcher is cleared due to etcd recovery","index":2102}',
    ],
)
def test_history_is_lost_when_etcd_cleared_it(body: bytes) -> None:
    with pytest.raises(HistoryLost):
        parse_change(400, body)


@pytest.mark.parametrize(
    ("status", "body", "reason", "trouble"),
    [
        (
            401,
            b'{"errorCode":110,"message":"Authentication required","cause":"Insufficient credentials","index":0}',
            "HTTP 401 (Authentication required: Insufficient credentials), wanted 200",
            Trouble.DENIED,
        ),
        (403, b"<html>", "HTTP 403, wanted 200", Trouble.DENIED),
        (404, b"<html>", "HTTP 404, wanted 200", Trouble.FAILED),
        (404, b'{"errorCode":100,"message":"Key not found"}', "HTTP 404 (Key not found), wanted 200", Trouble.FAILED),
        (503, b'{"errorCode":[],"message":"a\\u001b\\nb"}', "HTTP 503 (a\\x1b b), wanted 200", Trouble.FAILED),
        (
            500,
            b'{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0}',
            "HTTP 500 (Raft Internal Error: etcdserver: request timed out), wanted 200",
            Trouble.FAILED,
        ),
    ],
)
def test_error_response_is_classified(status: int, body: bytes, reason: str, trouble: Trouble) -> None:
    with pytest.raises(SourceError) as caught:
        parsed("/p", status, body, "")
    assert (str(caught.value), caught.value.trouble) == (reason, trouble)
