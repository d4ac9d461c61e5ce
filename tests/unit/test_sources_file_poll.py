"""Many pool files in one poll, with threads that the test holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.sources.base import SourceError, Trouble
from pybal.sources.file_poll import INTERVAL, PATIENCE, SETTLED, Content, FilePoll, PolledFile
from tests.harness.fake_workers import FakeWorkers


class PollOnClock:
    """A poll on a test clock, and what its files reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.threads = FakeWorkers()
        self.poll = FilePoll(self.threads, self.clock)
        self.good: list[str] = []
        self.found: list[Content] = []
        self.errors: list[SourceError] = []

    def await_change(self, path: Path | str, applied: PolledFile | None = None) -> PolledFile:
        file = applied or PolledFile(str(path), self.poll)
        waiting = file.changed(lambda: self.good.append(file.path))
        waiting.addCallbacks(self.found.append, lambda failure: self.errors.append(failure.value))
        return file

    def pass_intervals(self, number: int) -> None:
        self.clock.pump([INTERVAL] * number)


@pytest.fixture
def polled() -> PollOnClock:
    return PollOnClock()


def test_files_of_116_services_take_one_call_each_interval(polled: PollOnClock, tmp_path: Path) -> None:
    for number in range(116):
        (tmp_path / f"s{number}").write_text("{}")
        polled.await_change(tmp_path / f"s{number}")
    polled.clock.pump([0.01, SETTLED])
    assert len(polled.found) == 116
    assert polled.threads.calls == 2


def test_unchanged_file_is_good_at_each_interval(polled: PollOnClock, tmp_path: Path) -> None:
    path = tmp_path / "pool"
    path.write_text("{}")
    file = polled.await_change(path)
    polled.clock.pump([0.01, SETTLED])
    file.applied = polled.found[0].identity
    polled.await_change(path, file)
    polled.pass_intervals(5)
    assert polled.good == [str(path)] * 5


def test_file_is_not_looked_at_until_its_change_is_awaited_again(polled: PollOnClock, tmp_path: Path) -> None:
    polled.await_change(tmp_path / "missing")
    polled.pass_intervals(5)
    assert [(str(error), error.trouble) for error in polled.errors] == [
        ("No such file or directory", Trouble.UNREACHABLE)
    ]


def test_closed_files_leave_no_delayed_call(polled: PollOnClock, tmp_path: Path) -> None:
    files = [polled.await_change(tmp_path / name) for name in ("a", "b")]
    polled.pass_intervals(2)
    for file in files:
        file.close()
    assert polled.clock.getDelayedCalls() == []


def test_result_of_a_closed_file_is_ignored(polled: PollOnClock, tmp_path: Path) -> None:
    polled.threads.hold = True
    file = polled.await_change(tmp_path / "missing")
    polled.pass_intervals(1)
    file.close()
    polled.threads.release()
    assert polled.errors == []


def test_files_without_a_free_thread_are_reported_once_until_looked_at(polled: PollOnClock, tmp_path: Path) -> None:
    polled.threads.hold = True
    path = tmp_path / "missing"
    file = polled.await_change(path)
    polled.pass_intervals(PATIENCE + 2)
    assert [error.trouble for error in polled.errors] == [Trouble.SILENT]
    polled.await_change(path, file)
    polled.pass_intervals(20)
    assert len(polled.errors) == 1
    polled.threads.release()
    assert str(polled.errors[1]) == "No such file or directory"


def test_pause_of_the_whole_machine_is_no_hang(polled: PollOnClock, tmp_path: Path) -> None:
    polled.threads.hold = True
    polled.await_change(tmp_path / "missing")
    polled.clock.advance(0)
    polled.clock.advance(3600)
    assert polled.errors == []


def test_internal_error_of_a_look_does_not_end_the_poll(polled: PollOnClock, tmp_path: Path) -> None:
    polled.threads.error = RuntimeError("cannot start a thread")
    polled.await_change(tmp_path / "missing")
    polled.pass_intervals(2)
    polled.threads.error = None
    polled.pass_intervals(2)
    assert len(polled.errors) == 1
