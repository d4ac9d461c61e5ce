"""Metrics and alert of the log."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.core.model import Alert
from pybal.runtime.log import Log
from pybal.status.metrics import Family


def families(log: Log) -> Iterator[Family]:
    """Yield the metrics."""
    dropped = "Log lines dropped because standard error was not read"
    yield Family("pybal_log_dropped_total", "counter", dropped, (((), log.writer.dropped),))
    suppressed = "Log lines that a summary replaced (log-burst)"
    yield Family("pybal_log_suppressed_total", "counter", suppressed, (((), log.suppressed),))


def alerts(log: Log) -> Iterator[Alert]:
    """Yield an alert while lines are not written."""
    if text := log.alert():
        yield Alert("", "log", text)
