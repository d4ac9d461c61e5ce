"""The metrics in Prometheus' text format 0.0.4, computed at scrape.

prometheus_client renders the families with few series, one family per piece. It would block the event loop for 0.25 s with
ten thousand servers, so this module renders the families of servers, and other large ones, in pieces of at most
:data:`PIECE` series. The event loop runs other calls between two pieces. A piece is empty if it only computed values. The
contract suite compares the whole text with that of prometheus_client.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, groupby, islice
from operator import attrgetter, itemgetter
from typing import Literal, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from pybal.core.model import Placement, Pool, Snapshot
from pybal.monitors.base import Labels, Monitor, Samples, Series
from pybal.monitors.kinds import KINDS
from pybal.status.compat115 import Tally, tally

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

PIECE = 500

Kind = Literal["gauge", "counter"]
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
    ("pybal_service_servers_down", lambda t: t.down, "Servers that a monitor reports down"),
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

_MONITOR: tuple[tuple[str, Callable[[Monitor], int | None], str], ...] = (
    ("pybal_monitor_status", attrgetter("up"), "Whether the monitor reports the server up"),
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
    """Renders scrapes; keeps the text of the servers and monitors of the last scrape."""

    def __init__(self) -> None:
        self._batches: dict[tuple[str, str, str], _Batch] = {}
        self._placed: dict[str, _ServerText] = {}

    def pieces(
        self,
        snapshot: Snapshot,
        monitors: Iterable[tuple[str, str, Monitor]],
        families: Iterable[Family | Histogram | None] = (),
        registry: CollectorRegistry | None = None,
        *,
        servers: bool = True,
    ) -> Iterator[bytes]:
        """Yield the text, in UTF-8; ``None`` among the families ends a piece.

        The first piece fixes the set of monitors; each piece reads the current values. The series of servers and of their
        monitors are left out if ``servers`` is false.
        """
        listed = list(monitors) if servers else []
        yield from _service_pieces(snapshot)
        if servers:
            yield from self._server_pieces(snapshot)
            yield from self._monitor_pieces(listed)
        for family in families:
            yield from _family_pieces(family)
        for metric in registry.collect() if registry else ():
            yield _rendered(metric)

    def _server_pieces(self, snapshot: Snapshot) -> Iterator[bytes]:
        kept, placed = self._placed, dict[str, _ServerText]()
        for pools in _pool_batches(snapshot.pools):
            first = pools[0].service.name
            made = kept.get(first)
            if made is None or not made.shows(pools):
                made = yield from _ServerText.rendered(pools)
            placed[first] = made
        self._placed = placed
        yield _header("pybal_server_pooled", "Whether the server is pooled")
        for each in placed.values():
            yield from each.pooled
        if any(each.forced for each in placed.values()):
            yield _header("pybal_server_forced", "1 if the server is pooled only because of the depool threshold")
            for each in placed.values():
                yield from each.forced

    def _monitor_pieces(self, listed: list[tuple[str, str, Monitor]]) -> Iterator[bytes]:
        # Another scrape may be rendered at the same time: the kept text is replaced when all is found.
        kept, found = self._batches, dict[tuple[str, str, str], _Batch]()
        batches: list[tuple[_Batch, tuple[Monitor, ...]]] = []
        for rows in _monitor_batches(listed):
            services, hosts, monitors = zip(*rows, strict=True)
            names = _Names(services, hosts, tuple(map(attrgetter("name"), monitors)))
            key = services[0], hosts[0], names.monitors[0]
            batch = kept.get(key)
            if batch is None or batch.names != names:
                batch = _Batch(names)
            found[key] = batch
            batches.append((batch, monitors))
            yield b""
        self._batches = found
        for name, value, explanation in _MONITOR:
            yield _header(name, explanation)
            for batch, monitors in batches:
                yield from batch.counters(name, list(map(value, monitors)))
        samples: dict[str, list[bytes]] = {}
        for batch, monitors in batches:
            for name, pieces in batch.samples(monitors):
                samples.setdefault(name, []).extend(pieces)
            yield b""
        for name, made in samples.items():
            if made:
                yield _header(name, _SAMPLE_HELP[name])
                yield from made


@dataclass(frozen=True, slots=True)
class _ServerText:
    """Pools whose servers are rendered together, and the text of their servers' places.

    Pools do not change, so the text holds for these objects.
    """

    pools: Sequence[Pool]
    pooled: Sequence[bytes]
    forced: Sequence[bytes]

    @classmethod
    def rendered(cls, pools: Sequence[Pool]) -> Generator[bytes, None, _ServerText]:
        """Render the servers of pools, in pieces; yields empty pieces and returns the result."""
        pooled: list[bytes] = []
        forced: list[bytes] = []
        rows = ((pool.service.name, server) for pool in pools for server in pool.servers.values())
        for batch in _batches(rows):
            labels = [_label_text((("host", server.host), ("service", name))) for name, server in batch]
            places = [server.placement for _, server in batch]
            pooled += _joined(
                f"pybal_server_pooled{{{text}}} {0.0 if place is Placement.OUT else 1.0}\n"
                for text, place in zip(labels, places, strict=True)
            )
            forced += _joined(
                f"pybal_server_forced{{{text}}} 1.0\n"
                for text, place in zip(labels, places, strict=True)
                if place is Placement.FORCED
            )
            yield b""
        return cls(pools, pooled, forced)

    def shows(self, pools: Sequence[Pool]) -> bool:
        """Return whether it is the text of the same servers."""
        return len(pools) == len(self.pools) and all(
            pool.servers is own.servers and pool.service.name == own.service.name
            for pool, own in zip(pools, self.pools, strict=True)
        )


class _Names(NamedTuple):
    """The names of monitors, of their services and of their hosts."""

    services: tuple[str, ...]
    hosts: tuple[str, ...]
    monitors: tuple[str, ...]


class _Batch:
    """Monitors whose series are rendered together, and the text of each metric at the last scrape.

    The text is rendered again only if a value has changed since. Most counters of a healthy server never change. It
    takes about 1.1 KB of memory per monitor.
    """

    __slots__ = ("_kinds", "_labels", "_rendered", "names")

    def __init__(self, names: _Names) -> None:
        self.names = names
        self._labels = [
            _label_text((("host", host), ("monitor", monitor), ("service", service)))
            for service, host, monitor in zip(*names, strict=True)
        ]
        self._rendered: dict[str, tuple[list[int | None], Sequence[bytes]]] = {}
        self._kinds = [
            _OneKind(self._labels, [name == kind for name in names.monitors]) for kind in dict.fromkeys(names.monitors)
        ]

    def counters(self, name: str, values: list[int | None]) -> Sequence[bytes]:
        """Return the series of a metric with one value per monitor; ``None`` is shown as 0."""
        rendered = self._rendered.get(name)
        if rendered is None or rendered[0] != values:
            lines = [
                f"{name}{{{labels}}} {value or 0:d}.0\n" for labels, value in zip(self._labels, values, strict=True)
            ]
            rendered = self._rendered[name] = values, _joined(lines)
        return rendered[1]

    def samples(self, monitors: Sequence[Monitor]) -> Iterator[tuple[str, Sequence[bytes]]]:
        """Yield each metric of single kinds of monitor with its series, in the order of the monitors."""
        samples = [monitor.samples() for monitor in monitors]
        pieces: dict[str, list[bytes]] = {
            name: [] for series in dict.fromkeys(map(_SERIES_OF, samples)) for name, _ in series.metrics
        }
        for kind in self._kinds:
            for name, made in kind.pieces(samples).items():
                pieces[name] += made
        yield from pieces.items()


class _OneKind:
    """The monitors of one kind in a batch, and the text of their own metrics at the last scrape."""

    __slots__ = ("_labels", "_members", "_pieces", "_samples")

    def __init__(self, labels: Iterable[str], members: Sequence[bool]) -> None:
        self._members = members
        self._labels = list(compress(labels, members))
        self._samples: list[Samples] = []
        self._pieces: Mapping[str, Sequence[bytes]] = {}

    def pieces(self, samples_of_batch: Iterable[Samples]) -> Mapping[str, Sequence[bytes]]:
        """Return the series of each metric."""
        samples = list(compress(samples_of_batch, self._members))
        if samples != self._samples:
            self._samples = samples
            self._pieces = {name: _joined(lines) for name, lines in _sample_lines(self._labels, samples).items()}
        return self._pieces


_SERIES_OF: Callable[[Samples], Series] = itemgetter(0)


def _sample_lines(labels: Iterable[str], samples: Iterable[Samples]) -> Mapping[str, list[str]]:
    lines: dict[str, list[str]] = {}
    texts = iter(labels)
    for series, group in groupby(samples, _SERIES_OF):
        values = [values for _, values in group]
        owners = list(islice(texts, len(values)))
        columns = zip(*values, strict=True)
        for metric, further in series.metrics:
            made = [""] * (len(owners) * len(further))
            # One label set of all monitors at a time takes half the time of one monitor at a time.
            for place, (more, column) in enumerate(zip(_further(further), columns, strict=False)):
                if column.count(None) < len(column):
                    made[place :: len(further)] = [
                        "" if value is None else f"{metric}{{{owner}{more}}} {float(value)!r}\n"
                        for owner, value in zip(owners, column, strict=True)
                    ]
            lines.setdefault(metric, []).extend(filter(None, made))
    return lines


def _further(labels: Iterable[Labels]) -> list[str]:
    return ["".join(f",{_label_text((label,))}" for label in each) for each in labels]


def _joined(lines: Iterable[str]) -> Sequence[bytes]:
    return [_encoded("".join(batch)) for batch in _batches(lines)]


def _monitor_batches(monitors: Iterable[tuple[str, str, Monitor]]) -> Iterator[list[tuple[str, str, Monitor]]]:
    """Yield batches of at most :data:`PIECE` monitors.

    A batch ends with a service if possible, so that the batches of other services stay equal when its monitors change.
    """
    rows: list[tuple[str, str, Monitor]] = []
    for _, group in groupby(monitors, itemgetter(0)):
        for batch in _batches(group):
            if len(rows) + len(batch) > PIECE:
                yield rows
                rows = []
            rows += batch
            if len(rows) > PIECE // 2:
                yield rows
                rows = []
    if rows:
        yield rows


def _pool_batches(pools: Mapping[str, Pool]) -> Iterator[list[Pool]]:
    """Yield batches of pools with about :data:`PIECE` servers."""
    batch: list[Pool] = []
    servers = 0
    for pool in pools.values():
        batch.append(pool)
        servers += len(pool.servers)
        if servers > PIECE // 2:
            yield batch
            batch, servers = [], 0
    if batch:
        yield batch


def _service_pieces(snapshot: Snapshot) -> Iterator[bytes]:
    rows: list[tuple[str, Tally]] = []
    for name, pool in snapshot.pools.items():
        rows.append((_label_text((("service", name),)), tally(pool, snapshot.could_not_depool.get(name, 0))))
        yield b""
    for name, value, explanation in _SERVICE:
        yield _header(name, explanation)
        for batch in _batches(rows):
            yield _encoded("".join(f"{name}{{{text}}} {float(value(sums))!r}\n" for text, sums in batch))


def _family_pieces(family: Family | Histogram | None) -> Iterator[bytes]:
    if family is None:
        yield b""
        return
    if isinstance(family, Histogram) or len(family.series) <= PIECE:
        yield _rendered(family.metric())
        return
    yield _header(family.name, family.help, family.kind)
    for batch in _batches(family.series):
        yield _encoded(
            "".join(
                f"{family.name}{{{_label_text(labels)}}} {float(value)!r}\n"
                if labels
                else f"{family.name} {float(value)!r}\n"
                for labels, value in batch
            )
        )


class _Single(Collector):
    """A collector of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metrics = (metric,)

    @override
    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _rendered(metric: Metric) -> bytes:
    return generate_latest(_Single(metric))


def _utf8(text: str) -> str:
    """Return a text that can be encoded."""
    return _encoded(text).decode()


def _encoded(text: str) -> bytes:
    # Names from files in another encoding contain surrogates; they must not make the whole response fail.
    return text.encode("utf-8", "backslashreplace")


def _header(name: str, explanation: str, kind: Kind | None = None) -> bytes:
    kind = kind or ("counter" if name.endswith("_total") else "gauge")
    escaped = explanation.replace("\\", "\\\\").replace("\n", "\\n")
    return _encoded(f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n")


_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def _label_text(labels: Labels) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)


def _batches(items: Iterable[T], size: int = PIECE) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
