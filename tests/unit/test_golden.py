"""Golden files: outputs of PyBal for fixed inputs; ``python -m tests.harness.golden`` rewrites them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.harness.golden import GOLDEN, records

FILES = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def outputs() -> Mapping[str, str]:
    return dict(records())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.pinned) if name == "metrics.json" else name for name in FILES]
)
def test_output_equals_golden_file(outputs: Mapping[str, str], name: str) -> None:
    assert outputs.get(name) == (GOLDEN / name).read_text(encoding="utf-8")


def test_golden_files_cover_all_outputs(outputs: Mapping[str, str]) -> None:
    assert list(FILES) == sorted(outputs)
