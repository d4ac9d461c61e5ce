"""Writes of state files that fail, hang and follow each other."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.sources.state_files import PATIENCE, RETRY, SLOW, StateFiles
from tests.harness.fake_workers import FakeWorkers

ONE, TWO = Path("/var/lib/pybal/one"), Path("/var/lib/pybal/two")


class StateOnClock:
    """State files on a test clock, and the texts written."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.threads = FakeWorkers()
        self.files = StateFiles(self.threads, self.clock)
        self.written: list[str] = []
        self.full = False

    def write(self, path: Path, text: str) -> None:
        self.files.write(path, self._writer(text))

    @property
    def alerts(self) -> list[str]:
        return [alert.text for alert in self.files.alerts()]

    def finish(self) -> list[object]:
        ended: list[object] = []
        self.files.finish().addCallback(ended.append)
        return ended

    def _writer(self, text: str) -> Callable[[], None]:
        def write() -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written.append(text)

        return write


@pytest.fixture
def state() -> StateOnClock:
    return StateOnClock()


def test_last_of_several_waiting_contents_is_written(state: StateOnClock) -> None:
    state.threads.hold = True
    state.write(ONE, "first")
    state.write(TWO, "second")
    state.write(TWO, "third")
    state.threads.release()
    assert state.written == ["first", "third"]


def test_failed_write_is_an_alert_until_it_succeeds(state: StateOnClock) -> None:
    state.full = True
    state.write(ONE, "one")
    state.write(TWO, "two")
    state.clock.advance(RETRY)
    assert state.alerts == [f"cannot write {ONE} and 1 other files: No space left on device (for 10 s); retrying"]
    state.full = False
    state.clock.advance(RETRY)
    assert state.alerts == []
    assert state.written == ["one", "two"]
    assert state.clock.getDelayedCalls() == []


def test_newer_content_replaces_that_of_a_failed_write(state: StateOnClock) -> None:
    state.full = True
    state.write(ONE, "old")
    state.full = False
    state.write(ONE, "new")
    state.clock.advance(RETRY)
    assert state.written == ["new"]


def test_retry_does_not_bring_back_the_content_before_a_write_in_progress(state: StateOnClock) -> None:
    state.full = True
    state.write(ONE, "old")
    state.full, state.threads.hold = False, True
    state.write(ONE, "new")
    state.clock.advance(RETRY)
    state.threads.release()
    state.clock.advance(RETRY)
    assert "old" not in state.written
    assert state.alerts == []


def test_write_that_hangs_is_an_alert_until_it_ends(state: StateOnClock) -> None:
    state.threads.hold = True
    state.write(ONE, "one")
    state.clock.advance(SLOW + 1)
    assert state.alerts == [f"{ONE}: not written for 6 s; waiting for the file system"]
    state.threads.release()
    assert state.alerts == []


def test_stop_waits_for_all_writes(state: StateOnClock) -> None:
    state.threads.hold = True
    state.write(ONE, "one")
    state.write(TWO, "two")
    ended = state.finish()
    assert ended == []
    state.threads.release()
    assert ended != []
    assert state.written == ["one", "two"]
    assert state.clock.getDelayedCalls() == []


def test_stop_does_not_wait_longer_for_a_write_that_hangs(state: StateOnClock) -> None:
    state.threads.hold = True
    state.write(ONE, "one")
    ended = state.finish()
    state.clock.advance(PATIENCE)
    assert ended != []
    assert state.clock.getDelayedCalls() == []


def test_stop_makes_one_more_attempt_at_a_failed_write(state: StateOnClock) -> None:
    state.full = True
    state.write(ONE, "one")
    state.full = False
    assert state.finish() != []
    assert state.written == ["one"]
    assert state.clock.getDelayedCalls() == []
