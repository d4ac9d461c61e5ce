"""Log lines, byte for byte."""

from __future__ import annotations

import io
import os

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from pybal.runtime.log import LogWriter, format_event, observer


def event(text: str, **fields: object) -> dict[str, object]:
    return {"log_level": LogLevel.warn, "log_namespace": "pybal.test", "log_format": "{text}", "text": text, **fields}


def test_line_has_system_and_level_and_no_timestamp() -> None:
    assert format_event(event("gone", system="text_80 ProxyFetch")) == "[text_80 ProxyFetch] WARN: gone\n"


def test_system_defaults_to_pybal() -> None:
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
def test_levels_have_the_names_of_115_and_syslog_priorities(level: object, word: str, number: int) -> None:
    assert format_event(event("x", log_level=level), priority=True) == f"<{number}>[pybal] {word}: x\n"


def test_line_breaks_become_continuation_lines() -> None:
    assert format_event(event("one\ntwo")) == "[pybal] WARN: one\n\ttwo\n"


def test_line_escapes_control_characters() -> None:
    line = format_event(event("got \x1b[2J\r[x] INFO: forged\x00"))
    assert line == "[pybal] WARN: got \\x1b[2J\\r[x] INFO: forged\\x00\n"


def test_braces_in_a_value_are_not_formatted() -> None:
    assert format_event(event("{system} {0}")) == "[pybal] WARN: {system} {0}\n"


def test_line_of_a_failure_includes_the_traceback() -> None:
    try:
        int("many")
    except ValueError:
        line = format_event(event("broken", log_failure=Failure()))
    assert line.startswith("[pybal] WARN: broken\n\tTraceback")
    assert "ValueError: invalid literal" in line


def test_debug_lines_are_written_only_with_debug() -> None:
    for debug, lines in ((False, "[pybal] INFO: b\n"), (True, "[pybal] DEBUG: a\n[pybal] INFO: b\n")):
        stream = io.StringIO()
        log = Logger(observer=LogPublisher(observer(stream, {}, debug=debug)))
        log.debug("a")
        log.info("b")
        assert stream.getvalue() == lines


def test_writer_ignores_a_closed_stream() -> None:
    def write(line: str) -> None:
        raise BrokenPipeError

    LogWriter(write)(event("x"))


def test_observer_adds_priorities_for_journald() -> None:
    reading, writing = os.pipe()
    status = os.fstat(writing)
    environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with os.fdopen(writing, "w") as stream:
        observer(stream, environ, debug=False)(event("x"))
    with os.fdopen(reading) as result:
        assert result.read() == "<4>[pybal] WARN: x\n"


def test_observer_hides_info_of_twisted_without_debug() -> None:
    for debug, lines in ((False, ""), (True, "[pybal] INFO: Main loop terminated.\n")):
        stream = io.StringIO()
        observer(stream, {}, debug=debug)(
            event("Main loop terminated.", log_level=LogLevel.info, log_namespace="twisted.internet.base")
        )
        assert stream.getvalue() == lines
