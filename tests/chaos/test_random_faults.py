"""A minute of random reloads and faults; longer runs: ``python -m tests.chaos.run MINUTES SEED…``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.run import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for its own resolver")

SEED = 13


def test_random_reloads_and_faults_break_no_invariant(tmp_path: Path) -> None:
    assert run(SEED, 0.0, tmp_path) > 10
