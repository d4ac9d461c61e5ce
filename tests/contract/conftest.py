from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.sources.contract import HARNESSES, ONE, SERVED, Rig, Served


@pytest.fixture(params=HARNESSES, ids=lambda kind: kind.__name__)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with closing(Rig(request.param(tmp_path))) as rig:
        yield rig


@pytest.fixture(params=SERVED, ids=lambda kind: kind.__name__)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, Served]]:
    harness = request.param(tmp_path)
    with closing(Rig(harness)) as rig:  # also if starts_with fails: the server must not outlive the test
        rig.starts_with(ONE)
        yield rig, harness
