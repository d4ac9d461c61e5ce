"""docs/security.md: each promise names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.harness.named_tests import ROOT, missing, rows

PAGE = (ROOT / "docs/security.md").read_text()


@pytest.mark.parametrize(("promise", "tests"), rows(PAGE).items(), ids=str)
def test_promise_names_tests_that_exist(promise: str, tests: list[str]) -> None:
    assert {name: part for name in tests if (part := missing(name))} == {}, promise


def test_every_section_about_an_input_has_promises() -> None:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
    told = {"Limits of these promises", "Hardening of the unit", "Reporting a vulnerability", "Threat model"}
    assert {name for name, text in sections.items() if not rows(text)} == told
