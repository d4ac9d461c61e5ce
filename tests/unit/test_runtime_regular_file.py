"""Reading files that must be regular and of bounded size."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pybal.runtime import regular_file


def test_whole_file_up_to_the_limit_is_returned(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert regular_file.read(file, 5) == b"12345"
    assert regular_file.begin(file, 3) == b"123"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        regular_file.read(file, 4)


def test_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert regular_file.read(str(tmp_path / "link"), 9) == b"12345"


def test_other_files_are_refused_immediately(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path, tmp_path / "socket", tmp_path / "none"):
            with pytest.raises(OSError, match=r"regular file|directory|No such"):
                regular_file.read(path, 9)
