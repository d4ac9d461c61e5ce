"""A function that is called in a second process: its result, its error, and its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pybal.client.beside import beside
from pybal.journal.reader import JournalError


@contextmanager
def sleeping() -> Iterator[int]:
    """Yield the process id of a function that does not return."""
    reading, writing = os.pipe()

    def sleep() -> None:
        os.write(writing, b"%d" % os.getpid())
        time.sleep(3600)

    with beside(sleep) as result:
        pid = int(os.read(reading, 20))
        yield pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EOFError):
            result()


def test_result_comes_from_another_process() -> None:
    with beside(os.getpid) as result:
        assert result() != os.getpid()


def test_error_is_raised_by_the_result() -> None:
    def fail() -> None:
        raise JournalError("no journal")

    with beside(fail) as result, pytest.raises(JournalError, match="no journal"):
        result()


def test_process_that_was_killed_has_no_result() -> None:
    with sleeping():
        pass


def test_process_ends_with_the_context() -> None:
    with pytest.raises(KeyboardInterrupt), sleeping() as pid:
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
