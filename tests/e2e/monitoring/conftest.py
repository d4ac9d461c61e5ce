"""The balancer that a monitoring system watches, one for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.watched_balancer import WatchedBalancer, watched_balancer


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[WatchedBalancer]:
    if os.geteuid() != 0 or not shutil.which("bird"):
        pytest.skip("needs bird, and root for a network namespace")
    with watched_balancer(tmp_path) as running:
        yield running
