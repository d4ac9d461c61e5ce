"""The events of a journal as text and as facts: what happened to a pool, and what was decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pybal.bgp.verdict import Verdict
from pybal.config.option import written
from pybal.core.correlated import correlated_failures
from pybal.core.events import Adopted, Event, Gathered, Listed, Overdue, Reconfigured, Resolved, Tried
from pybal.core.events import Reported as SingleReport
from pybal.core.model import Alert, Condition, Health, Member, Placement, Pool, Server, Service, SuspectCheck
from pybal.core.policy import arithmetic, floor, serving, total
from pybal.core.steps import finish
from pybal.core.text import first_of, numbered
from pybal.core.why import who_enabled
from pybal.journal.replay import Applied

NAMED = 10
"""Servers named for one fact in the line of an event; the facts have all."""
HELD = "held"
"""A server that is down and pooled by ``suspect-check = hold``."""
_OUT = Placement.OUT.value


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict in a few words, without its age."""
    if verdict.announcement is None:
        return f"{verdict.vip} not announced: {verdict.why} ({verdict.detail})"
    return f"{verdict.vip} announced, MED {verdict.announcement.med}: {verdict.detail}"


def state_of(server: Server | None) -> str:
    """Return the placement of a server in a word; one that is not in the list is not pooled."""
    if server is None:
        return _OUT
    held = server.placement is Placement.POOLED and server.health is Health.DOWN and server.only_suspect_failures
    return HELD if held else server.placement.value


def is_held(server: Condition) -> bool:
    """Return whether a server may be pooled by ``suspect-check = hold`` although down."""
    return server.placement is Placement.POOLED and server.suspect and server.health is Health.DOWN


def event_text(applied: Applied) -> str:
    """Return an event, the placements that it changed, and the numbers of the pool afterwards."""
    changes = "; ".join(_changes_text(applied))
    return (
        f"{_event(applied.event, applied.before)}{f' => {changes}' if changes else ''} ({numbers_text(applied.after)})"
    )


def numbers_text(pool: Pool) -> str:
    """Return ``3 pooled, serving 0 of 6, floor 3, 1 forced, 2 unknown``."""
    counts = numbers(pool)
    more = "".join(f", {counts[word]} {word}" for word in ("unknown", HELD) if counts[word])
    return f"{counts['pooled']} pooled, {arithmetic(pool)}{more}"


def numbers(pool: Pool) -> dict[str, int]:
    """Return the numbers of a pool."""
    count = pool.servers.count
    return {
        "pooled": count(lambda server: server.pooled),
        "serving": serving(pool),
        "total": total(pool),
        "floor": floor(pool),
        "forced": count(lambda server: server.forced),
        HELD: count(is_held),
        "down": count(lambda server: server.enabled and server.health is Health.DOWN),
        "unknown": count(lambda server: server.enabled and server.health is Health.UNKNOWN),
        "disabled": count(lambda server: not server.enabled),
    }


def event_facts(applied: Applied) -> dict[str, Any]:
    """Return the facts of an event as JSON, with the names of all servers."""
    return {
        "event": applied.record["event"],
        "service": applied.after.service.name,
        **_facts(applied.event, applied.before),
        "changes": [
            {"host": host, "before": before, "after": after} for host, before, after in placement_changes(applied)
        ],
        "pool": numbers(applied.after),
    }


def placement_changes(applied: Applied) -> Iterator[tuple[str, str, str]]:
    """Yield host, placement before and after of each server whose placement an event changed."""
    for host, old, new in applied.after.servers.changes_since(applied.before.servers):
        before, after = state_of(old), state_of(new)
        if before != after:
            yield host, before, after


def suspect_checks(pool: Pool) -> Iterator[Alert]:
    """Yield the alerts ``suspect-check`` of a pool, one for each monitor and cause of correlated failures."""
    service = pool.service
    if service.suspect_check is SuspectCheck.OFF:
        return
    held = pool.servers.count(is_held)
    reaction = f"{numbered(held, 'server')} held" if held else "an alert only"
    for found in finish(correlated_failures(pool.servers, service.interval)):
        text = f"{found} (suspect-check = {service.suspect_check}: {reaction})"
        yield Alert(service.name, "suspect-check", text, subject=f"{found.monitor} {found.cause}")


def _changes_text(applied: Applied) -> Iterator[str]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for host, before, after in placement_changes(applied):
        grouped.setdefault((before, after), []).append(host)
    for (before, after), hosts in grouped.items():
        leaves = before == Placement.FORCED.value and after == _OUT
        reached = leaves and all((server := applied.after.servers.get(host)) and server.eligible for host in hosts)
        why = " (floor reached)" if reached else ""
        yield f"{first_of(hosts, NAMED)} {before} -> {after}{why}"


def _event(event: Event, before: Pool) -> str:
    match event:
        case Adopted(held):
            return f"IPVS held {len(held)} {'address' if len(held) == 1 else 'addresses'} at the start"
        case Listed(members):
            return _list(before, members)
        case Resolved(addresses):
            found = [f"{host} {address or 'without an address'}" for host, address in addresses.items()]
            return f"lookups: {first_of(found, NAMED)}"
        case Gathered(reports):
            return f"checks: {_reports(reports)}"
        case Tried(reports):
            return f"checks of the next address: {_reports(reports)}"
        case Overdue(hosts):
            return f"next address too late: {first_of(sorted(hosts), NAMED)}"
        case Reconfigured(service):
            found = [f"{name} {old} -> {new}" for name, (old, new) in _changed(before.service, service).items()]
            return f"settings: {', '.join(found) or 'unchanged'}"
        case SingleReport():
            return f"checks: {_reports([event])}"


def _facts(event: Event, before: Pool) -> dict[str, Any]:
    match event:
        case Adopted(held):
            return {"held": {str(address): weight for address, weight in held.items()}}
        case Listed(members):
            return {
                "first": not before.listed,
                "servers": len(members),
                "edits": [{"host": host, "edit": text} for text, hosts in _edits(before, members) for host in hosts],
            }
        case Resolved(addresses):
            return {"addresses": {host: address and str(address) for host, address in addresses.items()}}
        case Gathered(reports) | Tried(reports):
            return {"reports": list(map(_report_facts, reports))}
        case Overdue(hosts):
            return {"hosts": sorted(hosts)}
        case Reconfigured(service):
            return {"settings": {name: list(pair) for name, pair in _changed(before.service, service).items()}}
        case SingleReport():
            return {"reports": [_report_facts(event)]}


def _report_facts(event: SingleReport) -> dict[str, Any]:
    return {"host": event.host, "monitor": event.monitor, "up": event.report.up, "reason": event.report.reason}


def _list(before: Pool, members: Sequence[Member]) -> str:
    """Return the size of a list and its differences from the one before."""
    edits = [f"{first_of(hosts, NAMED)} {text}" for text, hosts in _edits(before, members)]
    size = numbered(len(members), "server")
    if not before.listed:
        return ": ".join(filter(None, (f"first list of {size}", ", ".join(edits))))
    return f"list of {size}: {', '.join(edits) or 'unchanged'}"


def _edits(before: Pool, members: Sequence[Member]) -> Iterable[tuple[str, Sequence[str]]]:
    """Return what a list changed, with the hosts; of a first list, what is not the usual."""
    hosts: dict[str, list[str]] = {}
    now = {member.host: member for member in members}
    for host in before.servers:
        if host not in now:
            hosts.setdefault("removed", []).append(host)
    for host, member in now.items():
        old = before.servers.get(host)
        if old is None and before.listed:
            hosts.setdefault("added", []).append(host)
        for text in _edit(old.member if old else None, member):
            hosts.setdefault(text, []).append(host)
    return hosts.items()


def _edit(old: Member | None, new: Member) -> Iterator[str]:
    if old is not None and old.weight != new.weight:
        yield f"weight {old.weight} -> {new.weight}"
    elif old is None and not new.weighted:
        yield "weight 0"
    if (old is None or old.enabled, old is not None and old.overridden) != (new.enabled, new.overridden):
        yield who_enabled(new)


def _reports(reports: Sequence[SingleReport]) -> str:
    """Return each result with its servers."""
    hosts: dict[str, list[str]] = {}
    for each in reports:
        result = "up" if each.report.up else f"down: {each.report.reason}"
        hosts.setdefault(f"{each.monitor} {result}", []).append(each.host)
    return "; ".join(f"{first_of(own, NAMED)} {result}" for result, own in hosts.items())


def settings_text(service: Service) -> str:
    """Return the recorded settings of a service that decide about its servers."""
    monitors = ", ".join(service.monitors) or "none"
    return (
        f"depool-threshold = {written(service.depool_threshold)}, suspect-check = {service.suspect_check},"
        f" initial-state = {'up' if service.initially_up else 'unknown'}, monitors {monitors},"
        f" longest interval of checks {service.interval:g} s, dns-move-wait = {service.dns_move_wait:g}"
    )


def _changed(before: Service, after: Service) -> Mapping[str, tuple[str, str]]:
    """Return the settings that differ, with both values, as an operator writes them."""
    found = {}
    for field in fields(Service):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old != new:
            name = "initial-state" if field.name == "initially_up" else field.name.replace("_", "-")
            found[name] = (_value(field.name, old), _value(field.name, new))
    return found


def _value(name: str, value: object) -> str:
    return ("up" if value else "unknown") if name == "initially_up" else written(value)
