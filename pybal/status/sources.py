"""The state of each pool source as text, JSON and metrics: its last success, last change and problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pybal.core.text import format_age
from pybal.runtime.clocks import Clocks
from pybal.sources.pool_source import PoolSource
from pybal.status.json_pieces import JSON
from pybal.status.metrics import Family

Sources = Iterable[tuple[str, PoolSource]]
"""The sources by the name of their service."""


def sources_text(sources: Sources, clocks: Clocks) -> str:
    """Return a line for each source."""
    return "".join(f"{service}: {source_line(source, clocks)}\n" for service, source in sources)


def sources_json(sources: Sources, clocks: Clocks) -> JSON:
    """Return the state of each source by the name of its service; ages are in seconds."""
    return {
        service: {
            "source": source.name,
            "problem": source.problem,
            "stale": source.stale,
            "last_success": _time(source.last_success, clocks),
            "last_change": _time(source.last_change, clocks),
            "age": round(source.age, 3),
            "errors": {str(trouble): count for trouble, count in source.errors.items()},
            "differences": source.differences,
        }
        for service, source in sources
    }


def families(sources: Sources, clocks: Clocks) -> Iterator[Family]:
    """Yield the metrics of the sources. A timestamp is 0 until the event has happened once."""
    labelled = [((("service", service),), source) for service, source in sources]
    good = [(labels, source.problem is None) for labels, source in labelled]
    yield Family("pybal_source_up", "gauge", "Whether the pool source has no problem", good)
    success = [(labels, _stamp(source.last_success, clocks)) for labels, source in labelled]
    yield Family(
        "pybal_source_last_success_timestamp_seconds",
        "gauge",
        "Time of the last successful read of the pool source",
        success,
    )
    change = [(labels, _stamp(source.last_change, clocks)) for labels, source in labelled]
    yield Family(
        "pybal_source_last_change_timestamp_seconds", "gauge", "Time of the last change of the server list", change
    )
    stale = [(labels, source.stale) for labels, source in labelled]
    yield Family("pybal_source_stale", "gauge", "1 while the copy of the server list on disk is in use", stale)
    errors = [
        ((*labels, ("kind", str(trouble))), count)
        for labels, source in labelled
        for trouble, count in source.errors.items()
    ]
    yield Family("pybal_source_errors_total", "counter", "Errors by kind; a repeated error counts once", errors)
    differences = [(labels, source.differences) for labels, source in labelled]
    explanation = "Entries that the watch missed, found by a full read"
    yield Family("pybal_source_differences_total", "counter", explanation, differences)


def source_line(source: PoolSource, clocks: Clocks) -> str:
    """Return the name or the problem of a source, with the ages of its last success and change."""
    # A problem begins with the name of the source.
    return f"{source.problem or source.name}; {_ago('read', source.last_success, clocks)}, {_ago('changed', source.last_change, clocks)}"


def _ago(event: str, at: float | None, clocks: Clocks) -> str:
    return f"never {event}" if at is None else f"last {event} {format_age(clocks.monotonic - at)} ago"


def _time(at: float | None, clocks: Clocks) -> str | None:
    return None if at is None else clocks.iso_time(at)


def _stamp(at: float | None, clocks: Clocks) -> float:
    return 0 if at is None else clocks.time_of(at).timestamp()
