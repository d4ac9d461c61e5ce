"""The check that no process outlives the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.leftovers import MARKER, end_leftovers, leftovers, mark


@pytest.mark.parametrize("found_by", ["environment", "directory"])
def test_leftover_process_is_reported_and_killed(
    found_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARKER, "outer")
    marker = mark()
    assert marker.startswith("outer/")
    with subprocess.Popen(
        ["sleep", "60"],
        env={MARKER: marker} if found_by == "environment" else {},
        cwd="/" if found_by == "environment" else tmp_path,
    ) as process:
        assert leftovers(marker, tmp_path) == {process.pid: "sleep 60"}
        assert end_leftovers(marker, tmp_path, patience=0.1) == {process.pid: "sleep 60"}
        process.wait(30)
    assert leftovers(marker, tmp_path) == {}


def test_process_that_ends_in_time_is_not_reported(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "0.2"], cwd=tmp_path):
        assert end_leftovers("none", tmp_path) == {}
