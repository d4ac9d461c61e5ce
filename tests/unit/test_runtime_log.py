"""The log lines, to the byte."""

from __future__ import annotations

import io
import os

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from pybal.runtime.log import LogWriter, format_event, observer


def event(text: str, **fields: object) -> dict[str, object]:
    return {"log_level": LogLevel.warn, "log_namespace": "pybal.test", "log_format": "{text}", "text": text, **fields}


def test_a_line_names_system_and_level_and_has_no_timestamp() -> None:
    assert format_event(event("gone", system="text_80 ProxyFetch")) == "[text_80 ProxyFetch] WARN: gone\n"


def test_an_event_without_a_system_is_the_daemons_own() -> None:
    assert format_event(event("Exiting...", log_level=LogLevel.info)) == "[pybal] INFO: Exiting...\n"


@pytest.mark.parametrize(
    ("level", "word", "number"),
    [
        (LogLevel.debug, "DEBUG", 7),
        (LogLevel.info, "INFO", 6),
        (LogLevel.warn, "WARN", 4),
        (LogLevel.error, "ERROR", 3),
        (LogLevel.critical, "CRITICAL", 2),
    ],
)
def test_levels_have_the_words_of_1_15_and_the_priorities_of_syslog(level: object, word: str, number: int) -> None:
    assert format_event(event("x", log_level=level), priority=True) == f"<{number}>[pybal] {word}: x\n"


def test_line_breaks_become_continuation_lines() -> None:
    assert format_event(event("one\ntwo")) == "[pybal] WARN: one\n\ttwo\n"


def test_what_a_hostile_server_sends_cannot_forge_a_line_or_drive_a_terminal() -> None:
    line = format_event(event("got \x1b[2J\r[x] INFO: all well\x00"))
    assert line == "[pybal] WARN: got \\x1b[2J\\r[x] INFO: all well\\x00\n"


def test_braces_in_a_value_are_not_read_as_a_format() -> None:
    assert format_event(event("{system} {0}")) == "[pybal] WARN: {system} {0}\n"


def test_a_failure_keeps_its_traceback() -> None:
    try:
        int("many")
    except ValueError:
        line = format_event(event("broken", log_failure=Failure()))
    assert line.startswith("[pybal] WARN: broken\n\tTraceback")
    assert "ValueError: invalid literal" in line


def test_debug_lines_are_written_only_when_asked_for() -> None:
    for debug, lines in ((False, "[pybal] INFO: b\n"), (True, "[pybal] DEBUG: a\n[pybal] INFO: b\n")):
        stream = io.StringIO()
        log = Logger(observer=LogPublisher(observer(stream, {}, debug=debug)))
        log.debug("a")
        log.info("b")
        assert stream.getvalue() == lines


def test_a_closed_stream_does_not_stop_the_daemon() -> None:
    def write(line: str) -> None:
        raise BrokenPipeError

    LogWriter(write)(event("x"))


def test_the_journals_own_stream_gets_priorities() -> None:
    reading, writing = os.pipe()
    status = os.fstat(writing)
    environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with os.fdopen(writing, "w") as stream:
        observer(stream, environ, debug=False)(event("x"))
    with os.fdopen(reading) as result:
        assert result.read() == "<4>[pybal] WARN: x\n"


def test_the_news_of_twisted_are_for_those_who_debug() -> None:
    for debug, lines in ((False, ""), (True, "[pybal] INFO: Main loop terminated.\n")):
        stream = io.StringIO()
        observer(stream, {}, debug=debug)(
            event("Main loop terminated.", log_level=LogLevel.info, log_namespace="twisted.internet.base")
        )
        assert stream.getvalue() == lines
