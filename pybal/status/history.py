"""The last decisions of a pool, the last transitions and results of a server, oldest first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pybal.checks.result import PASSED
from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.core.model import Pool, Server
from pybal.core.text import format_duration
from pybal.core.transitions import Transition
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks, age
from pybal.status.json_pieces import JSON, Elements, LargeJSON, Members

_NO_ENTRIES = "  none yet\n"


def pool_text(pool: Pool, past: PoolHistory, clocks: Clocks) -> Iterator[str]:
    """Yield a line for each decision with its arithmetic, and below it the reasons with their servers."""
    yield f"{pool.service.name}\n"
    decisions = past.decisions
    for one in decisions:
        yield f"  {clocks.iso_time(one.at)} {one.text}\n"
        for line in one.by_reason():
            yield f"    {line}\n"
    if not decisions:
        yield _NO_ENTRIES


def pool_json(pool: Pool, past: PoolHistory, clocks: Clocks) -> dict[str, LargeJSON]:
    """Return the decisions as JSON, with the reason of each server.

    ``others`` is the number of servers that are not kept.
    """
    return {"service": pool.service.name, "decisions": Elements(_decision(one, clocks) for one in past.decisions)}


def _decision(one: Decision, clocks: Clocks) -> dict[str, LargeJSON]:
    return {
        **_when(one.at, clocks),
        "decision": one.verb,
        "servers": Members(zip(one.hosts, one.reasons, strict=True)),
        "others": one.others,
        "arithmetic": one.arithmetic,
    }


def server_text(server: Server, past: PoolHistory, monitors: Iterable[Monitor], clocks: Clocks) -> Iterator[str]:
    """Yield the decisions about a server, the transitions of its monitors, and the last results."""
    yield f"{server.host}: address {server.address or 'none'}\n"
    yield f"Decisions\n{''.join(_host_decisions(server.host, past, clocks)) or _NO_ENTRIES}"
    for name, transitions in past.transitions(server.host).items():
        yield f"{name}, transitions\n{''.join(_transition_line(one, clocks) for one in transitions)}"
    for monitor in monitors:
        yield f"{_headline(monitor)}\n{''.join(_line(one, clocks) for one in monitor.history()) or _NO_ENTRIES}"


def _host_decisions(host: str, past: PoolHistory, clocks: Clocks) -> Iterator[str]:
    for one in past.decisions_on(host):
        yield f"  {clocks.iso_time(one.at)} {one.verb} ({one.reason_of(host)}): {one.arithmetic}\n"


def _transition_line(one: Transition, clocks: Clocks) -> str:
    reason = f": {one.reason}" if one.reason else ""
    changed = "" if one.changed_at is None else f"; since {clocks.iso_time(one.changed_at)}: {one.last_reason}"
    return f"  {clocks.iso_time(one.at)} {'up' if one.up else 'down'}{reason}{changed}\n"


def server_json(server: Server, past: PoolHistory, monitors: Iterable[Monitor], clocks: Clocks) -> dict[str, LargeJSON]:
    """Return the same as JSON; times are in seconds, ``phases`` are in order of time.

    ``transitions`` are by monitor; a monitor that was always up has none. ``shared_by`` lists the services that share the
    checks; it is empty if the checks are made for one service only.
    """
    decisions: JSON = [
        {
            **_when(one.at, clocks),
            "decision": one.verb,
            "reason": one.reason_of(server.host),
            "arithmetic": one.arithmetic,
        }
        for one in past.decisions_on(server.host)
    ]
    transitions: JSON = {
        name: [_transition(one, clocks) for one in log] for name, log in past.transitions(server.host).items()
    }
    return {
        "host": server.host,
        "address": None if server.address is None else str(server.address),
        "decisions": decisions,
        "transitions": transitions,
        "monitors": Elements(_monitor(monitor, clocks) for monitor in monitors),
    }


def _transition(one: Transition, clocks: Clocks) -> JSON:
    changed = None if one.changed_at is None else {**_when(one.changed_at, clocks), "reason": one.last_reason}
    return {**_when(one.at, clocks), "up": one.up, "reason": one.reason, "last_reason": changed}


def _monitor(monitor: Monitor, clocks: Clocks) -> JSON:
    return {
        "monitor": monitor.name,
        "shared_by": list(monitor.shared_by),
        "results": [result_json(past, clocks) for past in monitor.history()],
    }


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
