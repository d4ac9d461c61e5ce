"""The values in the records of the journal: members, reports, addresses, services and servers. Pure.

The decoders raise an exception of :data:`DAMAGED` for any other value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from json.encoder import encode_basestring_ascii
from types import MappingProxyType
from typing import Any

from pybal.core.events import Reported
from pybal.core.model import (
    Address,
    IPProtocol,
    Member,
    Move,
    Placement,
    Pool,
    Report,
    Server,
    Service,
    SuspectCheck,
)
from pybal.core.steps import parts

Document = Mapping[str, Any]
"""A JSON object."""

DAMAGED = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""Exceptions of a record that is JSON but not of this format."""

dumps = json.JSONEncoder(separators=(",", ":")).encode

DISABLED, DEPOOLED = "disabled", "depooled"

OUT, POOLED, FORCED = "out", "pooled", "forced"
WORDS: Mapping[Placement, str] = {Placement.OUT: OUT, Placement.POOLED: POOLED, Placement.FORCED: FORCED}
PLACEMENTS: Mapping[str, Placement] = {word: placement for placement, word in WORDS.items()}

_ADDRESSES: dict[str, Address] = {}
_MOST_ADDRESSES = 100_000


def address_of(text: str) -> Address:
    """Return an address; the last different ones are remembered, because parsing takes long."""
    found = _ADDRESSES.get(text)
    if found is None:
        if len(_ADDRESSES) >= _MOST_ADDRESSES:
            _ADDRESSES.clear()
        found = _ADDRESSES[text] = ip_address(text)
    return found


def object_in_parts(items: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Yield the text of a JSON object, a part of the items each; no name may be repeated."""
    mark = "{"
    for part in parts(items):
        yield mark + dumps(dict(part))[1:-1]
        mark = ","
    yield "{}" if mark == "{" else "}"


def member_value(member: Member) -> int | list[int | str]:
    """Return the weight of an enabled member; of another one, the weight and why it is not enabled."""
    if member.enabled:
        return member.weight
    return [member.weight, DEPOOLED if member.overridden else DISABLED]


def member_of(host: str, value: int | Sequence[Any]) -> Member:
    """Return the member of a host."""
    if isinstance(value, int):
        return Member(host, value)
    weight, state = value
    return Member(host, weight, enabled=False, overridden=state == DEPOOLED)


def held_value(held: Mapping[Address, int]) -> dict[str, int]:
    """Return the held addresses with their weights."""
    return {str(address): weight for address, weight in held.items()}


def held_of(value: Mapping[str, int]) -> dict[Address, int]:
    """Return the held addresses with their weights."""
    return {address_of(text): weight for text, weight in value.items()}


def reported_text(event: Reported) -> str:
    """Return ``["web1","ProxyFetch","10.0.0.1",4.5]``; if down, with reason, cause and begin.

    The cause is left out if it is the reason, the begin if it is the time of the report.
    """
    report = event.report
    where = "null" if event.address is None else f'"{event.address}"'
    head = f"[{_quoted(event.host)},{_quoted(event.monitor)},{where},{report.at!r}"
    if report.up and not report.reason and not report.cause and report.since is None:
        return f"{head}]"
    return f"{head},{dumps(_rest(report))[1:-1]}]"


def report_value(report: Report) -> list[Any]:
    """Return the time of a report; if down, reason, cause and begin; see :func:`reported_text`."""
    if report.up and not report.reason and not report.cause and report.since is None:
        return [report.at]
    return [report.at, *_rest(report)]


def _rest(report: Report) -> list[Any]:
    rest: list[Any] = [report.reason]
    if report.cause != report.reason or report.since is not None or report.up:
        rest.append(report.cause)
    if report.since is not None or report.up:
        rest.append(report.since)
    if report.up:
        rest.append(True)
    return rest


def report_of(value: Sequence[Any]) -> Report:
    """Return the report of the values from its time on."""
    match value:
        case [at]:
            return Report(True, "", at)
        case [at, reason]:
            return Report(False, reason, at, reason)
        case [at, reason, cause, *rest]:
            return Report(len(rest) > 1, reason, at, cause, rest[0] if rest else None)
    raise ValueError("not a report")


def report_values(value: Sequence[Any]) -> tuple[str, str, Report, Address | None]:
    """Return the host, the monitor, the report and the address of a value."""
    if len(value) == 4:  # noqa: PLR2004  # most reports
        host, monitor, where, at = value
        report = Report(True, "", at)
    else:
        host, monitor, where, *rest = value
        report = report_of(rest)
    return host, monitor, report, None if where is None else _ADDRESSES.get(where) or address_of(where)


def reported_of(value: Sequence[Any]) -> Reported:
    """Return a report with its server and monitor."""
    return Reported(*report_values(value))


_quoted = encode_basestring_ascii


def service_value(service: Service) -> dict[str, Any]:
    """Return the fields of a service."""
    return {field.name: _plain(getattr(service, field.name)) for field in fields(Service)}


def _plain(value: object) -> object:
    match value:
        case IPv4Address() | IPv6Address():
            return str(value)
        case Enum():
            return value.value
        case tuple():
            return list(value)
    return value


def service_of(value: Document) -> Service:
    """Return a service; unknown fields are ignored, missing ones have their defaults."""
    own = {field.name: value[field.name] for field in fields(Service) if field.name in value}
    own |= {name: tuple(own[name]) for name in ("scheduler_flags", "monitors") if name in own}
    own["protocol"], own["vip"] = IPProtocol(own["protocol"]), address_of(own["vip"])
    if "suspect_check" in own:
        own["suspect_check"] = SuspectCheck(own["suspect_check"])
    return Service(**own)


def _reports_value(reports: Mapping[str, Report | None]) -> dict[str, Any]:
    return {monitor: report and report_value(report) for monitor, report in reports.items()}


def _reports_of(value: Document) -> Mapping[str, Report | None]:
    return MappingProxyType({monitor: report and report_of(report) for monitor, report in value.items()})


def server_value(server: Server) -> dict[str, Any]:
    """Return the fields of a server; those that have their default are left out."""
    value: dict[str, Any] = {"server": server.host, "member": member_value(server.member)}
    if server.address is not None:
        value["address"] = str(server.address)
    if server.unresolvable:
        value["unresolvable"] = True
    value["placement"] = WORDS[server.placement]
    if server.reports:
        value["reports"] = _reports_value(server.reports)
    if server.suspect_failures:
        value["suspect_failures"] = sorted(map(list, server.suspect_failures))
    if server.pending_monitors:
        value["pending_monitors"] = sorted(server.pending_monitors)
    if move := server.move:
        own = {"address": str(move.address), "since": move.since, "overdue": move.overdue}
        value["move"] = {**own, "reports": _reports_value(move.reports)}
    return value


def server_of(value: Document) -> Server:
    """Return the server of a value."""
    move = value.get("move")
    where = value.get("address")
    return Server(
        member_of(value["server"], value["member"]),
        _reports_of(value.get("reports", {})),
        None if where is None else address_of(where),
        value.get("unresolvable", False),
        PLACEMENTS[value["placement"]],
        frozenset((monitor, cause) for monitor, cause in value.get("suspect_failures", ())),
        frozenset(value.get("pending_monitors", ())),
        move and Move(address_of(move["address"]), _reports_of(move["reports"]), move["since"], move["overdue"]),
    )


def placements(before: Pool, after: Pool) -> dict[str, str]:
    """Return the hosts whose placement an event changed, with the new one; new hosts were out before."""
    return {
        host: WORDS[new.placement]
        for host, old, new in after.servers.changes_since(before.servers)
        if new is not None and new.placement is not (Placement.OUT if old is None else old.placement)
    }
