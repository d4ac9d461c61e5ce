"""Log lines, byte for byte."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from pybal.runtime.log import Log, format_event, levels, log_to

PATIENCE = 120.0


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


def written(*events: dict[str, object], environ: Mapping[str, str] | None = None, debug: bool = False) -> str:
    """Return what a log writes to a pipe, read after its orderly stop."""
    reading, writing = os.pipe()
    status = os.fstat(writing)
    environ = {name: value.format(status) for name, value in (environ or {}).items()}
    log = log_to(writing, environ, debug=debug, burst=50)
    observer = levels(log, debug=debug)
    for each in events:
        observer(each)
    assert log.close(PATIENCE)
    os.close(writing)
    with os.fdopen(reading) as result:
        return result.read()


def test_debug_lines_are_written_only_with_debug() -> None:
    events = event("a", log_level=LogLevel.debug), event("b", log_level=LogLevel.info)
    assert written(*events) == "[pybal] INFO: b\n"
    assert written(*events, debug=True) == "[pybal] DEBUG: a\n[pybal] INFO: b\n"


def test_log_adds_priorities_for_journald() -> None:
    assert written(event("x"), environ={"JOURNAL_STREAM": "{0.st_dev}:{0.st_ino}"}) == "<4>[pybal] WARN: x\n"


def test_log_hides_info_of_twisted_without_debug() -> None:
    info = event("Main loop terminated.", log_level=LogLevel.info, log_namespace="twisted.internet.base")
    assert written(info) == ""
    assert written(info, debug=True) == "[pybal] INFO: Main loop terminated.\n"


def test_burst_of_one_pool_is_summarised_and_others_are_not() -> None:
    lines = written(
        *[event(f"{n}", system="text_80 Monitor") for n in range(60)], event("x", system="other")
    ).splitlines()
    assert lines[:25] == [f"[text_80 Monitor] WARN: {n}" for n in range(25)]
    assert lines[25:] == [
        "[other] WARN: x",
        "[text_80] WARN: and 35 more in the same second (log-burst = 50): 35 of other texts",
    ]


def test_suppressed_lines_are_not_formatted() -> None:
    formatted: list[int] = []
    log = Log(lambda _: None, burst=10, clock=lambda: 5.0)
    for number in range(20):
        late = {"log_format": "{fill()}", "fill": partial(formatted.append, number)}
        log({"log_level": LogLevel.error, "kind": "Could not depool server {host}", **late})
    log.close(PATIENCE)
    assert formatted == list(range(10))
    assert log.suppressed == 10


def test_summary_follows_by_itself_when_the_second_ends() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, burst=1)
    end = time.monotonic() + PATIENCE
    while log.suppressed == 0:  # two events in one second
        log(event("x"))
        log(event("x"))
    while b"more in the same second" not in b"".join(lines):
        assert time.monotonic() < end
        time.sleep(0.01)
    log.close(PATIENCE)


def test_limit_of_zero_writes_every_line() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, burst=1, clock=lambda: 5.0)
    log.limit(0)
    for number in range(200):
        log(event(f"{number}"))
    assert log.close(PATIENCE)
    assert b"".join(lines).count(b"\n") == 200


class Garbage:
    """An object in a cycle that logs when it is collected, as a Deferred with an unhandled error does."""

    def __init__(self, log: Callable[[], object]) -> None:
        self._itself, self._log = self, log

    def __del__(self) -> None:
        self._log()


def finishes(call: Callable[[], object]) -> bool:
    """Return whether a call in a thread returns."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


def collecting() -> float:
    """Collect garbage, as Python may at any moment; return the time of a clock."""
    gc.collect()
    return time.monotonic()


def test_garbage_may_log_while_a_line_is_logged() -> None:
    written: list[bytes] = []
    log = Log(written.append, burst=10, clock=collecting)
    Garbage(lambda: log(event("from garbage")))
    assert finishes(lambda: log(event("from the loop")))
    assert log.close(PATIENCE)
    assert sorted(b"".join(written).splitlines()) == [b"[pybal] WARN: from garbage", b"[pybal] WARN: from the loop"]
