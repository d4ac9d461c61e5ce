"""The index of the public incidents: each names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.harness.named_tests import ROOT, missing, rows

INDEX = ROOT / "tests/incidents/INDEX.md"
PAGES = ROOT / "docs/incidents"
REPLAYS = ROOT / "tests/incidents/in_guest"


@pytest.mark.parametrize(("incident", "tests"), rows(INDEX.read_text()).items(), ids=str)
def test_incident_names_tests_that_exist(incident: str, tests: list[str]) -> None:
    assert {name: part for name in tests if (part := missing(name))} == {}, incident


def test_missing_tests_are_found() -> None:
    assert missing("tests/unit/test_absent.py::test_it") == "tests/unit/test_absent.py"
    assert missing("tests/unit/test_incidents.py::test_it") == "test_it"
    assert missing("tests/incidents/INDEX.md") == "tests/incidents/INDEX.md"
    assert missing("tests/unit/test_incidents.py::test_missing_tests_are_found") == ""


def test_row_without_a_test_is_found() -> None:
    (tests,) = rows("| incident | test |\n|---|---|\n| it rains | |").values()
    assert list(map(missing, tests)) == ["no test"]


def test_tables_without_a_column_of_tests_are_ignored() -> None:
    text = "| a | b |\n|---|---|\n| 1 | 2 |\n\n| a | b | test |\n|---|---|---|\n| 1 | 2 | `x`, `y` |\n\n| a |\n|---|\n| 3 |"
    assert rows(text) == {"1": ["x", "y"]}


def test_each_page_of_an_incident_has_a_replay_and_is_in_both_tables() -> None:
    pages = {path.stem for path in PAGES.glob("????-??-??-*.md")}
    assert {path.stem.removeprefix("test_").replace("_", "-") for path in REPLAYS.glob("test_*.py")} == pages
    assert set(re.findall(r"^\| \[.*?\]\((.*?)\.md\) \|", (PAGES / "README.md").read_text(), re.MULTILINE)) == pages
    indexed = re.findall(rf"{REPLAYS.relative_to(ROOT)}/test_(\w+)\.py", INDEX.read_text())
    assert {name.replace("_", "-") for name in indexed} == pages
