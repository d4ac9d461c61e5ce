"""Pool files on file systems that hang, in real threads."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.runtime.workers import Workers
from pybal.sources.feed import Feed
from pybal.sources.file import file_source
from pybal.sources.file_poll import THREADS, FilePoll
from tests.harness.clock_with_threads import ClockWithThreads
from tests.harness.hung_mount import can_mount, hung_mount

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting FUSE needs root and /dev/fuse")


class HungFiles:
    """Pool files in directories that the test hangs, with the lists of their sources."""

    def __init__(self, root: Path) -> None:
        self.clock = ClockWithThreads()
        self.poll = FilePoll(Workers("files", THREADS, self.clock), self.clock)
        self.hosts: dict[str, str] = {}
        self.root = root
        self._sources: list[Feed] = []
        self._mounts = ExitStack()

    def source(self, name: str) -> Feed:
        """Write a list with the host ``one`` and start its source."""
        self.write(name, "one")
        settings = SourceSettings(f"file://{self.root / name}")
        source = file_source(settings, reactor=self.clock, random=Random(1), files=self.poll)

        def listed(members: tuple[Member, ...]) -> None:
            self.hosts[name] = members[0].host

        source.start(listed, lambda _: None)
        self._sources.append(source)
        return source

    def write(self, name: str, host: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{{'host': '{host}'}}\n")

    def hang(self, directory: str) -> None:
        self._mounts.enter_context(hung_mount(self.root / directory))

    def recover(self) -> None:
        self._mounts.close()

    def close(self) -> None:
        self.recover()
        for source in self._sources:
            source.stop()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[HungFiles]:
    files = HungFiles(tmp_path)
    yield files
    files.close()


def test_hung_file_system_keeps_the_list_and_is_reported(files: HungFiles, tmp_path: Path) -> None:
    source = files.source("nfs/pool")
    files.clock.pass_time(3)
    files.hang("nfs")
    files.clock.pass_time(6)
    assert source.problem == f"file://{tmp_path}/nfs/pool: no response from its file system for 3 s"
    assert files.hosts == {"nfs/pool": "one"}


def test_problem_of_a_hung_file_system_clears_by_itself(files: HungFiles) -> None:
    source = files.source("nfs/pool")
    files.clock.pass_time(3)
    files.hang("nfs")
    files.clock.pass_time(6)
    files.recover()
    files.clock.pass_time(3)
    assert source.problem is None
    assert source.last_success is not None
    assert files.clock.seconds() - source.last_success < 2


def test_files_elsewhere_are_read_while_six_file_systems_hang(files: HungFiles) -> None:
    hung = [files.source(f"nfs{number}/pool") for number in range(THREADS - 2)]
    other = files.source("local/pool")
    files.clock.pass_time(3)
    for number in range(THREADS - 2):
        files.hang(f"nfs{number}")
    files.clock.pass_time(60)
    files.write("local/pool", "two")
    files.clock.pass_time(3)
    assert files.hosts["local/pool"] == "two"
    assert other.problem is None
    assert None not in [source.problem for source in hung]


def test_files_of_one_hung_file_system_occupy_one_thread(files: HungFiles, tmp_path: Path) -> None:
    sources = [files.source(f"nfs/pool{number}") for number in range(20)]
    files.clock.pass_time(3)
    files.hang("nfs")
    before = threading.active_count()
    files.clock.pass_time(60)
    assert threading.active_count() - before <= 1
    assert sources[5].problem == (
        f"file://{tmp_path}/nfs/pool5: no response from the file system of {tmp_path}/nfs/pool0 for 3 s"
    )


def test_new_source_starts_while_another_file_system_hangs(files: HungFiles) -> None:
    files.source("nfs/pool")
    files.clock.pass_time(3)
    files.hang("nfs")
    files.clock.pass_time(6)
    files.source("local/pool")
    files.clock.pass_time(3)
    assert files.hosts["local/pool"] == "one"


def test_source_of_a_hung_file_system_stops_without_a_wait(files: HungFiles) -> None:
    source = files.source("nfs/pool")
    files.clock.pass_time(3)
    files.hang("nfs")
    files.clock.pass_time(6)
    source.stop()
    assert files.clock.getDelayedCalls() == []


def test_files_of_another_device_are_read_while_16_file_systems_hang(files: HungFiles) -> None:
    for number in range(2 * THREADS):
        files.source(f"nfs{number}/pool")
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        (tmp := elsewhere / "pool").write_text("{'host': 'one'}\n")
        (files.root / "link").symlink_to(tmp)
        files.source("link")
        files.clock.pass_time(3)
        for number in range(2 * THREADS):
            files.hang(f"nfs{number}")
        files.clock.pass_time(60)
        tmp.write_text("{'host': 'two'}\n")
        files.clock.pass_time(3)
    finally:
        shutil.rmtree(elsewhere)
    assert files.hosts["link"] == "two"
