from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.sources.contract import HARNESSES, ONE, SERVED, Rig, Served


@pytest.fixture(params=HARNESSES, ids=lambda kind: kind.__name__)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(request.param(tmp_path))
    yield rig
    rig.close()


@pytest.fixture(params=SERVED, ids=lambda kind: kind.__name__)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, Served]]:
    harness = request.param(tmp_path)
    rig = Rig(harness)
    rig.starts_with(ONE)
    yield rig, harness
    rig.close()
