"""One moment of a journal: the pool of a service, the reason of each placement, the last events. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pybal.bgp.verdict import Verdict
from pybal.core.model import Health, Pool, Server
from pybal.core.text import format_age
from pybal.core.why import cause
from pybal.journal.event_text import numbers, settings_text, state_of, verdict_text
from pybal.journal.replay import PresentAlert, Replay
from pybal.journal.summary import NO_BGP
from pybal.journal.timeline import Line, Timeline
from pybal.journal.values import Document, service_value
from pybal.runtime.clocks import Clocks
from pybal.status.explain import Context, enabled_text, pool_text

KEPT_EVENTS = 10
"""Events before the moment."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A pool at a time.

    ``pool`` is ``None`` if its state is unknown, ``verdict`` without a decision on its VIP. ``remarks`` are reasons to doubt the state.
    ``alerts`` are those that do not follow from the servers, ``last`` the last events of the service and of the daemon.
    ``announcements`` is true if the journal has decisions on announcements until then.
    """

    time: str
    service: str
    pool: Pool | None
    verdict: Verdict | None
    alerts: Sequence[PresentAlert]
    last: Sequence[Line]
    clocks: Clocks | None
    announcements: bool
    remarks: Sequence[str]


class OutsideError(Exception):
    """A time outside of the journal; the text has its range."""


def range_of(records: Iterable[Document]) -> tuple[str, str]:
    """Return the times of the first and the last record, empty without one."""
    begin = end = ""
    for record in records:
        end = record.get("time", end)
        begin = begin or end
    return begin, end


def moment(replay: Replay, records: Iterable[Document], time: str, service: str) -> Moment:
    """Return the moment after the last record that is not later than ``time``, in the form of the records.

    Raises OutsideError if the journal does not have this time.
    """
    events, last = Timeline(replay, (service,)), deque[Line](maxlen=KEPT_EVENTS)
    stopped, announcements, remaining = "", False, iter(records)
    later: Document | None = None
    for record in remaining:
        if record.get("time", "") > time:
            later = record
            break
        last.extend(events.take(record))
        if "server" not in record:
            stopped = record["time"] if record.get("event") == "stop" else ""
            announcements = announcements or record.get("event") in {"bgp", "decision"}
    if not replay.time or (stopped and later is None and time > stopped):
        begin, end = range_of(remaining if later is None else (later, *remaining))
        whole = f"{replay.began or begin} to {end or replay.time}"
        raise OutsideError(f"{time} is outside of the journal, which has {whole} (a time without Z is local)")
    remarks = []
    if stopped and time > stopped:
        remarks.append(
            f"pybal was stopped from {stopped} to {later['time'] if later else '?'}: this is the state at its stop"
        )
    elif later is None and time > replay.time:
        remarks.append(
            f"the last record is of {replay.time}, {format_age(_seconds(replay.time, time))} before:"
            " unchanged since if pybal still ran"
        )
    pool = replay.pool(service)
    verdict = None if pool is None else replay.verdicts.get(pool.service.vip)
    clocks = Clocks(replay.at, datetime.fromisoformat(replay.time)) if replay.time else None
    alerts = () if pool is None else tuple(events.alerts(pool))
    return Moment(time, service, pool, verdict, alerts, tuple(last), clocks, announcements, remarks)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def moment_text(found: Moment) -> Iterator[str]:
    """Yield the explanation of a moment, in the words of `pybal explain`."""
    yield f"{found.service} at {found.time}"
    for remark in found.remarks:
        yield f"Note: {remark}"
    if found.pool is None or found.clocks is None:
        yield "The journal does not have the state of this pool at this time"
    else:
        yield from pool_text(found.pool, Context(found.clocks)).splitlines()
        for alert in found.alerts:
            since = f" since {alert.since}" if alert.since else ""
            yield f"Alert {alert.key.kind}{since}: {alert.text}"
        if found.verdict is not None:
            yield f"BGP: {verdict_text(found.verdict)}"
        elif not found.announcements:
            yield NO_BGP
        yield f"Settings: {settings_text(found.pool.service)}"
        yield "Servers"
        for server in found.pool.servers.values():
            yield f"  {_server_text(server, found.clocks)}"
    yield "Last events"
    for each in found.last:
        yield f"  {each.time} {each.text}"
    if not found.last:
        yield "  none recorded"


def _server_text(server: Server, clocks: Clocks) -> str:
    """Return ``a 10.0.0.1 weight 10: not pooled, down: ProxyFetch connect: refused, since TIME``."""
    address = server.address or "no address"
    since = _down_since(server)
    text = "" if since is None else f", since {clocks.iso_time(since)}"
    return f"{server.host} {address} weight {server.member.weight}: {state_of(server)}, {cause(server)}{text}"


def _down_since(server: Server) -> float | None:
    """Return the monotonic time since which a server is down."""
    if server.health is not Health.DOWN:
        return None
    return min((report.began for report in server.reports.values() if report and not report.up), default=None)


def moment_json(found: Moment) -> dict[str, Any]:
    """Return the same as JSON."""
    pool, clocks = found.pool, found.clocks
    return {
        "time": found.time,
        "service": found.service,
        "known": pool is not None,
        "remarks": list(found.remarks),
        "lines": pool_text(pool, Context(clocks)).splitlines() if pool and clocks else [],
        "pool": numbers(pool) if pool else None,
        "settings": service_value(pool.service) if pool else None,
        "alerts": [{**each.key._asdict(), "text": each.text, "since": each.since} for each in found.alerts],
        "bgp": found.announcements,
        "announcement": None if found.verdict is None else verdict_text(found.verdict),
        "servers": [
            {
                "host": server.host,
                "address": None if server.address is None else str(server.address),
                "weight": server.member.weight,
                "enabled": server.member.enabled,
                "enabled_by": enabled_text(server),
                "placement": server.placement.value,
                "held": state_of(server) == "held",
                "health": str(server.health),
                "down_since": clocks.iso_time(since) if clocks and (since := _down_since(server)) is not None else None,
                "why": cause(server),
            }
            for server in (pool.servers.values() if pool else ())
        ],
        "events": [each.json() for each in found.last],
    }
