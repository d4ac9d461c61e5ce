"""The index and the list of renames of tests/harness are complete."""

from __future__ import annotations

from collections import Counter

from tests.harness.index import HARNESS, README, rendered

RENAMES = [line.split("\t") for line in (HARNESS / "RENAMES.tsv").read_text(encoding="utf-8").splitlines()]


def test_index_lists_every_module_with_its_docstring() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == rendered(), "run: python -m tests.harness.index"


def test_renames_have_two_names_each() -> None:
    assert RENAMES[0] == ["old", "new"]
    assert [names for names in RENAMES if len(names) != 2 or "" in names or names[0] == names[-1]] == []


def test_renames_list_no_old_name_twice() -> None:
    assert [name for name, count in Counter(old for old, _ in RENAMES).items() if count > 1] == []


def test_renames_list_no_old_name_as_new() -> None:
    assert {old for old, _ in RENAMES} & {new for _, new in RENAMES} == set()
