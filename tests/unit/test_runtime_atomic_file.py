"""Atomic replacement of files: content, permissions, errors and durability."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pybal.runtime.atomic_file import replace
from tests.harness.full_disk import REASON, full_disk


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_replace_creates_a_file_and_leaves_no_other(file: Path) -> None:
    replace(file, b"one")
    assert file.read_bytes() == b"one"
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]


def test_replace_leaves_the_old_file_to_its_readers(file: Path) -> None:
    replace(file, b"one")
    with file.open("rb") as old:
        replace(file, b"two")
        assert old.read() == b"one"
    assert file.read_bytes() == b"two"


@pytest.mark.parametrize("mode", [0o666, 0o600])
def test_replace_sets_the_mode_under_the_umask(file: Path, mode: int) -> None:
    before = os.umask(0o022)
    try:
        replace(file, b"one", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == mode & ~0o022


def test_replace_keeps_the_old_file_when_the_write_fails(file: Path) -> None:
    replace(file, b"one")
    with full_disk(4096), pytest.raises(OSError, match=REASON):
        replace(file, bytes(10000))
    assert file.read_bytes() == b"one"
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]


def test_replace_fails_when_the_directory_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "missing" / "state.json", b"one")


def test_replace_removes_the_temporary_file_when_the_rename_fails(file: Path) -> None:
    file.mkdir()
    with pytest.raises(IsADirectoryError):
        replace(file, b"one")
    assert [path.name for path in file.parent.iterdir()] == ["state.json"]


def test_replace_does_not_follow_a_link_at_the_temporary_name(file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / f"state.json.{os.getpid()}.new").symlink_to(victim)
    replace(file, b"one")
    assert (victim.read_bytes(), file.read_bytes()) == (b"untouched", b"one")


def test_replace_syncs_the_file_before_and_the_directory_after_the_rename(file: Path) -> None:
    calls = subprocess.run(
        ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", sys.executable, "-c", SCRIPT, str(file)],
        capture_output=True,
        text=True,
        check=True,
    ).stderr.splitlines()
    steps = [(line.partition("(")[0], line) for line in calls if str(file.parent) in line]
    assert [name for name, _ in steps] == ["fsync", "rename", "fsync"]
    assert f"{file}." in steps[0][1]
    assert f"<{file.parent}>" in steps[2][1]


SCRIPT = (
    "import sys, pathlib; from pybal.runtime.atomic_file import replace; replace(pathlib.Path(sys.argv[1]), b'one')"
)
