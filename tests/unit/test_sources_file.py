"""Pool files that are written, renamed, linked and damaged while a source reads them."""

from __future__ import annotations

import itertools
import mmap
import os
from pathlib import Path
from random import Random

import pytest
from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources import kinds
from pybal.sources.base import SourceError
from pybal.sources.file import file_source
from pybal.sources.file_poll import INTERVAL, LARGEST, RESTLESS, SETTLED, FilePoll, checked_identity, content
from tests.harness.fake_workers import FakeWorkers

RESTLESS_CHECKS = round(RESTLESS / INTERVAL) + 2

A, B = b"{'host': 'a'}\n", b"{'host': 'b'}\n"


class FileRecorder:
    """Runs a source of ``path`` on a test clock and records its reports."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.hosts: list[str] = []
        self.errors: list[str] = []
        files = FilePoll(FakeWorkers(), self.clock)
        self.source = file_source(SourceSettings(f"file://{path}"), reactor=self.clock, random=Random(1), files=files)
        self._times = itertools.count(10**18, 10**9)

    def start(self) -> None:
        self.source.start(self.record_list, self._failed)
        self.settle()

    def settle(self) -> None:
        self.clock.pump([0.05] * 60)

    def write(self, data: bytes) -> None:
        self.path.write_bytes(data)
        self.stamp(self.path)

    def stamp(self, path: Path) -> None:
        # Two writes of a fast test could have the same time.
        time = next(self._times)
        os.utime(path, ns=(time, time))

    def record_list(self, members: tuple[Member, ...]) -> None:
        if not members:
            raise SourceError("lists no servers")
        self.hosts.append(" ".join(member.host for member in members))

    def _failed(self, error: SourceError) -> None:
        self.errors.append(str(error))


@pytest.fixture
def recorder(tmp_path: Path) -> FileRecorder:
    recorder = FileRecorder(tmp_path / "pool")
    recorder.write(A)
    return recorder


def test_source_reads_a_file_renamed_over_the_old_one(recorder: FileRecorder) -> None:
    recorder.start()
    new = recorder.path.with_name("new")
    new.write_bytes(B)
    new.rename(recorder.path)
    recorder.settle()
    assert recorder.hosts == ["a", "b"]
    assert recorder.errors == []


def test_source_follows_a_changed_symbolic_link(tmp_path: Path) -> None:
    for name, data in (("one", A), ("two", B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pool").write_bytes(data)
    (tmp_path / "current").symlink_to("one")
    recorder = FileRecorder(tmp_path / "current" / "pool")
    recorder.start()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    recorder.settle()
    assert recorder.hosts == ["a", "b"]


def test_problem_ends_when_a_link_returns_to_the_good_file(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(A)
    (tmp_path / "bad").write_bytes(b"{'host': \n")
    recorder = FileRecorder(tmp_path / "pool")
    recorder.path.symlink_to("good")
    recorder.start()
    recorder.path.unlink()
    recorder.path.symlink_to("bad")
    recorder.settle()
    assert recorder.source.problem is not None
    recorder.path.unlink()
    recorder.path.symlink_to("good")
    recorder.settle()
    assert recorder.source.problem is None
    assert recorder.hosts == ["a"]


def test_problem_ends_when_a_moved_file_returns(recorder: FileRecorder) -> None:
    recorder.start()
    recorder.path.rename(recorder.path.with_name("away"))
    recorder.settle()
    assert recorder.errors == [f"file://{recorder.path}: No such file or directory"]
    recorder.path.with_name("away").rename(recorder.path)
    recorder.settle()
    assert recorder.source.problem is None
    assert recorder.hosts == ["a"]


def test_source_reads_a_file_only_when_it_has_settled(recorder: FileRecorder) -> None:
    recorder.start()
    lines = [f"{{'host': '{i}'}}\n".encode() for i in range(80)]
    for length in range(1, len(lines) + 1):
        recorder.write(b"".join(lines[:length]))
        recorder.clock.advance(SETTLED / 2)
        assert recorder.hosts == ["a"]
    recorder.settle()
    assert recorder.hosts == ["a", " ".join(map(str, range(80)))]
    assert recorder.errors == []


def test_source_delivers_a_change_within_interval_and_settling_time(recorder: FileRecorder) -> None:
    recorder.start()
    recorder.write(B)
    recorder.clock.pump([0.01] * round((INTERVAL + SETTLED + 0.05) / 0.01))
    assert recorder.hosts == ["a", "b"]


def test_source_reports_a_file_that_keeps_changing_once(recorder: FileRecorder) -> None:
    recorder.start()
    for _ in range(round(RESTLESS / 0.1) + 20):
        recorder.write(B)
        recorder.clock.advance(0.1)
    assert recorder.errors == [f"file://{recorder.path}: still changing after 10 s"]
    assert recorder.hosts == ["a"]
    recorder.settle()
    assert recorder.hosts == ["a", "b"]
    assert recorder.source.problem is None


def test_reverted_change_does_not_count_as_restless(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(A)
    (tmp_path / "two").write_bytes(B)
    recorder = FileRecorder(tmp_path / "pool")
    recorder.path.symlink_to("one")
    recorder.start()
    for target in ("two", "one", "two"):
        recorder.path.unlink()
        recorder.path.symlink_to(target)
        for _ in range(RESTLESS_CHECKS if target == "one" else 1):
            recorder.clock.advance(INTERVAL)
    recorder.settle()
    assert recorder.hosts == ["a", "b"]
    assert recorder.errors == []


@pytest.mark.parametrize("time", [0, 2**33 * 10**9])
def test_source_reads_files_with_times_far_from_now(recorder: FileRecorder, time: int) -> None:
    """A file of 1970 or 2242, as after a step of the wall clock."""
    recorder.start()
    recorder.path.write_bytes(B)
    os.utime(recorder.path, ns=(time, time))
    recorder.settle()
    assert recorder.hosts == ["a", "b"]


def test_source_reads_a_change_of_equal_size_and_time(recorder: FileRecorder) -> None:
    recorder.start()
    before = recorder.path.stat()
    new = recorder.path.with_name("new")
    new.write_bytes(B)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(recorder.path)
    recorder.settle()
    assert recorder.hosts == ["a", "b"]


def test_source_refuses_a_fifo_without_blocking(recorder: FileRecorder) -> None:
    recorder.start()
    recorder.path.unlink()
    os.mkfifo(recorder.path)
    recorder.settle()
    assert recorder.errors == [f"file://{recorder.path}: not a regular file"]


def test_read_does_not_wait_for_a_fifo_that_replaced_the_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pool")
    with pytest.raises(ValueError, match="not a regular file"):
        content(tmp_path / "pool", (0,))


def test_content_is_not_returned_when_the_file_has_changed(recorder: FileRecorder) -> None:
    seen = checked_identity(recorder.path.stat())
    assert content(recorder.path, seen) == A
    recorder.write(B)
    assert content(recorder.path, seen) is None


def test_last_success_advances_when_the_first_list_has_bad_lines(recorder: FileRecorder) -> None:
    recorder.write(A + b"{'host': \n")
    recorder.start()
    recorder.clock.pump([0.5] * 200)
    assert recorder.source.last_success is not None
    assert recorder.clock.seconds() - recorder.source.last_success < 2
    assert len(recorder.errors) == 1


def test_source_refuses_a_directory(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path)
    recorder.start()
    assert recorder.errors == [f"file://{tmp_path}: not a regular file"]


def test_source_refuses_a_huge_file(recorder: FileRecorder) -> None:
    os.truncate(recorder.path, 2**40)
    recorder.start()
    assert recorder.errors == [f"file://{recorder.path}: {2**40} bytes, wanted at most {LARGEST}"]


def test_source_reports_an_impossible_path(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path / "po\0ol")
    recorder.start()
    assert len(recorder.errors) == 1


def test_source_keeps_its_list_while_the_file_is_rewritten(recorder: FileRecorder) -> None:
    recorder.start()
    recorder.write(b"")
    recorder.settle()
    recorder.write(A + B)
    recorder.settle()
    assert recorder.hosts == ["a", "a b"]
    assert recorder.errors == [f"file://{recorder.path}: lists no servers"]


def test_source_reads_an_invalid_file_again_with_unchanged_stat(recorder: FileRecorder) -> None:
    """An invalid file was not read again until it changed."""
    recorder.start()
    with recorder.path.open("r+b") as file, mmap.mmap(file.fileno(), len(B)) as memory:
        memory[:] = B.replace(b"}", b"(")
        recorder.stamp(recorder.path)
        recorder.settle()
        assert recorder.source.problem is not None
        # The page is already dirty, so the kernel does not update the time.
        memory[:] = B
        recorder.settle()
    assert recorder.hosts == ["a", "b"]
    assert recorder.source.problem is None


def test_file_scheme_selects_the_file_source() -> None:
    assert kinds.SUPPORTED["file"] is file_source
