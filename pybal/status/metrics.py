"""The metrics, in Prometheus' text format 0.0.4, computed at scrape.

Rendered directly and in pieces: with ten thousand servers prometheus_client needs 0.25 s, in which no check would run.
Each piece has at most :data:`PIECE` series, or is empty where there was much to compute and nothing to say yet; between
two pieces the loop is free. The result means exactly what prometheus_client's would (the contract suite says so).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Literal, TypeVar

from pybal.core.model import Snapshot
from pybal.monitors.base import Monitor
from pybal.monitors.kinds import KINDS
from pybal.status.compat115 import Tally, tally

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

PIECE = 500

Kind = Literal["gauge", "counter"]
Labels = tuple[tuple[str, str], ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its series: a counter's name ends in ``_total``."""

    name: str
    kind: Kind
    help: str
    series: Iterable[tuple[Labels, float]]


_SERVICE: tuple[tuple[str, Callable[[Tally], float], str], ...] = (
    ("pybal_service_servers", lambda t: t.total, "Servers in the pool"),
    ("pybal_service_servers_enabled", lambda t: t.enabled, "Servers enabled by the operator"),
    ("pybal_service_servers_up", lambda t: t.up, "Servers that all their monitors call up"),
    ("pybal_service_servers_unknown", lambda t: t.unknown, "Servers of which a monitor has said nothing yet"),
    ("pybal_service_servers_serving", lambda t: t.serving, "Servers up, enabled and with an address"),
    ("pybal_service_servers_pooled", lambda t: t.pooled, "Servers in the wanted set"),
    ("pybal_service_servers_forced", lambda t: t.forced, "Servers pooled only because of the depool threshold"),
    ("pybal_service_pooled_down_servers", lambda t: t.pooled_down, "Servers known to be down and pooled nevertheless"),
    ("pybal_service_floor", lambda t: t.floor, "Servers that stay pooled whatever their health"),
    ("pybal_service_can_depool", lambda t: t.can_depool, "Whether the threshold permits to depool a server"),
    ("pybal_service_depool_threshold", lambda t: t.threshold, "Share of the servers that is never depooled"),
    ("pybal_service_could_not_depool_total", lambda t: t.could_not_depool, "Servers that went down and had to stay"),
)

_MONITOR: tuple[tuple[str, Callable[[Monitor], int], str], ...] = (
    ("pybal_monitor_status", lambda m: 1 if m.up else 0, "Whether the monitor calls the server up"),
    ("pybal_monitor_up_transitions_total", attrgetter("up_transitions"), "Changes to up"),
    ("pybal_monitor_down_transitions_total", attrgetter("down_transitions"), "Changes to down"),
    ("pybal_monitor_up_results_total", attrgetter("up_results"), "Results that were up"),
    ("pybal_monitor_down_results_total", attrgetter("down_results"), "Results that were down"),
)

_SAMPLE_HELP: Mapping[str, str] = {metric: text for kind in KINDS.values() for metric, text in kind.help.items()}


class Exposition:
    """Renders scrapes, and keeps the text of the labels of those monitors that the last one saw."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str, str], str] = {}

    def pieces(
        self,
        snapshot: Snapshot,
        monitors: Iterable[tuple[str, str, Monitor]],
        families: Iterable[Family] = (),
    ) -> Iterator[str]:
        """Yield the text. The set of monitors is that of the first piece, their values are those of the moment."""
        watched = list(monitors)
        yield from _service_pieces(snapshot)
        yield from self._monitor_pieces(watched)
        for family in families:
            yield from _family_pieces(family)

    def _monitor_pieces(self, watched: list[tuple[str, str, Monitor]]) -> Iterator[str]:
        known, self._labels = self._labels, {}
        rows: list[tuple[str, Monitor]] = []
        for batch in _batches(watched):
            for service, host, monitor in batch:
                key = (service, host, monitor.name)
                text = known.get(key) or _text((("host", host), ("monitor", monitor.name), ("service", service)))
                self._labels[key] = text
                rows.append((text, monitor))
            yield ""
        for name, value, explanation in _MONITOR:
            yield _header(name, explanation)
            for part in _batches(rows):
                yield "".join([f"{name}{{{text}}} {value(monitor)}.0\n" for text, monitor in part])
        yield from _sample_pieces(rows)


def _service_pieces(snapshot: Snapshot) -> Iterator[str]:
    rows: list[tuple[str, Tally]] = []
    for name, pool in snapshot.pools.items():
        rows.append((_text((("service", name),)), tally(pool, snapshot.could_not_depool.get(name, 0))))
        yield ""
    for name, value, explanation in _SERVICE:
        yield _header(name, explanation)
        for part in _batches(rows):
            yield "".join(f"{name}{{{text}}} {float(value(sums))!r}\n" for text, sums in part)


def _sample_pieces(rows: list[tuple[str, Monitor]]) -> Iterator[str]:
    """Yield the metrics that only some kinds of monitor have: sorted by metric, as the format wants them."""
    lines: dict[str, list[str]] = {}
    texts: dict[Labels, str] = {}
    # A monitor has a few samples, each of which costs more than a counter.
    for batch in _batches(rows, PIECE // 5):
        for text, monitor in batch:
            for sample in monitor.samples():
                more = texts.get(sample.labels)
                if more is None:
                    more = texts[sample.labels] = "".join(f",{_text((label,))}" for label in sample.labels)
                lines.setdefault(sample.metric, []).append(f"{sample.metric}{{{text}{more}}} {float(sample.value)!r}\n")
        yield ""
    for name, series in lines.items():
        yield _header(name, _SAMPLE_HELP[name])
        for part in _batches(series):
            yield "".join(part)


def _family_pieces(family: Family) -> Iterator[str]:
    yield _header(family.name, family.help, family.kind)
    for part in _batches(family.series):
        yield "".join(
            f"{family.name}{{{_text(labels)}}} {float(value)!r}\n" if labels else f"{family.name} {float(value)!r}\n"
            for labels, value in part
        )


def _header(name: str, explanation: str, kind: Kind | None = None) -> str:
    kind = kind or ("counter" if name.endswith("_total") else "gauge")
    escaped = explanation.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def _text(labels: Labels) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)


def _batches(items: Iterable[T], size: int = PIECE) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
