"""Versions of a counted mapping and the differences between them."""

from __future__ import annotations

from typing_extensions import override

from pybal.core.counted import Counted
from pybal.core.steps import finish


class Words(Counted[str, int]):
    """Words, counted by their length."""

    @staticmethod
    @override
    def condition_of(value: str) -> int:
        return len(value)


def test_changes_of_a_version_are_those_of_its_replaced_values() -> None:
    before = Words({"a": "one", "b": "two", "c": "three"})
    assert before.replacing({"c": "six", "a": "ten"}).changes_since(before) == [
        ("a", "one", "ten"),
        ("c", "three", "six"),
    ]


def test_changes_of_names_list_removed_ones_last() -> None:
    before = Words({"a": "one", "b": "two", "c": "three"})
    after = Words({"d": "four", "c": "six", "b": before["b"]})
    assert after.changes_since(before) == [("d", None, "four"), ("c", "three", "six"), ("a", "one", None)]


def test_version_has_no_changes_from_itself() -> None:
    before = Words({"a": "one"})
    assert list(before.changes_since(before)) == []


def test_values_that_changed_back_are_no_change() -> None:
    before = Words({"a": "one", "b": "four"})
    assert before.replacing({"a": "six"}).replacing({"a": before["a"]}).changes_since(before) == []


def test_no_replacement_makes_no_version() -> None:
    before = Words({"a": "one", "b": "two"})
    assert before.replacing({}) is before
    assert finish(before.becoming(dict(before))) is before


def test_list_of_the_same_names_keeps_their_places() -> None:
    before = Words({"a": "one", "b": "two"})
    after = finish(before.becoming({"a": "one", "b": "six"}))
    assert after.names is before.names
    assert finish(before.becoming({"b": "six", "a": "one"})).names is not before.names
