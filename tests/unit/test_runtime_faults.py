"""Internal errors as alerts: tracebacks of the log, of activities and of the reactor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, Logger, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.runtime.faults import FORGET_SECONDS, MOST_FAULTS, WRITTEN_SECONDS, Faults, FirstOccurrence


class LoggedFaults:
    """The faults of this process on a test clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.faults = Faults(self.clock.seconds)

    @property
    def texts(self) -> list[str]:
        assert {alert.kind for alert in self.faults.alerts()} <= {"internal"}
        return [alert.text for alert in self.faults.alerts()]


@pytest.fixture
def logged() -> Iterator[LoggedFaults]:
    logged = LoggedFaults()
    globalLogPublisher.addObserver(logged.faults)
    yield logged
    globalLogPublisher.removeObserver(logged.faults)


def fail(error: Exception) -> None:
    try:
        raise error
    except type(error):
        Logger().failure("it failed")


def test_logged_traceback_is_an_alert_until_it_is_forgotten(logged: LoggedFaults) -> None:
    fail(ValueError("a bug"))
    logged.clock.advance(5)
    (text,) = logged.texts
    assert text.startswith("internal error 5 s ago: ValueError: a bug in test_runtime_faults.py:")
    assert text.endswith(" (once); continuing (see the log)")
    logged.clock.advance(FORGET_SECONDS)
    assert logged.texts == []


def test_repeated_traceback_is_one_alert_with_a_count(logged: LoggedFaults) -> None:
    fail(ValueError("a bug"))
    logged.clock.advance(30)
    fail(ValueError("a bug"))
    (text,) = logged.texts
    assert "(2 times in 30 s)" in text
    assert logged.faults.total == 2


def test_exception_of_a_callback_of_twisted_is_an_alert(logged: LoggedFaults) -> None:
    legacy.err(Failure(KeyError("x")))  # the reactor's way to log exceptions of descriptors
    assert "KeyError: 'x'" in logged.texts[0]


def test_exception_of_an_abandoned_deferred_is_an_alert(logged: LoggedFaults) -> None:
    Deferred[None]().errback(RuntimeError("abandoned"))
    assert "RuntimeError: abandoned in an unknown place" in logged.texts[0]


def test_number_of_faults_is_bounded(logged: LoggedFaults) -> None:
    for number in range(2 * MOST_FAULTS):
        logged.clock.advance(1)
        fail(ValueError(number))
    assert len(logged.texts) == MOST_FAULTS
    assert str(2 * MOST_FAULTS - 1) in logged.texts[-1]


def test_text_of_an_exception_is_one_printable_line(logged: LoggedFaults) -> None:
    class NoTextError(Exception):
        def __str__(self) -> str:
            raise ValueError

    fail(ValueError("two\nlines \x1b[31m" + "x" * 1000))
    fail(NoTextError())
    assert "two\\nlines \\x1b[31m" in logged.texts[0]
    assert len(logged.texts[0]) < 400
    assert ": NoTextError in " in logged.texts[1]


class WrittenLog:
    """The events that the limit passes, on a test clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []

        @implementer(ILogObserver)
        class Writer:
            def __call__(_self, event: LogEvent) -> None:  # noqa: N805  # the outer self
                self.events.append(event)

        self.observer = FilteringLogObserver(Writer(), [FirstOccurrence(self.clock.seconds)])


@pytest.fixture
def written() -> Iterator[WrittenLog]:
    log = WrittenLog()
    globalLogPublisher.addObserver(log.observer)
    yield log
    globalLogPublisher.removeObserver(log.observer)


def test_repeated_exceptions_are_kept_out_of_the_written_log(written: WrittenLog) -> None:
    for repeated in (False, True, None):
        written.observer({"n": repeated, "repeated": repeated})
    assert [event["n"] for event in written.events] == [False, None]


def test_tracebacks_of_one_place_are_written_once_a_minute(logged: LoggedFaults, written: WrittenLog) -> None:
    for number in range(1000):
        fail(ValueError(number))
    assert len(written.events) == 1
    assert logged.faults.total == 1000
    written.clock.advance(WRITTEN_SECONDS)
    fail(ValueError("again"))
    assert len(written.events) == 2


def test_tracebacks_of_other_types_and_places_are_written(written: WrittenLog) -> None:
    fail(ValueError("a bug"))
    fail(TypeError("a bug"))
    Logger().failure("it failed", Failure(ValueError("a bug")))
    legacy.err(Failure(KeyError("x")))
    legacy.err(Failure(KeyError("y")))
    assert len(written.events) == 4


def test_memory_of_written_tracebacks_is_bounded(written: WrittenLog) -> None:
    for number in range(2 * MOST_FAULTS):
        fail(type(f"Error{number}", (Exception,), {})())
    fail(type(f"Error{2 * MOST_FAULTS - 1}", (Exception,), {})())
    fail(type("Error0", (Exception,), {})())
    assert len(written.events) == 2 * MOST_FAULTS + 1


def test_failure_without_an_exception_is_ignored(logged: LoggedFaults) -> None:
    with suppress(ValueError):
        Logger().error("only text", log_failure=None)
    assert logged.texts == []
