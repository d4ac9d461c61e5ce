"""The metrics in Prometheus' text format 0.0.4, computed at scrape.

prometheus_client renders the families with few series, one family per piece. It would block the event loop for 0.25 s with
ten thousand servers, so this module renders the families of servers, and other large ones, in pieces of at most
:data:`PIECE` series. The event loop runs other calls between two pieces. A piece is empty if it only computed values. The
contract suite compares the whole text with that of prometheus_client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

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
    """One metric with all its series. The name of a counter ends in ``_total``."""

    name: str
    kind: Kind
    help: str
    series: Sequence[tuple[Labels, float]]

    def metric(self) -> Metric:
        """Return the family as one of prometheus_client. Every series must have the same label names."""
        names = [name for name, _ in self.series[0][0]] if self.series else []
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        metric = kind(self.name, self.help, labels=names)
        for labels, value in self.series:
            metric.add_metric([_utf8(text) for _, text in labels], value)
        return metric


_SERVICE: tuple[tuple[str, Callable[[Tally], float], str], ...] = (
    ("pybal_service_servers", lambda t: t.total, "Servers in the pool"),
    ("pybal_service_servers_enabled", lambda t: t.enabled, "Servers enabled by the operator"),
    ("pybal_service_servers_up", lambda t: t.up, "Servers that all their monitors report up"),
    ("pybal_service_servers_unknown", lambda t: t.unknown, "Servers with a monitor that has no result yet"),
    ("pybal_service_servers_serving", lambda t: t.serving, "Servers that are up, enabled and have an address"),
    ("pybal_service_servers_pooled", lambda t: t.pooled, "Servers that are pooled"),
    ("pybal_service_servers_forced", lambda t: t.forced, "Servers pooled only because of the depool threshold"),
    ("pybal_service_pooled_down_servers", lambda t: t.pooled_down, "Servers that are down but pooled"),
    ("pybal_service_floor", lambda t: t.floor, "Minimum number of pooled servers (depool threshold)"),
    ("pybal_service_can_depool", lambda t: t.can_depool, "Whether the depool threshold allows one more removal"),
    ("pybal_service_depool_threshold", lambda t: t.threshold, "Share of the servers that must stay pooled"),
    (
        "pybal_service_could_not_depool_total",
        lambda t: t.could_not_depool,
        "Servers that went down but stayed pooled because of the depool threshold",
    ),
)

_MONITOR: tuple[tuple[str, Callable[[Monitor], int], str], ...] = (
    ("pybal_monitor_status", lambda m: 1 if m.up else 0, "Whether the monitor reports the server up"),
    ("pybal_monitor_up_transitions_total", attrgetter("up_transitions"), "Changes from down to up"),
    ("pybal_monitor_down_transitions_total", attrgetter("down_transitions"), "Changes from up to down"),
    ("pybal_monitor_up_results_total", attrgetter("up_results"), "Check results that passed"),
    ("pybal_monitor_down_results_total", attrgetter("down_results"), "Check results that failed"),
)

_SAMPLE_HELP: Mapping[str, str] = {metric: text for kind in KINDS.values() for metric, text in kind.help.items()}


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram without labels: upper bounds with cumulative counts; number and sum of all values."""

    name: str
    help: str
    buckets: Sequence[tuple[float, int]]
    count: int
    sum: float

    def metric(self) -> Metric:
        """Return the histogram as a metric of prometheus_client."""
        buckets = [(f"{bound:g}", float(count)) for bound, count in self.buckets]
        return HistogramMetricFamily(self.name, self.help, [*buckets, ("+Inf", float(self.count))], self.sum)


class Exposition:
    """Renders scrapes; caches the label text of the monitors of the last scrape."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str, str], str] = {}

    def pieces(
        self,
        snapshot: Snapshot,
        monitors: Iterable[tuple[str, str, Monitor]],
        families: Iterable[Family | Histogram] = (),
        registry: CollectorRegistry | None = None,
    ) -> Iterator[str]:
        """Yield the text. The first piece fixes the set of monitors; each piece reads the current values."""
        listed = list(monitors)
        yield from _service_pieces(snapshot)
        yield from self._monitor_pieces(listed)
        for family in families:
            yield from _family_pieces(family)
        for metric in registry.collect() if registry else ():
            yield _rendered(metric)

    def _monitor_pieces(self, monitors: list[tuple[str, str, Monitor]]) -> Iterator[str]:
        cached, self._labels = self._labels, {}
        rows: list[tuple[str, Monitor]] = []
        for batch in _batches(monitors):
            for service, host, monitor in batch:
                key = (service, host, monitor.name)
                text = cached.get(key) or _label_text((("host", host), ("monitor", monitor.name), ("service", service)))
                self._labels[key] = text
                rows.append((text, monitor))
            yield ""
        for name, value, explanation in _MONITOR:
            yield _header(name, explanation)
            for batch_of_rows in _batches(rows):
                yield "".join([f"{name}{{{text}}} {value(monitor)}.0\n" for text, monitor in batch_of_rows])
        yield from _sample_pieces(rows)


def _service_pieces(snapshot: Snapshot) -> Iterator[str]:
    rows: list[tuple[str, Tally]] = []
    for name, pool in snapshot.pools.items():
        rows.append((_label_text((("service", name),)), tally(pool, snapshot.could_not_depool.get(name, 0))))
        yield ""
    for name, value, explanation in _SERVICE:
        yield _header(name, explanation)
        for batch in _batches(rows):
            yield "".join(f"{name}{{{text}}} {float(value(sums))!r}\n" for text, sums in batch)


def _sample_pieces(rows: list[tuple[str, Monitor]]) -> Iterator[str]:
    """Yield the metrics of single kinds of monitor, grouped by metric as the format requires."""
    lines: dict[str, list[str]] = {}
    texts: dict[Labels, str] = {}
    # A monitor has several samples, each of which takes longer to render than a counter.
    for batch in _batches(rows, PIECE // 5):
        for text, monitor in batch:
            for sample in monitor.samples():
                extra = texts.get(sample.labels)
                if extra is None:
                    extra = texts[sample.labels] = "".join(f",{_label_text((label,))}" for label in sample.labels)
                line = f"{sample.metric}{{{text}{extra}}} {float(sample.value)!r}\n"
                lines.setdefault(sample.metric, []).append(line)
        yield ""
    for name, series in lines.items():
        yield _header(name, _SAMPLE_HELP[name])
        for series_batch in _batches(series):
            yield "".join(series_batch)


def _family_pieces(family: Family | Histogram) -> Iterator[str]:
    # prometheus_client appends _total to the name of every counter; PyBal 1.15 has a counter without it.
    renamed = isinstance(family, Family) and family.kind == "counter" and not family.name.endswith("_total")
    if isinstance(family, Histogram) or (len(family.series) <= PIECE and not renamed):
        yield _rendered(family.metric())
        return
    yield _header(family.name, family.help, family.kind)
    for batch in _batches(family.series):
        yield "".join(
            f"{family.name}{{{_label_text(labels)}}} {float(value)!r}\n"
            if labels
            else f"{family.name} {float(value)!r}\n"
            for labels, value in batch
        )


class _Single(Collector):
    """A collector of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metrics = (metric,)

    @override
    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _rendered(metric: Metric) -> str:
    return generate_latest(_Single(metric)).decode()


def _utf8(text: str) -> str:
    """Return a text that can be encoded; names from files in another encoding contain surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _header(name: str, explanation: str, kind: Kind | None = None) -> str:
    kind = kind or ("counter" if name.endswith("_total") else "gauge")
    escaped = explanation.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def _label_text(labels: Labels) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)


def _batches(items: Iterable[T], size: int = PIECE) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
