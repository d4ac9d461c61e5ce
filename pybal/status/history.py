"""The last results of a server's monitors and the last decisions of a pool, oldest first. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pybal.checks.result import PASSED
from pybal.core.decision import Decision
from pybal.core.model import Pool, Server
from pybal.core.text import format_duration
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks, age
from pybal.status.json_pieces import JSON

_NO_ENTRIES = "  none yet\n"


def decisions_text(pool: Pool, decisions: Iterable[Decision], clocks: Clocks) -> str:
    """Return a line for each decision, with its arithmetic."""
    lines = "".join(f"  {clocks.iso_time(one.at)} {one.text}\n" for one in decisions)
    return f"{pool.service.name}\n{lines or _NO_ENTRIES}"


def decisions_json(pool: Pool, decisions: Iterable[Decision], clocks: Clocks) -> JSON:
    """Return the decisions as JSON; ``others`` is the number of servers that ``hosts`` omits."""
    entries: JSON = [
        {
            **_when(one.at, clocks),
            "decision": one.verb,
            "hosts": list(one.hosts),
            "others": one.others,
            "arithmetic": one.arithmetic,
        }
        for one in decisions
    ]
    return {"service": pool.service.name, "decisions": entries}


def results_text(server: Server, monitors: Iterable[Monitor], clocks: Clocks) -> str:
    """Return a line for each result, with the duration of each phase."""
    return f"{server.host}: address {server.address or 'none'}\n" + "".join(
        f"{_headline(monitor)}\n{''.join(_line(past, clocks) for past in monitor.history()) or _NO_ENTRIES}"
        for monitor in monitors
    )


def results_json(server: Server, monitors: Iterable[Monitor], clocks: Clocks) -> JSON:
    """Return the results by monitor as JSON; times are in seconds, ``phases`` are in order of time.

    ``shared_by`` lists the services that share the checks; it is empty if the checks are made for one service only.
    """
    entries: JSON = [
        {
            "monitor": monitor.name,
            "shared_by": list(monitor.shared_by),
            "results": [result_json(past, clocks) for past in monitor.history()],
        }
        for monitor in monitors
    ]
    address = None if server.address is None else str(server.address)
    return {"host": server.host, "address": address, "monitors": entries}


def _headline(monitor: Monitor) -> str:
    services = monitor.shared_by
    return f"{monitor.name}, shared by {', '.join(services)}" if services else monitor.name


def _line(past: PastResult, clocks: Clocks) -> str:
    result = past.result
    verdict = f"follow-up {result.verdict.value}" if past.follow_up else result.verdict.value
    reason = "" if result.verdict is PASSED else f": {result.text}"
    facts = [f"{name} {format_duration(seconds)}" for name, seconds in result.phases.items()]
    if result.received:
        facts.append(f"{result.received} bytes")
    subject = f" {past.subject}" if past.subject else ""
    return f"  {clocks.iso_time(past.at)} {verdict}{subject}{reason} [{', '.join(facts)}]\n"


def result_json(past: PastResult, clocks: Clocks) -> JSON:
    """Return one result as JSON."""
    result = past.result
    return {
        **_when(past.at, clocks),
        "subject": past.subject,
        "follow_up": past.follow_up,
        "result": result.verdict.value,
        "phase": str(result.phase),
        "reason": result.reason,
        "duration": round(result.duration, 6),
        "phases": {name: round(seconds, 6) for name, seconds in result.phases.items()},
        "bytes": result.received,
    }


def _when(at: float, clocks: Clocks) -> dict[str, JSON]:
    return {"time": clocks.iso_time(at), "age": age(at, clocks.monotonic)}
