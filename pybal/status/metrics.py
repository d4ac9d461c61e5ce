"""The metrics, in Prometheus' text format 0.0.4, computed at scrape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its series: ``kind`` is ``gauge`` or ``counter`` (then the name ends in ``_total``)."""

    name: str
    kind: str
    help: str
    series: Iterable[tuple[tuple[tuple[str, str], ...], float]]
