"""The index of the public incidents: each names tests that exist."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "tests/incidents/INDEX.md"


def rows(text: str) -> dict[str, list[str]]:
    """Return the tests of each incident."""
    cells = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {incident.strip(): tests.strip().split(", ") for incident, tests in cells if tests.strip() != "test"}


def missing(name: str) -> str:
    """Return the part of ``file::class::function`` that does not exist, empty if all do."""
    file, *parts = name.split("::")
    if not (file.startswith("tests/") and Path(file).name.startswith("test_") and (ROOT / file).is_file()):
        return file or "no test"
    tree = ast.parse((ROOT / file).read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return next((part for part in parts if part not in defined), "")


@pytest.mark.parametrize(("incident", "tests"), rows(INDEX.read_text()).items(), ids=str)
def test_incident_names_tests_that_exist(incident: str, tests: list[str]) -> None:
    assert {name: part for name in tests if (part := missing(name))} == {}, incident


def test_missing_tests_are_found() -> None:
    assert missing("tests/unit/test_absent.py::test_it") == "tests/unit/test_absent.py"
    assert missing("tests/unit/test_incidents.py::test_it") == "test_it"
    assert missing("tests/incidents/INDEX.md") == "tests/incidents/INDEX.md"
    assert missing("tests/unit/test_incidents.py::test_missing_tests_are_found") == ""


def test_incident_without_a_test_is_found() -> None:
    (tests,) = rows("| incident | test |\n|---|---|\n| it rains | |").values()
    assert list(map(missing, tests)) == ["no test"]
