"""Files that are written, renamed, linked and broken while they are looked at."""

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
from pybal.sources.file import INTERVAL, LARGEST, RESTLESS, SETTLED, content, file_source, identity_of

RESTLESS_LOOKS = round(RESTLESS / INTERVAL) + 2

A, B = b"{'host': 'a'}\n", b"{'host': 'b'}\n"


class Rig:
    """A source that looks at ``path``, on a clock of the test, and what it has told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.hosts: list[str] = []
        self.errors: list[str] = []
        self.source = file_source(SourceSettings(f"file://{path}"), reactor=self.clock, random=Random(1))
        self._times = itertools.count(10**18, 10**9)

    def start(self) -> None:
        self.source.start(self._listed, self._failed)
        self.settle()

    def settle(self) -> None:
        self.clock.pump([0.05] * 60)

    def write(self, data: bytes) -> None:
        self.path.write_bytes(data)
        self.stamp(self.path)

    def stamp(self, path: Path) -> None:
        # Real time hardly goes by in a test: two writes could have the same.
        time = next(self._times)
        os.utime(path, ns=(time, time))

    def _listed(self, members: tuple[Member, ...]) -> None:
        if not members:
            raise SourceError("lists no servers")
        self.hosts.append(" ".join(member.host for member in members))

    def _failed(self, error: SourceError) -> None:
        self.errors.append(str(error))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "pool")
    rig.write(A)
    return rig


def test_a_file_renamed_over_the_old_one_is_read(rig: Rig) -> None:
    rig.start()
    new = rig.path.with_name("new")
    new.write_bytes(B)
    new.rename(rig.path)
    rig.settle()
    assert rig.hosts == ["a", "b"]
    assert rig.errors == []


def test_a_symbolic_link_turned_to_another_file_is_followed(tmp_path: Path) -> None:
    for name, data in (("one", A), ("two", B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pool").write_bytes(data)
    (tmp_path / "current").symlink_to("one")
    rig = Rig(tmp_path / "current" / "pool")
    rig.start()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    rig.settle()
    assert rig.hosts == ["a", "b"]


def test_a_link_turned_to_a_broken_file_and_back_ends_the_problem(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(A)
    (tmp_path / "bad").write_bytes(b"{'host': \n")
    rig = Rig(tmp_path / "pool")
    rig.path.symlink_to("good")
    rig.start()
    rig.path.unlink()
    rig.path.symlink_to("bad")
    rig.settle()
    assert rig.source.problem is not None
    rig.path.unlink()
    rig.path.symlink_to("good")
    rig.settle()
    assert rig.source.problem is None
    assert rig.hosts == ["a"]


def test_a_file_moved_away_and_back_ends_the_problem(rig: Rig) -> None:
    rig.start()
    rig.path.rename(rig.path.with_name("away"))
    rig.settle()
    assert rig.errors == [f"file://{rig.path}: No such file or directory"]
    rig.path.with_name("away").rename(rig.path)
    rig.settle()
    assert rig.source.problem is None
    assert rig.hosts == ["a"]


def test_a_list_is_not_read_before_the_file_has_settled(rig: Rig) -> None:
    rig.start()
    lines = [f"{{'host': '{i}'}}\n".encode() for i in range(80)]
    for length in range(1, len(lines) + 1):
        rig.write(b"".join(lines[:length]))
        rig.clock.advance(SETTLED / 2)
        assert rig.hosts == ["a"]
    rig.settle()
    assert rig.hosts == ["a", " ".join(map(str, range(80)))]
    assert rig.errors == []


def test_a_change_is_applied_within_a_second_and_the_time_to_settle(rig: Rig) -> None:
    rig.start()
    rig.write(B)
    rig.clock.pump([0.01] * round((INTERVAL + SETTLED + 0.05) / 0.01))
    assert rig.hosts == ["a", "b"]


def test_a_file_that_never_settles_is_told_once_and_read_when_it_does(rig: Rig) -> None:
    rig.start()
    for _ in range(round(RESTLESS / 0.1) + 20):
        rig.write(B)
        rig.clock.advance(0.1)
    assert rig.errors == [f"file://{rig.path}: has kept changing for 10 s"]
    assert rig.hosts == ["a"]
    rig.settle()
    assert rig.hosts == ["a", "b"]
    assert rig.source.problem is None


def test_a_change_that_was_taken_back_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(A)
    (tmp_path / "two").write_bytes(B)
    rig = Rig(tmp_path / "pool")
    rig.path.symlink_to("one")
    rig.start()
    for target in ("two", "one", "two"):
        rig.path.unlink()
        rig.path.symlink_to(target)
        for _ in range(RESTLESS_LOOKS if target == "one" else 1):
            rig.clock.advance(INTERVAL)
    rig.settle()
    assert rig.hosts == ["a", "b"]
    assert rig.errors == []


@pytest.mark.parametrize("time", [0, 2**33 * 10**9])
def test_a_wall_clock_that_steps_stops_nothing(rig: Rig, time: int) -> None:
    """A file of 1970 or of 2242 is as good as one of today."""
    rig.start()
    rig.path.write_bytes(B)
    os.utime(rig.path, ns=(time, time))
    rig.settle()
    assert rig.hosts == ["a", "b"]


def test_a_change_that_keeps_size_and_time_of_the_file_is_seen(rig: Rig) -> None:
    rig.start()
    before = rig.path.stat()
    new = rig.path.with_name("new")
    new.write_bytes(B)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(rig.path)
    rig.settle()
    assert rig.hosts == ["a", "b"]


def test_a_file_in_place_of_which_there_is_a_fifo_does_not_stop_the_daemon(rig: Rig) -> None:
    rig.start()
    rig.path.unlink()
    os.mkfifo(rig.path)
    rig.settle()
    assert rig.errors == [f"file://{rig.path}: not a regular file"]


def test_a_fifo_that_takes_the_place_of_a_file_between_look_and_read_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pool")
    with pytest.raises(ValueError, match="not a regular file"):
        content(tmp_path / "pool", (0,))


def test_a_file_that_is_not_as_it_was_seen_is_not_read(rig: Rig) -> None:
    seen = identity_of(rig.path.stat())
    assert content(rig.path, seen) == A
    rig.write(B)
    assert content(rig.path, seen) is None


def test_a_file_with_bad_lines_from_the_start_does_not_go_stale(rig: Rig) -> None:
    rig.write(A + b"{'host': \n")
    rig.start()
    rig.clock.pump([0.5] * 200)
    assert rig.source.last_success is not None
    assert rig.clock.seconds() - rig.source.last_success < 2
    assert len(rig.errors) == 1


def test_a_directory_is_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.start()
    assert rig.errors == [f"file://{tmp_path}: not a regular file"]


def test_a_file_of_gigabytes_is_not_read(rig: Rig) -> None:
    os.truncate(rig.path, 2**40)
    rig.start()
    assert rig.errors == [f"file://{rig.path}: {2**40} bytes, wanted at most {LARGEST}"]


def test_a_path_that_no_file_can_have_is_a_problem_of_that_source(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "po\0ol")
    rig.start()
    assert len(rig.errors) == 1


def test_a_file_that_is_being_truncated_for_a_rewrite_keeps_the_list(rig: Rig) -> None:
    rig.start()
    rig.write(b"")
    rig.settle()
    rig.write(A + B)
    rig.settle()
    assert rig.hosts == ["a", "a b"]
    assert rig.errors == [f"file://{rig.path}: lists no servers"]


def test_a_broken_file_is_read_again_even_if_its_stat_stays_the_same(rig: Rig) -> None:
    """A broken file was not retried until it changed."""
    rig.start()
    with rig.path.open("r+b") as file, mmap.mmap(file.fileno(), len(B)) as memory:
        memory[:] = B.replace(b"}", b"(")
        rig.stamp(rig.path)
        rig.settle()
        assert rig.source.problem is not None
        # Its page is dirty already: the kernel notes no time for this.
        memory[:] = B
        rig.settle()
    assert rig.hosts == ["a", "b"]
    assert rig.source.problem is None


def test_the_looks_of_many_sources_are_spread(tmp_path: Path) -> None:
    random = Random(1)
    clock = Clock()
    for _ in range(116):
        source = file_source(SourceSettings(f"file://{tmp_path}/pool"), reactor=clock, random=random)
        source.start(lambda _: None, lambda _: None)
    clock.pump([0.05] * 200)
    times = sorted(call.getTime() for call in clock.getDelayedCalls())
    assert len(set(times)) == 116
    assert times[-1] - times[0] > SETTLED / 2


def test_the_scheme_of_the_url_chooses_the_kind_of_source() -> None:
    assert kinds.SUPPORTED["file"] is file_source
