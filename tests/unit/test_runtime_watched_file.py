"""Watched files: read once per change of their stat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pybal.runtime.watched_file import WatchedFile, identity


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    return path


class CountingParser:
    """Returns the text of a file and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: bytes) -> str:
        self.calls += 1
        return data.decode()


def test_file_is_read_once_while_unchanged(file: Path) -> None:
    parse = CountingParser()
    watched = WatchedFile(file, parse, "")
    assert [watched.value() for _ in range(3)] == ["one"] * 3
    assert parse.calls == 1


def test_file_is_read_again_after_a_change_of_the_same_size(file: Path) -> None:
    watched = WatchedFile(file, CountingParser(), "")
    assert watched.value() == "one"
    file.write_bytes(b"two")
    os.utime(file, ns=(2, 2))
    assert watched.value() == "two"


def test_file_is_read_again_after_a_rename_with_the_same_times(file: Path) -> None:
    watched = WatchedFile(file, CountingParser(), "")
    assert watched.value() == "one"
    other = file.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(1, 1))
    other.replace(file)
    assert watched.value() == "two"


def test_value_is_unreadable_until_the_file_appears(tmp_path: Path) -> None:
    watched = WatchedFile(tmp_path / "file", CountingParser(), "unreadable")
    assert watched.value() == "unreadable"
    (tmp_path / "file").write_bytes(b"one")
    assert watched.value() == "one"


def test_value_is_unreadable_after_the_file_disappears(file: Path) -> None:
    watched = WatchedFile(file, CountingParser(), "unreadable")
    assert watched.value() == "one"
    file.unlink()
    assert watched.value() == "unreadable"
    file.write_bytes(b"one")
    assert watched.value() == "one"


def test_file_is_read_again_after_the_parser_fails(file: Path) -> None:
    watched = WatchedFile(file, int, 0)
    with pytest.raises(ValueError, match="invalid literal"):
        watched.value()
    with pytest.raises(ValueError, match="invalid literal"):
        watched.value()


def test_identity_of_a_missing_file_returns_none(tmp_path: Path) -> None:
    assert identity(tmp_path / "missing") is None
