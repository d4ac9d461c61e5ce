"""Short stories in virtual time; and that each invariant is broken by a defect of the program."""

from __future__ import annotations

import pytest

from tests.virtual.defects import DEFECTS, Defect, broken
from tests.virtual.stories import STORIES, tell


@pytest.mark.parametrize("name", STORIES)
def test_story_breaks_no_invariant(name: str) -> None:
    tell(name)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.invariant}-{defect.module}")
def test_defect_breaks_its_invariant(defect: Defect) -> None:
    assert broken(defect) == defect.invariant
