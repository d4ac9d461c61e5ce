"""A minute of random reloads and faults under one daemon."""

from __future__ import annotations

import os

import pytest

from tests.chaos.attempt import Run, run_and_shrink

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for its own resolver")

SEED = 13


def test_random_reloads_and_faults_break_no_invariant() -> None:
    played = run_and_shrink(Run("one-daemon", SEED), minutes=1, attempts=3)

    assert played.passed
    assert len(played.steps) > 10
