"""A pytest plug-in for mutants: fixed examples, and no shrinking of failures."""

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
    assert tested.is_relative_to(Path.cwd()), f"testing {tested} instead of the copy in {Path.cwd()}"
