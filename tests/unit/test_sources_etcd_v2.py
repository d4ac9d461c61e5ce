"""What a change in etcd makes of what is known, and when it is better to read all again."""

from __future__ import annotations

import etcd
import pytest

from pybal.sources.etcd.v2watch import Texts, applied

KNOWN = {"a": "1", "b": "2"}


def event(action: str, key: str, value: str | None = None, *, directory: bool = False) -> etcd.EtcdResult:
    return etcd.EtcdResult(action, {"key": key, "value": value, "dir": directory, "modifiedIndex": 7})


@pytest.mark.parametrize(
    ("action", "key", "value", "expected"),
    [
        ("set", "/pools/web/c", "3", {"a": "1", "b": "2", "c": "3"}),
        ("create", "/pools/web/c", "", {"a": "1", "b": "2", "c": ""}),
        ("update", "/pools/web/a", "3", {"a": "3", "b": "2"}),
        ("compareAndSwap", "/pools/web/a", "3", {"a": "3", "b": "2"}),
        ("delete", "/pools/web/a", None, {"b": "2"}),
        ("expire", "/pools/web/a", None, {"b": "2"}),
        ("compareAndDelete", "/pools/web/a", None, {"b": "2"}),
        ("delete", "/pools/web/unknown", None, KNOWN),
    ],
)
def test_a_change_of_one_key_changes_one_value(action: str, key: str, value: str | None, expected: Texts) -> None:
    assert applied(KNOWN, "/pools/web", event(action, key, value)) == expected
    assert KNOWN == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "change",
    [
        event("delete", "/pools/web", directory=True),
        event("delete", "/pools", directory=True),
        event("set", "/pools/web/sub", directory=True),
        event("delete", "/pools"),
        event("set", "/pools/website/a", "1"),
        event("touch", "/pools/web/a", "1"),
    ],
    ids=lambda change: f"{change.action} {change.key}",
)
def test_whatever_else_happens_all_is_read_again(change: etcd.EtcdResult) -> None:
    assert applied(KNOWN, "/pools/web", change) is None


def test_the_root_can_be_followed_too() -> None:
    assert applied(KNOWN, "/", event("set", "/a", "3")) == {"a": "3", "b": "2"}
