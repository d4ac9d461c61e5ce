"""A function that is called in a second process: its result, its error, and its end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pybal.client.beside import beside
from pybal.journal.reader import JournalError
from tests.harness.daemon_process import wait_for


class Asleep:
    """A function that does not return in the copy, and returns 7 in the first process."""

    def __init__(self) -> None:
        self._first = os.getpid()
        self._reading, self._writing = os.pipe()

    def __call__(self) -> int:
        if os.getpid() == self._first:
            return 7
        os.write(self._writing, b"%d" % os.getpid())
        time.sleep(3600)
        return 0

    def pid(self) -> int:
        """Return the process id of the copy when it sleeps."""
        return int(os.read(self._reading, 20))


@pytest.fixture
def asleep() -> Asleep:
    return Asleep()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_result_comes_from_another_process() -> None:
    with beside(os.getpid) as result:
        assert result() != os.getpid()


def test_error_is_raised_by_the_result() -> None:
    def fail() -> None:
        raise JournalError("no journal")

    with beside(fail) as result, pytest.raises(JournalError, match="no journal"):
        result()


def test_function_is_called_again_when_the_copy_was_killed(asleep: Asleep) -> None:
    with beside(asleep) as result:
        os.kill(asleep.pid(), signal.SIGKILL)
        assert result() == 7


def test_function_is_called_when_there_can_be_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with beside(os.getpid) as result:
        assert result() == os.getpid()


def interrupt(asleep: Asleep, copies: list[int]) -> None:
    with beside(asleep):
        copies.append(asleep.pid())
        os.kill(copies[0], signal.SIGINT)  # as a terminal does
        assert is_alive(copies[0])
        raise KeyboardInterrupt


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM])
def test_copy_ends_with_the_context(asleep: Asleep, ignored: signal.Signals) -> None:
    before, copies = signal.signal(ignored, signal.SIG_IGN), list[int]()
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt(asleep, copies)
    finally:
        signal.signal(ignored, before)
    assert not is_alive(copies[0])


LARGE_RESULT = """
import os, sys
from pybal.client.beside import beside
def result():
    print(os.getpid(), file=open(sys.argv[1], "w"), flush=True)
    return bytes(1 << 20)
with beside(result):
    sys.stdin.read()
"""


def test_copy_ends_when_the_first_process_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    arguments = [sys.executable, "-c", LARGE_RESULT, str(note)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        wait_for(lambda: note.exists() and note.read_text().endswith("\n"), lambda: "no copy")
        first.kill()
        assert first.communicate()[0] == b""
    wait_for(lambda: not is_alive(int(note.read_text())), lambda: "the copy goes on")
