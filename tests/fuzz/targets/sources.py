"""Responses of etcd and of Kubernetes, and the values in them."""

from __future__ import annotations

import json
from base64 import b64encode

from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.runtime.lines import LineSplitter, LineTooLong
from pybal.sources.base import SourceError
from pybal.sources.etcd import v2wire, v3wire
from pybal.sources.etcd.conftool import Values, parse_value
from pybal.sources.formats.entry import Refused
from pybal.sources.kubernetes import wire
from tests.fuzz.target import Fuzzed, choices, is_line, target
from tests.fuzz.targets.lists import is_sound

ETCD2 = (
    '"node"',
    '"nodes"',
    '"dir"',
    '"key"',
    '"value"',
    '"modifiedIndex"',
    '"action"',
    '"errorCode"',
    '"index"',
    "true",
    "null",
    "{}",
    "[]",
)
ETCD3 = (
    '"header"',
    '"kvs"',
    '"key"',
    '"value"',
    '"mod_revision"',
    '"count"',
    '"result"',
    '"events"',
    '"canceled"',
    '"error"',
    '"token"',
    "true",
    "[{",
    "}]",
)
NODES = (
    '"metadata"',
    '"name"',
    '"resourceVersion"',
    '"items"',
    '"kind"',
    '"NodeList"',
    '"spec"',
    '"unschedulable"',
    '"status"',
    '"conditions"',
    '"Ready"',
    '"ADDED"',
    '"DELETED"',
    '"BOOKMARK"',
    '"ERROR"',
    '"object"',
    '"type"',
    '"continue"',
)


def refusal(error: SourceError) -> None:
    """Fail unless a refusal is one short line."""
    is_line(str(error), 1000)


@target(
    "pybal.sources.etcd.v2wire",
    "pybal.sources.etcd.responses",
    seeds=[
        choices(b'{"action":"get","node":{"key":"/p","dir":true,"nodes":[{"key":"/p/a","value":"1","modifiedIndex":4},'
                b'{"key":"/p/d","dir":true,"nodes":[{"key":"/p/d/b","value":"2"}]}]}}', 0, 0),
        choices(b'{"errorCode":100,"message":"Key not found","cause":"/p","index":9}', 1, 0),
        choices(b'{"errorCode":401,"message":"The event in requested index is outdated","index":9}', 2, 0),
        choices(b'{"action":"get","node":{"key":"/p","value":"x","dir":[]}}', 0, 1),
        choices(b'{"message":"x token"}', 3, 0),
    ],
    words=ETCD2,
)  # fmt: skip
def etcd2_directory(data: bytes) -> None:
    """A directory is a mapping of texts, or refused in a line."""
    fuzzed = Fuzzed(data)
    status, index = fuzzed.pick((200, 404, 400, 401)), fuzzed.pick(("7", "", "x"))
    try:
        found = finish(v2wire.parsing_directory("/p", status, fuzzed.rest, index))
    except SourceError as error:
        refusal(error)
        return
    assert type(found.index) is int
    for key, text in (found.texts or {}).items():
        assert isinstance(key, str)
        assert text is None or isinstance(text, str)
    values = Values("/p")
    finish(values.replacing((found.texts or {}).items()))
    is_sound(values.listing())


@target(
    "pybal.sources.etcd.v2wire",
    seeds=[
        choices(b'{"action":"set","node":{"key":"/p/a","value":"1","modifiedIndex":4}}', 0),
        choices(b'{"action":"expire","node":{"key":"/p/a","modifiedIndex":"5"}}', 0),
        choices(b'{"action":"delete","node":{"key":"/p","dir":true,"modifiedIndex":5}}', 0),
        choices(b'{"errorCode":401,"index":9}', 1),
        choices(b"", 0),
    ],
    words=ETCD2,
)
def etcd2_change(data: bytes) -> None:
    """A change alters one key below the directory, or asks for a new read."""
    fuzzed = Fuzzed(data)
    status = fuzzed.pick((200, 400, 404))
    try:
        change = v2wire.parse_change(status, fuzzed.rest)
    except SourceError as error:
        refusal(error)
        return
    except v2wire.HistoryLost:
        assert status != 200
        return
    key = change.key_in("/p")
    assert key is None or change.key == f"/p/{key}"


@target(
    "pybal.sources.etcd.v3wire",
    "pybal.sources.etcd.responses",
    seeds=[
        choices(b'{"header":{"cluster_id":"1","revision":"7"},"kvs":[{"key":"YQ==","mod_revision":"3","value":"e30="}],"count":"1"}', 0),
        choices(b'{"header":{"cluster_id":1,"revision":"-7"}}', 0),
        choices(b'{"error":"etcdserver: user name is empty","code":3,"message":"etcdserver: user name is empty"}', 1),
        choices(b'{"error":{"message":"invalid auth token"}}', 2),
        choices(b'{"token":"abc.1"}', 3),
    ],
    words=ETCD3,
)  # fmt: skip
def etcd3_response(data: bytes) -> None:
    """A range has typed keys; its own encoding is the same range."""
    fuzzed = Fuzzed(data)
    kind = fuzzed.number(4)
    if kind in (1, 2):
        refusal(v3wire.parse_error(400 + kind, fuzzed.rest))
        return
    try:
        if kind == 3:
            token = v3wire.parse_token(fuzzed.rest)
            assert token.isascii()
            is_line(token, 1024)
            return
        found = finish(v3wire.parsing_range(fuzzed.rest))
    except SourceError as error:
        refusal(error)
        return
    entries = [
        {"key": b64encode(k).decode(), "value": b64encode(s.value or b"").decode(), "mod_revision": str(s.revision)}
        for k, s in found.keys.items()
    ]
    header = {"cluster_id": found.cluster, "revision": str(found.revision)}
    again = json.dumps({"header": header, "kvs": entries, "count": str(found.count)}).encode()
    assert finish(v3wire.parsing_range(again)) == found
    assert found.follows(found)
    assert v3wire.WatchedKeys(found.keys).missed(found) == abs(len(found.keys) - found.count) or found.keys


@target(
    "pybal.sources.etcd.v3wire",
    "pybal.runtime.lines",
    seeds=[
        choices(b'{"result":{"header":{"revision":"8"},"created":true}}\n{"result":{"events":[{"kv":{"key":"YQ==","mod_revision":"8","value":"MQ=="}}]}}\n', 9),
        choices(b'{"result":{"events":[{"type":"DELETE","kv":{"key":"YQ==","mod_revision":"9"}}]}}\n\n', 0),
        choices(b'{"result":{"canceled":true,"compact_revision":"5"}}\n', 3),
        choices(b'{"result":{"canceled":true,"cancel_reason":"rpc error: desc = etcdserver: x"}}\n{"error":{"message":"m"}}\n', 3),
    ],
    words=(*ETCD3, '"DELETE"', '"compact_revision"', '"cancel_reason"', "desc = "),
)  # fmt: skip
def etcd3_watch(data: bytes) -> None:
    """A stream cut anywhere has the same messages."""
    pieces = Fuzzed(data).pieces()
    whole, split = _watched([b"".join(pieces)]), _watched(pieces)
    assert whole == split


def _watched(pieces: list[bytes]) -> list[v3wire.WatchResponse | str]:
    lines, found = LineSplitter(400), list[v3wire.WatchResponse | str]()
    try:
        for piece in pieces:
            for line in lines.feed(piece):
                assert len(line) <= 400
                message = v3wire.parse_watch(line)
                if message.ended:
                    is_line(message.ended, 300)
                found.append(message)
    except SourceError as error:
        refusal(error)
        found.append(str(error))
    except LineTooLong as error:
        found.append(str(error))
    return found


@target(
    "pybal.sources.etcd.conftool",
    seeds=[
        choices(b'{"weight": 10, "pooled": "yes"}\0a.example', 0),
        choices(b'{"weight": "x", "pooled": "no"}\0a', 1),
        choices(b'{"pooled": "inactive"}\0b\n', 0),
        choices(b'{"pooled": "yes", "pooled": "no"}\0-a', 1),
    ],
    words=('"pooled"', '"weight"', '"yes"', '"no"', '"inactive"'),
)
def conftool_value(data: bytes) -> None:
    """A value is a member, none, or refused; the cache gives what a new one gives."""
    fuzzed = Fuzzed(data)
    as_bytes = fuzzed.flag()
    raw, _, name = fuzzed.rest.partition(b"\0")
    text: str | bytes = raw if as_bytes else raw.decode("utf-8", "replace")
    key = name.decode("utf-8", "replace")
    try:
        member = parse_value(key, text)
    except Refused:
        pass
    else:
        if member is not None:
            assert member.host == key
            pooled = "yes" if member.enabled else "no"
            assert parse_value(key, json.dumps({"weight": member.weight, "pooled": pooled})) == member
    values, texts = Values("/conftool/v1/pools/x"), {key: text, "other": '{"weight": 1, "pooled": "yes"}'}
    assert finish(values.replacing(texts.items())) == len(texts)
    first = values.listing()
    is_sound(first)
    assert Member("other", 1) in first.members or key == "other"
    assert finish(values.replacing(texts.items())) == 0
    assert values.listing() == first
    values.remove("other")
    is_sound(values.listing())


@target(
    "pybal.sources.kubernetes.wire",
    seeds=[
        choices(b'{"kind":"NodeList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"n1","resourceVersion":"5"},'
                b'"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}]}}]}', 0),
        choices(b'{"kind":"Status","code":403,"message":"nodes is forbidden"}', 1),
        choices(b'{"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"-","resourceVersion":"5"}}]}', 0),
    ],
    words=NODES,
)  # fmt: skip
def kubernetes_page(data: bytes) -> None:
    """A page has valid nodes or nodes with a problem."""
    fuzzed = Fuzzed(data)
    if fuzzed.flag():
        refusal(wire.error_response(410, fuzzed.rest))
        return
    try:
        found = wire.page(fuzzed.rest)
    except SourceError as error:
        refusal(error)
        return
    is_line(found.version, 64)
    for name, node in found.nodes.items():
        _is_node(name, node)
    assert wire.differences(wire.relisted({}, found.nodes), found.nodes, found.version) == 0


def _is_node(name: str, node: wire.Node) -> None:
    is_line(node.version, 64)
    if node.problem:
        is_line(node.problem, 400)
        is_line(name, 70)
    else:
        assert node.member == Member(name, wire.WEIGHT)
        assert node.ready in (True, False, None)
        assert type(node.cordoned) is bool


@target(
    "pybal.sources.kubernetes.wire",
    "pybal.runtime.lines",
    seeds=[
        choices(b'{"type":"ADDED","object":{"metadata":{"name":"n1","resourceVersion":"8"},"status":{"conditions":[{"type":"Ready","status":"False"}]}}}\n'
                b'{"type":"DELETED","object":{"metadata":{"name":"n1","resourceVersion":"9"}}}\n', 9),
        choices(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n{"type":"ERROR","object":{"code":410,"message":"too old"}}\n', 0),
        choices(b'{"type":"MODIFIED","object":{"metadata":{"name":"n2","resourceVersion":"9"},"spec":{"unschedulable":1}}}\n', 2),
    ],
    words=NODES,
)  # fmt: skip
def kubernetes_watch(data: bytes) -> None:
    """A stream cut anywhere has the same events, and leads to the same nodes."""
    pieces = Fuzzed(data).pieces()
    whole, split = _events([b"".join(pieces)]), _events(pieces)
    assert whole == split
    known: dict[str, wire.Node] = {}
    for event in whole:
        if isinstance(event, wire.Event) and event.name:
            before = dict(known)
            assert wire.apply(known, event) == (known != before)
            assert (event.name in known) == (event.node is not None)


def _events(pieces: list[bytes]) -> list[wire.Event | str]:
    lines, found = LineSplitter(400), list[wire.Event | str]()
    try:
        for piece in pieces:
            for line in lines.feed(piece):
                event = wire.event(line)
                is_line(event.version, 64)
                if event.node is not None:
                    _is_node(event.name, event.node)
                found.append(event)
    except SourceError as error:
        refusal(error)
        found.append(str(error))
    except LineTooLong as error:
        found.append(str(error))
    return found
