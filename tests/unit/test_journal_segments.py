"""The files of a journal whose disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybal.journal.segments import SegmentFiles
from tests.harness.full_disk import REASON, full_disk

HEADER, NOTE = b'{"journal":1}\n', b'{"event":"note"}\n'


def test_failed_segment_leaves_no_file(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, 1000)
    for _ in range(3):
        with full_disk(), pytest.raises(OSError, match=REASON):
            files.write(HEADER)
    assert list(tmp_path.iterdir()) == []
    files.write(HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001.jsonl"]


def test_failed_record_is_cut_and_ends_its_segment(tmp_path: Path) -> None:
    files = SegmentFiles(tmp_path, 1000)
    files.write(HEADER)
    with full_disk(len(HEADER) + 5), pytest.raises(OSError, match=REASON):
        files.write(NOTE)
    with pytest.raises(OSError, match=REASON):
        files.write(NOTE)
    files.write(HEADER + NOTE)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [HEADER, HEADER + NOTE]
