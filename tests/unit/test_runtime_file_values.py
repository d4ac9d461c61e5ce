"""Values computed from files: read in a thread, again after a change, with bounded patience."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from pybal.runtime.file_values import PATIENCE, FileValue, FileValues
from tests.harness.fake_workers import FakeWorkers


class Reader:
    """A value that is the content of a file, on a clock, with threads that can hang."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.threads = FakeWorkers()
        self.files = FileValues(self.threads, self.clock)
        self.path = directory / "file"
        self.builds = 0
        self.results: list[object] = []
        self.value = self.of(self.path)

    def of(self, path: Path) -> FileValue[str]:
        return self.files.value(path, [str(path)], self.reading(path), "using the last one")

    def reading(self, path: Path) -> Callable[[], str]:
        def build() -> str:
            self.builds += 1
            return path.read_text()

        return build

    def read(self, value: FileValue[str] | None = None) -> Deferred[None]:
        return (value or self.value).fresh().addCallbacks(self.results.append, lambda f: self.results.append(f.value))

    @property
    def alerts(self) -> list[str]:
        return [alert.text for alert in self.files.alerts()]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_value_is_computed_again_only_after_a_change(reader: Reader) -> None:
    for text in ("one", "one", "second"):
        if not reader.path.exists() or reader.path.read_text() != text:
            reader.path.write_text(text)
        reader.read()
    assert (reader.results, reader.builds) == (["one", "one", "second"], 2)


def test_users_of_one_key_share_a_value_and_a_look(reader: Reader) -> None:
    reader.path.write_text("one")
    assert reader.of(reader.path) is reader.value
    reader.threads.hold = True
    reader.read()
    reader.read()
    reader.threads.release()
    assert (reader.results, reader.threads.calls) == (["one", "one"], 1)


def test_unused_value_disappears(reader: Reader) -> None:
    reader.read()
    assert len(reader.alerts) == 1
    reader.results.clear()  # the exception refers to the value
    del reader.value
    gc.collect()
    assert reader.alerts == []


def test_unreadable_file_is_an_alert_that_clears(reader: Reader) -> None:
    with capturedLogs() as events:
        reader.read()
        reader.clock.advance(3)
        assert reader.alerts == [f"{reader.path}: No such file or directory (for 3 s); using the last one"]
        reader.path.write_text("one")
        reader.read()
    assert reader.alerts == []
    assert [formatEvent(event) for event in events] == [
        f"{reader.path}: No such file or directory; using the last one",
        f"{reader.path}: readable again",
    ]


def test_failed_read_keeps_the_last_value(reader: Reader) -> None:
    reader.path.write_text("one")
    reader.read()
    reader.path.unlink()
    reader.read()
    assert isinstance(reader.results[1], FileNotFoundError)
    assert reader.value.last == "one"


def test_hung_file_system_fails_each_reader_and_is_an_alert(reader: Reader) -> None:
    reader.threads.hold = True
    reader.read()
    reader.clock.advance(PATIENCE)
    reader.read()
    assert [type(result) for result in reader.results] == [TimeoutError, TimeoutError]
    reader.clock.advance(1)
    assert reader.alerts == [f"{reader.path}: no response from the file system for 3 s; using the last one"]
    reader.path.write_text("one")
    reader.threads.release()
    reader.read()
    assert (reader.results[2:], reader.alerts) == (["one"], [])
    assert reader.clock.getDelayedCalls() == []


def test_hung_directory_keeps_one_thread_and_no_other_directory(reader: Reader, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("other")
    same = reader.of(tmp_path / "same")
    reader.threads.hold = True
    reader.read()
    reader.read(same)
    assert reader.threads.calls == 1
    reader.threads.hold = False
    reader.read(reader.of(other / "file"))
    assert reader.results == ["other"]


def test_cancelled_reader_gets_nothing(reader: Reader) -> None:
    reader.path.write_text("one")
    reader.threads.hold = True
    reader.read().cancel()
    reader.read()
    reader.threads.release()
    assert reader.results[1:] == ["one"]
    assert reader.clock.getDelayedCalls() == []
