"""Explanations of pools and servers, in sentences with numbers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from math import isfinite

from pybal.bgp.delivery import Delivery
from pybal.checks.result import CheckOutcome
from pybal.core.model import Health, Placement, Pool, Report, Server, Service
from pybal.core.policy import total, total_disabled
from pybal.core.text import end_of, format_duration, numbered
from pybal.core.why import why
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks
from pybal.status.bgp import vip_line
from pybal.status.compat115 import Tally, tally
from pybal.status.history import result_json
from pybal.status.json_pieces import JSON
from pybal.status.v1 import report_text

SHOWN_RESULTS = 3
"""The last results of each monitor in an explanation."""
SHOWN_SERVERS = 10


@dataclass(frozen=True, slots=True)
class Context:
    """The facts of a service outside its pool.

    ``delivery`` is that of its VIP, ``None`` without BGP. ``source`` is a line about its pool source, ``frozen`` one about a freeze, and
    ``override`` returns one about the operator's override of a host; each is empty without one. ``clocks`` are the present time.
    """

    clocks: Clocks
    delivery: Delivery | None = None
    source: str = ""
    frozen: str = ""
    override: Callable[[str], str] = lambda _host: ""


def pool_text(pool: Pool, context: Context) -> str:
    """Return the explanation of a pool, a sentence per line."""
    return "".join(f"{line}\n" for line in _pool_lines(pool, context))


def pool_json(pool: Pool, context: Context) -> JSON:
    """Return the same as JSON."""
    return {"service": pool.service.name, "lines": list(_pool_lines(pool, context))}


def server_text(pool: Pool, server: Server, monitors: Sequence[Monitor], context: Context) -> str:
    """Return the explanation of a server, a sentence per line."""
    return "".join(f"{line}\n" for line in _server_lines(pool, server, monitors, context))


def server_json(pool: Pool, server: Server, monitors: Sequence[Monitor], context: Context) -> JSON:
    """Return the same as JSON, with the facts about each monitor.

    ``needed`` is the number of consecutive results to the contrary that change the state; ``next_check`` is in seconds from now, null
    if none is scheduled.
    """
    clocks = context.clocks
    facts: JSON = [
        {
            "monitor": monitor.name,
            "up": monitor.up,
            "needed": monitor.needed,
            "next_check": _in_seconds(monitor, clocks.monotonic),
            "results": [result_json(past, clocks) for past in _last(monitor.history())],
        }
        for monitor in monitors
    ]
    return {
        "service": pool.service.name,
        "host": server.host,
        "placement": server.placement.value,
        "why": why(server),
        "lines": list(_server_lines(pool, server, monitors, context)),
        "monitors": facts,
    }


def _pool_lines(pool: Pool, context: Context) -> Iterator[str]:
    sums = tally(pool)
    yield f"{_service(pool.service)}: {sums.pooled} of {numbered(sums.total, 'server')} pooled, {sums.serving} serving."
    yield _floor(pool, sums)
    if sums.forced:
        yield f"{numbered(sums.forced, 'server')} forced: down, but needed to reach the floor; clients may see errors."
    elif sums.serving > sums.floor:
        yield f"{numbered(sums.serving - sums.floor, 'more server')} may be depooled; further ones that go down stay pooled, forced."
    elif sums.serving:
        yield "A server that goes down now stays pooled, forced."
    yield from _listing("Down", (s for s in pool.servers.values() if s.member.enabled and s.health is Health.DOWN))
    yield from _listing(
        "Unknown", (s for s in pool.servers.values() if s.member.enabled and s.health is Health.UNKNOWN)
    )
    yield from _listing("Disabled", (s for s in pool.servers.values() if not s.member.enabled))
    if context.source:
        yield f"Pool source: {context.source}"
    if context.frozen:
        yield f"{context.frozen}; IPVS and BGP stay as they are."
    if context.delivery is not None:
        yield f"BGP: {vip_line(context.delivery, context.clocks.monotonic)}"


def _listing(title: str, servers: Iterable[Server]) -> Iterator[str]:
    found = list(servers)
    shown = ", ".join(f"{server.host} ({server.placement.value})" for server in found[:SHOWN_SERVERS])
    more = f" and {len(found) - SHOWN_SERVERS} more" if len(found) > SHOWN_SERVERS else ""
    if found:
        yield f"{title}: {shown}{more}"


def _server_lines(pool: Pool, server: Server, monitors: Sequence[Monitor], context: Context) -> Iterator[str]:
    now = context.clocks.monotonic
    yield f"{server.host} in {_service(pool.service)} is {server.placement.value}: {why(server)}."
    weight = server.member.weight
    quiet = "" if weight else " (no new connections)"
    yield f"{address_text(server)}, weight {weight}{quiet}, {enabled_text(server)}."
    if override := context.override(server.host):
        yield override
    if context.frozen:
        yield f"{context.frozen}; IPVS stays as it is."
    for monitor in monitors:
        yield from _monitor_lines(monitor, server.reports.get(monitor.name), context.clocks)
    if not monitors and server.member.enabled:
        yield "No monitor checks it: it counts as up." if not pool.service.monitors else "No monitor runs yet."
    yield _floor(pool, tally(pool))
    yield remedy(pool, server, monitors, now)


def _monitor_lines(monitor: Monitor, report: Report | None, clocks: Clocks) -> Iterator[str]:
    now = clocks.monotonic
    if monitor.up is None:
        state = "no conclusive result yet"
    elif report is None:
        state = "up" if monitor.up else "down"
    else:
        state = report_text(report, now)
    yield f"{monitor.name}: {state}; {next_change(monitor, now)}."
    for past in _last(monitor.history()):
        yield f"  {clocks.iso_time(past.at)} {_result(past)}"


def next_change(monitor: Monitor, now: float) -> str:
    """Return ``one passed check brings it up, next check in 3 s``."""
    seconds = _in_seconds(monitor, now)
    times = "" if monitor.needed == 1 else f"{monitor.needed} consecutive "
    if monitor.up is None:
        change = "the first result decides"
    elif monitor.up:
        change = f"{times or 'one '}failed {'check takes' if not times else 'checks take'} it down"
    else:
        change = f"{times or 'one '}passed {'check brings' if not times else 'checks bring'} it up"
    return f"{change}, {'no check is scheduled' if seconds is None else f'next check in {format_duration(seconds)}'}"


def _in_seconds(monitor: Monitor, now: float) -> float | None:
    return round(max(0.0, monitor.next_check - now), 3) if isfinite(monitor.next_check) else None


def _result(past: PastResult) -> str:
    result = past.result
    verdict = f"follow-up {result.verdict.value}" if past.follow_up else result.verdict.value
    phases = ", ".join(f"{name} {format_duration(seconds)}" for name, seconds in result.phases.items())
    reason = "" if result.verdict is CheckOutcome.PASSED else f": {result.text}"
    return f"{verdict} after {format_duration(result.duration)} ({phases}){reason}"


def _floor(pool: Pool, sums: Tally) -> str:
    share = pool.service.depool_threshold
    if not share:
        return "Floor: 0, because depool-threshold is 0; every server may leave."
    reached = "reached" if sums.serving >= sums.floor else "not reached"
    members = total(pool)
    counted = numbered(members, "server") + ("" if members == sums.total else " of weight above 0")
    if disabled := total_disabled(pool):
        counted += f", {disabled} of them disabled,"
    product = Decimal(str(share)) * members
    rounded = "" if product == sums.floor else f", rounded up to {sums.floor}"
    return (
        f"Floor: depool-threshold {share:g} x {counted} = {product.normalize():f}{rounded};"
        f" {sums.serving} serving: {reached}."
    )


def remedy(pool: Pool, server: Server, monitors: Sequence[Monitor], now: float) -> str:
    """Return what would change the placement of a server."""
    sums = tally(pool)
    down = [monitor for monitor in monitors if monitor.up is False]
    if not server.member.enabled:
        if server.member.overridden:
            return f"It returns after `pybal repool {pool.service.name} {server.host}`, or when the override expires."
        return "It returns when the pool source enables it."
    if not server.ready:
        return "It returns when its name resolves to an address (see the alert of kind unresolved)."
    if server.placement is Placement.FORCED:
        missing = sums.floor - sums.serving
        return (
            f"It is depooled when {numbered(missing, 'more server')} can serve; it stays pooled if its own checks pass."
        )
    if server.placement is Placement.OUT and down:
        return f"It returns when it is up: {'; '.join(f'{each.name}: {next_change(each, now)}' for each in down)}."
    if server.placement is Placement.OUT:
        return "It returns after its first passed checks."
    if server.health is Health.DOWN:
        return "It stays while its failures are attributed to the check itself (suspect-check = hold)."
    if server.health is Health.UNKNOWN:
        return "It stays until its first conclusive result."
    if sums.serving - server.serving >= sums.floor:
        return "It is depooled when a check takes it down."
    return "If a check takes it down it stays pooled, forced, because of the floor."


def _service(service: Service) -> str:
    return f"{service.name} ({service.protocol} {end_of(service.vip, service.port)})"


def address_text(server: Server) -> str:
    """Return the address of a server, or why it has none."""
    if server.address is None:
        return "Its name has no address" if server.unresolvable else "Its name is not resolved yet"
    return f"Address {server.address}"


def enabled_text(server: Server) -> str:
    """Return who enabled or disabled a server."""
    if server.member.enabled:
        return "enabled by the pool source"
    return "disabled on this balancer" if server.member.overridden else "disabled by the pool source"


def _last(history: Iterable[PastResult]) -> list[PastResult]:
    past = list(history)
    return list(islice(past, max(0, len(past) - SHOWN_RESULTS), None))
