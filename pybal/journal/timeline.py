"""All events of services in order: pools, VIPs, alerts, and what concerns the whole daemon. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from pybal.bgp.verdict import Verdict
from pybal.core.model import AlertKey, Pool
from pybal.journal.event_text import event_facts, event_text, suspect_checks, verdict_text
from pybal.journal.replay import Applied, PresentAlert, Replay
from pybal.journal.summary import gap_text
from pybal.journal.values import Document


@dataclass(frozen=True, slots=True)
class Line:
    """An event with its time; ``service`` is empty for one of the whole daemon.

    It is an event of a pool (``applied``), or has its own ``words`` and ``facts``.
    """

    time: str
    service: str
    words: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    applied: Applied | None = None

    @property
    def text(self) -> str:
        """The event for people."""
        return event_text(self.applied) if self.applied else self.words

    def json(self) -> dict[str, Any]:
        """Return the event with all facts as JSON."""
        facts = event_facts(self.applied) if self.applied else self.facts
        return {"time": self.time, "service": self.service, "text": self.text, **facts}


class Timeline:
    """Replays records and makes the lines of some services."""

    def __init__(self, replay: Replay, services: Collection[str]) -> None:
        self._replay = replay
        self._services = services
        self._gaps = 0
        self._verdicts: dict[str, Verdict] = {}
        self._alerts: dict[AlertKey, PresentAlert] = {}
        """The recorded alerts that have a line."""
        self._suspect: dict[str, dict[AlertKey, str]] = {}
        """The times at which the alerts ``suspect-check`` of each service began."""

    def take(self, record: Document) -> Iterator[Line]:
        """Replay one record, and yield its lines."""
        applied = None
        if record.get("event") == "reports" and record.get("service") not in self._services:
            self._replay.check(record)  # in a fraction of the time
        else:
            applied = self._replay.take(record)
        for gap in self._replay.gaps[self._gaps :]:
            yield Line(gap.until, "", gap_text(gap), {"event": "gap", **asdict(gap)})
        self._gaps = len(self._replay.gaps)
        yield from self._daemon(record)
        if applied and not {applied.before.service.name, applied.after.service.name}.isdisjoint(self._services):
            yield Line(record["time"], applied.after.service.name, applied=applied)
            yield from self._correlated(applied)
        match record:
            case {"event": "end", "time": time, "pool": int(number)} if pool := self._replay.pools.get(number):
                if pool.service.name in self._services:
                    yield Line(time, pool.service.name, "service removed", {"event": "end"})
            case {"event": "alert", "time": time, "service": str(name), "kind": str(kind), "subject": str(subject)}:
                if name in {"", *self._services}:
                    yield from self._recorded(time, AlertKey(name, kind, subject))
            case {"verdicts": _, "time": time}:
                yield from self._announced(time)

    def alerts(self, pool: Pool) -> Iterator[PresentAlert]:
        """Yield the present alerts of a service and of the daemon, but not those about single servers."""
        began = self._suspect.get(pool.service.name, {})
        for alert in suspect_checks(pool):
            yield PresentAlert(alert.key, alert.text, began.get(alert.key))
        yield from (alert for key, alert in self._replay.alerts.items() if key.service in {"", pool.service.name})

    def _daemon(self, record: Document) -> Iterator[Line]:
        match record:
            case {"journal": _, "n": 1, "time": time, "pybal": version}:
                self._suspect.clear()
                self._alerts.clear()
                yield Line(time, "", f"pybal {version} started", {"event": "start", "version": version})
            case {"event": "stop", "time": time}:
                yield Line(time, "", "pybal stopped", {"event": "stop"})
            case {"event": "note", "time": time, "text": text}:
                yield Line(time, "", str(text), {"event": "note"})

    def _recorded(self, time: str, key: AlertKey) -> Iterator[Line]:
        """Yield a line if a recorded alert begins, has another text, or ends; not if a segment repeats it."""
        before, now = self._alerts.pop(key, None), self._replay.alerts.get(key)
        if now is not None:
            self._alerts[key] = now
            if before is None or before.text != now.text:
                yield _began(time, key, now.text)
        elif before is not None:
            yield _ended(time, key)

    def _correlated(self, applied: Applied) -> Iterator[Line]:
        """Yield a line for each monitor and cause whose failures become correlated, or are so no longer."""
        time, name = str(applied.record["time"]), applied.after.service.name
        before, now = self._suspect.get(name, {}), {alert.key: alert for alert in suspect_checks(applied.after)}
        self._suspect[name] = {key: before.get(key, time) for key in now}
        yield from (_began(time, key, alert.text) for key, alert in now.items() if key not in before)
        yield from (_ended(time, key) for key in before if key not in now)

    def _announced(self, time: str) -> Iterator[Line]:
        for name in self._services:
            pool = self._replay.pool(name)
            now = None if pool is None else self._replay.verdicts.get(pool.service.vip)
            if now is not None and now != self._verdicts.get(name):
                self._verdicts[name] = now
                facts = {"event": "bgp", "vip": str(now.vip), "announced": now.announcement is not None}
                yield Line(time, name, f"BGP: {verdict_text(now)}", facts)


def _began(time: str, key: AlertKey, text: str) -> Line:
    facts = {"event": "alert", "kind": key.kind, "subject": key.subject, "begins": True}
    return Line(time, key.service, f"alert {key.kind}: {text}", facts)


def _ended(time: str, key: AlertKey) -> Line:
    facts = {"event": "alert", "kind": key.kind, "subject": key.subject, "begins": False}
    return Line(time, key.service, f"alert {key.kind} ended{key.subject and f': {key.subject}'}", facts)
