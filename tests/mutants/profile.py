"""A pytest plug-in for the mutants: the same examples every time, and no time spent on making a failure small."""

from __future__ import annotations

from pathlib import Path

import hypothesis

import pybal.core.policy

hypothesis.settings.register_profile(
    "mutants",
    derandomize=True,
    database=None,
    deadline=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)


def pytest_sessionstart() -> None:
    tested = Path(pybal.core.policy.__file__)
    assert tested.is_relative_to(Path.cwd()), f"{tested} is tested, wanted the copy in {Path.cwd()}"
