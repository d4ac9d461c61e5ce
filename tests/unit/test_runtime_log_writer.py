"""The log writer with a reader that stalls, fails, and returns."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from pybal.runtime.log_writer import LogWriter, Trouble, write_all

PATIENCE = 120.0


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def report(trouble: Trouble, now: float) -> bytes:
    return b"dropped %d (%s)\n" % (trouble.dropped, trouble.reason.encode())


class Reader:
    """A reader that takes nothing until ``release``; ``fail`` makes each write fail."""

    def __init__(self) -> None:
        self.text = b""
        self.fail: OSError | None = None
        self.writing = threading.Event()
        self.reading = threading.Event()

    def write(self, text: bytes) -> None:
        self.writing.set()
        assert self.reading.wait(PATIENCE)
        if self.fail:
            raise self.fail
        self.text += text


@pytest.fixture
def reader() -> Reader:
    return Reader()


def stalled(reader: Reader, limit: int = 100) -> LogWriter:
    """Return a writer whose first line, ``0``, is being written."""
    writer = LogWriter(reader.write, report, limit=limit)
    writer.put(b"0\n")
    assert reader.writing.wait(PATIENCE)
    return writer


def test_put_returns_while_the_reader_is_stalled(reader: Reader) -> None:
    writer = stalled(reader)
    for _ in range(1000):
        writer.put(b"123456789\n")
    assert (writer.waiting, writer.dropped) == (10, 990)
    reader.reading.set()
    assert writer.close(PATIENCE)


def test_dropped_lines_are_reported_once_when_the_reader_returns(reader: Reader) -> None:
    writer = stalled(reader)
    for _ in range(15):
        writer.put(b"123456789\n")
    assert writer.trouble is not None
    assert (writer.trouble.reason, writer.trouble.dropped) == ("standard error not read", 5)
    reader.reading.set()
    wait_for(lambda: writer.trouble is None)
    writer.put(b"again\n")
    assert writer.close(PATIENCE)
    assert reader.text == b"0\n" + b"123456789\n" * 10 + b"dropped 5 (standard error not read)\nagain\n"
    assert writer.dropped == 5


def test_full_queue_drops_lines_until_half_is_free(reader: Reader) -> None:
    writer = stalled(reader)
    writer.put(b"x" * 99 + b"\n")
    writer.put(b"large enough to be dropped\n")
    writer.put(b"")
    assert writer.dropped == 2
    reader.reading.set()
    assert writer.close(PATIENCE)


def test_long_write_is_trouble_before_any_line_is_dropped(reader: Reader) -> None:
    now = 0.0
    writer = LogWriter(reader.write, report, clock=lambda: now)
    writer.put(b"0\n")
    assert reader.writing.wait(PATIENCE)
    assert writer.trouble is None
    now = 2.0
    assert writer.trouble == Trouble(0.0, "standard error not read")
    reader.reading.set()
    wait_for(lambda: writer.trouble is None)
    assert writer.close(PATIENCE)


def test_failed_write_is_trouble_until_one_succeeds(reader: Reader) -> None:
    reader.fail = BrokenPipeError(32, "Broken pipe")
    reader.reading.set()
    writer = LogWriter(reader.write, report)
    writer.put(b"lost\n")
    wait_for(lambda: writer.trouble is not None)
    assert writer.trouble is not None
    assert writer.trouble.reason == "Broken pipe"
    reader.fail = None
    writer.put(b"here\n")
    wait_for(lambda: writer.trouble is None)
    assert writer.close(PATIENCE)
    assert reader.text == b"here\ndropped 1 (Broken pipe)\n"


def test_orderly_stop_writes_every_line(reader: Reader) -> None:
    reader.reading.set()
    writer = LogWriter(reader.write, report)
    lines = [b"%d\n" % number for number in range(20_000)]
    for line in lines:
        writer.put(line)
    assert writer.close(PATIENCE)
    assert reader.text == b"".join(lines)


def test_stop_does_not_wait_for_a_stalled_reader(reader: Reader) -> None:
    writer = stalled(reader)
    assert not writer.close(0.01)
    reader.reading.set()


def test_woken_is_called_at_the_requested_time_without_lines(reader: Reader) -> None:
    woken = threading.Event()
    writer = LogWriter(reader.write, report, woken=woken.set)
    reader.reading.set()
    writer.put(b"0\n")
    writer.wake_at(time.monotonic() + 0.01)
    assert woken.wait(PATIENCE)
    assert writer.close(PATIENCE)


def test_descriptor_that_does_not_block_is_written_whole() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = bytes(1 << 20)
    done = threading.Thread(target=write_all, args=(writing, text))
    done.start()
    received = 0
    while received < len(text):
        received += len(os.read(reading, 65536))
    done.join(PATIENCE)
    os.close(reading)
    os.close(writing)
    assert received == len(text)


def test_lines_wait_until_the_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader = Reader()
    reader.reading.set()
    writer = LogWriter(reader.write, report)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    writer.put(b"one\n")
    assert writer.trouble is not None
    assert writer.trouble.reason == "cannot start the thread that writes"
    monkeypatch.undo()
    writer.put(b"two\n")
    assert writer.close(PATIENCE)
    assert reader.text == b"one\ntwo\n"
    assert writer.trouble is None


@pytest.mark.parametrize("error", [MemoryError(), ValueError("closed")])
def test_unexpected_exception_loses_the_lines_of_one_write(error: Exception) -> None:
    text: list[bytes] = []
    errors = [error]

    def write(line: bytes) -> None:
        if errors:
            raise errors.pop()
        text.append(line)

    writer = LogWriter(write, report)
    writer.put(b"one\n")
    wait_for(lambda: writer.dropped == 1)
    writer.put(b"two\n")
    assert writer.close(PATIENCE)
    assert b"two\n" in b"".join(text)
    assert writer.trouble is None


def test_exception_of_the_report_does_not_end_the_log() -> None:
    def broken(trouble: Trouble, now: float) -> bytes:
        raise MemoryError

    reader = Reader()
    reader.reading.set()
    reader.fail = OSError(28, "No space left on device")
    writer = LogWriter(reader.write, broken)
    writer.put(b"one\n")
    wait_for(lambda: writer.dropped == 1)
    reader.fail = None
    writer.put(b"two\n")
    writer.put(b"three\n")
    assert writer.close(PATIENCE)
    assert reader.text.endswith(b"three\n")
