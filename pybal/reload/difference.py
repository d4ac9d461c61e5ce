"""Differences between two configurations, in the terms of pybal.conf.

Pure. Values are included if they are short and not secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from pybal.bgp.verdict import Verdict
from pybal.config.errors import masked
from pybal.config.option import Group, Option, declared
from pybal.config.settings import ServiceOptions, ServiceSettings, Settings
from pybal.core.model import Address

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_FIXED = {field.name for field in fields(Settings) if isinstance(found := declared(field), Option) and found.restart}
"""Global settings that a reload cannot change."""

_LONGEST = 80
_APART = {"service", "source", "monitors", "line"}
_OF_SERVICE = {"port", "threshold", "monitored"}
"""Facts about the service in the settings of its source."""
_KEY = {"protocol", "vip", "port", "monitors", "interval"}


def service_reasons(old: ServiceSettings, new: ServiceSettings) -> Iterator[str]:
    """Yield the differences between two settings of one service; empty if and only if both mean the same."""
    if old.service.name != new.service.name:
        yield f"was [{old.service.name}]"
    yield from _reasons(old.service, new.service, {*_KEY, "name"}, by=ServiceOptions)
    yield from _monitor_reasons(old, new)
    yield from _reasons(old.source, new.source, _OF_SERVICE)
    yield from _reasons(old, new, _APART)


def restart_reasons(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the differences that need a restart."""
    changes = list(_reasons(old, new, {field.name for field in fields(Settings)} - _FIXED))
    if (old.bgp is None) is not (new.bgp is None):
        changes.append(f"bgp {_text(old.bgp is not None)} -> {_text(new.bgp is not None)}")
    yield from (f"{change}: restart pybal to apply it" for change in changes)


def general_reasons(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the differences outside single services."""
    apart = {"services", "bgp"} | _FIXED
    if old.bgp and new.bgp:
        yield from _reasons(old.bgp, new.bgp, {"peers"}, "bgp-")
    yield from _reasons(old, new, apart)


def peer_reasons(old: Settings, new: Settings, rekeyed: AbstractSet[Address] = frozenset()) -> Iterator[str]:
    """Yield added, removed and changed BGP peers. ``rekeyed``: the peers with a new MD5 password."""
    before = {peer.address: peer for peer in (old.bgp.peers if old.bgp else ())}
    after = {peer.address: peer for peer in (new.bgp.peers if new.bgp else ())}
    for address, peer in after.items():
        if address not in before:
            yield f"+ peer {address}"
            continue
        changes = list(_reasons(before[address], peer, set(), "bgp-"))
        same_file = peer.md5_password_file == before[address].md5_password_file
        changes += ["MD5 password changed"] if address in rekeyed and same_file else []
        if changes:
            # ExaBGP sets the passwords of the sockets that it listens on at its start.
            listening = {ip.version for ip in new.bgp.local_ips} if new.bgp else set()
            every = address.version in listening and (address in rekeyed or not same_file)
            yield f"~ peer {address}: {', '.join(changes)}; resets {'all BGP sessions' if every else 'its session'}"
    yield from (f"- peer {address}" for address in before if address not in after)


def announcement_reasons(before: Sequence[Verdict], after: Sequence[Verdict]) -> Iterator[str]:
    """Yield added, removed and changed announcements between two sets of verdicts."""
    old = {verdict.vip: verdict for verdict in before}
    new = {verdict.vip: verdict for verdict in after}
    for vip, verdict in new.items():
        was, now = old[vip].announcement if vip in old else None, verdict.announcement
        prefix = f"{vip}/{vip.max_prefixlen}"
        if vip not in old and now is None:
            yield f"+ announcement {prefix}, not yet: {verdict.why} ({verdict.detail})"
        elif was is None and now is not None:
            yield f"+ announcement {prefix}, MED {now.med}: {verdict.detail}"
        elif was is not None and now is None:
            yield f"- announcement {prefix}: {verdict.why} ({verdict.detail})"
        elif was is not None and now is not None and was.med != now.med:
            yield f"~ announcement {prefix}: MED {was.med} -> {now.med}"
    for vip, verdict in old.items():
        if vip not in new and verdict.announcement:
            yield f"- announcement {vip}/{vip.max_prefixlen}: no longer configured"


def _monitor_reasons(old: ServiceSettings, new: ServiceSettings) -> Iterator[str]:
    before = dict(zip(old.service.monitors, old.monitors, strict=True))
    after = dict(zip(new.service.monitors, new.monitors, strict=True))
    yield from (f"monitors - {name}" for name in before if name not in after)
    for name, monitor in after.items():
        if name not in before:
            yield f"monitors + {name}"
        else:
            yield from _reasons(before[name], monitor, set(), f"{name.lower()}.")
    if list(before) != list(after) and set(before) == set(after):
        yield f"monitors {', '.join(before)} -> {', '.join(after)}"


def _reasons(
    old: object, new: object, apart: set[str], prefix: str = "", by: type[DataclassInstance] | None = None
) -> Iterator[str]:
    """Yield the options that differ. The class ``by`` declares them; the default is the class of ``old``."""
    names = {field.name: declared(field) for field in fields(by)} if by else {}
    for field in fields(old) if is_dataclass(old) else ():
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after or field.name in apart:
            continue
        found = names.get(field.name) or declared(field)
        if isinstance(found, Group):
            yield from _group_reasons(found, before, after, prefix)
        elif isinstance(found, Option):
            yield _reason(prefix + found.name, found.show or _text, before, after)
        elif is_dataclass(before):
            yield from _reasons(before, after, set(), prefix)
        else:
            yield _reason(prefix + field.name.replace("_", "-"), _text, before, after)


def _group_reasons(found: Group, before: object, after: object, prefix: str) -> Iterator[str]:
    if before is not None and after is not None:
        yield from _reasons(before, after, set(), prefix + found.prefix, found.declared)
    elif found.switch:
        yield _reason(found.switch.name, _text, before is not None, after is not None)


def _reason(name: str, show: Callable[[Any], str], before: object, after: object) -> str:
    short = [show(value) for value in (before, after)]
    return f"{name} {short[0]} -> {short[1]}" if all(short) else f"{name} changed"


def _text(value: object) -> str:
    """Return a value for people, empty if it is secret or too long for a line."""
    match value:
        case None | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case Enum():
            return str(value.value)
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case IPv4Address() | IPv6Address():
            return str(value)
        case str() if len(value) <= _LONGEST:
            return masked(value)
        case tuple() if all(isinstance(each, IPv4Address | IPv6Address) for each in value):
            return " ".join(map(str, value)) or "none"
    return ""
