"""All events of services in order: their pools, their VIPs, and what concerns the whole daemon. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from pybal.bgp.verdict import Verdict
from pybal.journal.event_text import event_facts, event_text, suspicion, verdict_text
from pybal.journal.replay import Applied, Replay
from pybal.journal.summary import gap_text
from pybal.journal.values import Document


class Line(NamedTuple):
    """An event with its time; ``service`` is empty for one of the whole daemon, ``facts`` are JSON."""

    time: str
    service: str
    text: str
    facts: dict[str, Any]


def timeline(replay: Replay, records: Iterable[Document], services: Collection[str]) -> Iterator[Line]:
    """Yield the events of services, with the notes of the daemon, its starts and stops, and gaps."""
    gaps = 0
    verdicts: dict[str, Verdict] = {}
    suspicions: dict[str, str] = {}
    for record in records:
        applied = replay.take(record)
        for gap in replay.gaps[gaps:]:
            yield Line(gap.until, "", gap_text(gap), {"event": "gap", **asdict(gap)})
        gaps = len(replay.gaps)
        match record:
            case {"journal": _, "n": 1, "time": time, "pybal": version}:
                suspicions.clear()
                yield Line(time, "", f"pybal {version} started", {"event": "start", "version": version})
            case {"event": "stop", "time": time}:
                yield Line(time, "", "pybal stopped", {"event": "stop"})
            case {"event": "note", "time": time, "text": text}:
                yield Line(time, "", str(text), {"event": "note"})
        if applied:
            name = applied.after.service.name
            if name in services or applied.before.service.name in services:
                yield Line(record["time"], name, event_text(applied), event_facts(applied))
                yield from _suspicion(applied, suspicions)
        for name in services if "verdicts" in record else ():
            pool = replay.pool(name)
            now = None if pool is None else replay.verdicts.get(pool.service.vip)
            if now is not None and now != verdicts.get(name):
                verdicts[name] = now
                facts = {"event": "bgp", "vip": str(now.vip), "announced": now.announcement is not None}
                yield Line(record["time"], name, f"BGP: {verdict_text(now)}", facts)


def _suspicion(applied: Applied, suspicions: dict[str, str]) -> Iterator[Line]:
    """Yield a line when correlated failures begin and end, like the alert of kind ``suspect-check``."""
    name, time = applied.after.service.name, applied.record["time"]
    text, before = suspicion(applied.after), suspicions.get(name, "")
    suspicions[name] = text
    if text and not before:
        yield Line(time, name, f"suspect-check: {text}", {"event": "suspect-check", "begins": True})
    elif before and not text:
        yield Line(
            time, name, "suspect-check: no correlated failures any more", {"event": "suspect-check", "begins": False}
        )


def line_json(line: Line) -> dict[str, Any]:
    """Return a line as JSON."""
    return {"time": line.time, "service": line.service, "text": line.text, **line.facts}
