"""The samples of a monitor one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybal.monitors.base import Labels, Monitor, Samples, Series


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric that belongs to one kind of monitor."""

    metric: str
    labels: Labels
    value: float


def samples_of(monitor: Monitor) -> Iterator[Sample]:
    """Yield the samples of a monitor: those of results that occurred."""
    series, values = monitor.samples()
    names = [(metric, labels) for metric, labels_of_all in series.metrics for labels in labels_of_all]
    for (metric, labels), value in zip(names, values, strict=True):
        if value is not None:
            yield Sample(metric, labels, value)


def grouped(samples: Iterable[Sample]) -> Samples:
    """Return samples as a monitor returns them; those of a metric must follow each other."""
    found = tuple(samples)
    metrics = dict.fromkeys(sample.metric for sample in found)
    series = Series(tuple((name, tuple(s.labels for s in found if s.metric == name)) for name in metrics))
    return series, tuple(sample.value for sample in found)
