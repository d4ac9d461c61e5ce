"""Converters from text to value for the options of BGP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar

from pybal.config.convert import (
    Converter,
    address,
    integer,
    nearest,
    not_a_name,
    optional_text,
    seconds,
    some,
    texts,
    words,
)
from pybal.config.errors import InvalidValueError, shown
from pybal.core.model import Address
from pybal.core.unreachable import why_unreachable

A = TypeVar("A", IPv4Address, IPv6Address)

MOST_COMMUNITIES = 64
"""Communities of each kind at most: an announcement with more may not fit in a BGP message."""

_A_PEER = "the IPv4 or IPv6 address of a BGP peer"
_NOT_LINK_LOCAL = (
    "a global or unique local address of the router: ExaBGP before 5.0 cannot connect to link-local addresses, with or without"
    " a zone"
)
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
_WELL_KNOWN = {
    "graceful-shutdown": "65535:0",
    "no-export": "65535:65281",
    "no-advertise": "65535:65282",
    "no-export-subconfed": "65535:65283",
    "no-peer": "65535:65284",
}
asn = integer(1, 2**32 - 1, "an AS number")
# RFC 4271 allows 0 (no hold timer) or at least 3 seconds. Without the timer a dead session would never end.
hold_time = integer(3, _SHORT, "whole seconds")
_LEAST_DEAD = 3.0
_VERSIONS = {"ipv4": 4, "ipv6": 6}


def dead_after(text: str) -> float:
    """Return a duration of at least 3 seconds: heartbeats are sent every half second."""
    if (number := seconds(text)) >= _LEAST_DEAD:
        return number
    raise InvalidValueError(shown(text), f"seconds, at least {_LEAST_DEAD:g}: a shorter stall must not withdraw VIPs")


ttl = integer(0, 255, "a TTL")


def router_id(text: str) -> IPv4Address | None:
    """Return an IPv4 address, or ``None`` for the empty text."""
    return _of_family(text, IPv4Address) if text else None


def nexthop_ipv4(text: str) -> IPv4Address | None:
    """Return an IPv4 address that routers can reach, or ``None`` for the empty text."""
    return _reachable(text, _of_family(text, IPv4Address), "IPv4") if text else None


def nexthop_ipv6(text: str) -> IPv6Address | None:
    """Return an IPv6 address that routers can reach, or ``None`` for the empty text."""
    return _reachable(text, _of_family(text, IPv6Address), "IPv6") if text else None


def _reachable(text: str, found: A, family: str) -> A:
    if why := why_unreachable(found):
        raise InvalidValueError(
            f"{shown(text)}, {why}", f"an {family} address of this balancer that the routers can reach"
        )
    return found


def local_addresses(text: str) -> tuple[Address, ...]:
    """Return a list of addresses without its empty texts, which meant every address in PyBal 1.15."""
    return tuple(dict.fromkeys(address(item) for item in texts(text) if item))


def families(text: str) -> tuple[int, ...]:
    """Return the IP versions of a list of the words ipv4 and ipv6, at least one."""
    found = tuple(dict.fromkeys(_VERSIONS.get(word, 0) for word in words(text.lower())))
    if not found or 0 in found:
        raise InvalidValueError(shown(text), "ipv4, ipv6 or both")
    return tuple(sorted(found))


def family_names(versions: Iterable[int]) -> str:
    """Return the words for some IP versions."""
    return " ".join(f"ipv{version}" for version in versions)


def as_path(text: str) -> tuple[int, ...]:
    """Return AS numbers separated by blanks; an empty tuple for the empty text."""
    try:
        return tuple(map(asn, text.split()))
    except InvalidValueError as error:
        raise InvalidValueError(error.found, "AS numbers from 1 to 4294967295, separated by blanks") from None


def _of_family(text: str, family: type[A]) -> A:
    try:
        found = address(text)
    except InvalidValueError:
        found = None
    if isinstance(found, family):
        return found
    wanted = f"an IPv{'4' if family is IPv4Address else '6'} address" + not_a_name(text)
    raise InvalidValueError(shown(text), wanted)


def peer_address(text: str) -> Address:
    """Return the address of a peer; a loopback address is a routing daemon on this host."""
    base, zone, _ = text.partition("%")
    try:
        found = ip_address(base)
    except ValueError:
        raise InvalidValueError(shown(text), _A_PEER + not_a_name(text)) from None
    if isinstance(found, IPv6Address) and found.is_link_local:
        raise InvalidValueError(f"{shown(text)}, a link-local address", _NOT_LINK_LOCAL)
    if zone:
        raise InvalidValueError(shown(text), f"{_A_PEER}, without a zone")
    if (why := why_unreachable(found)) and not found.is_loopback:
        raise InvalidValueError(f"{shown(text)}, {why}", _A_PEER)
    return found


peer_addresses = some(peer_address, _A_PEER)


def optional_asn(text: str) -> int | None:
    """Return an AS number, or ``None`` for the empty text."""
    return asn(text) if text else None


def optional_address(text: str) -> Address | None:
    """Return the address of a host, or ``None`` for the empty text."""
    return address(text) if text else None


def absolute_path(text: str) -> str:
    """Return the absolute path of a file, bare or quoted, or the empty text."""
    path = optional_text(text)
    if path and not path.startswith("/"):
        raise InvalidValueError(shown(text), "a path that begins with /")
    return path


def _community_list(most: int, example: str, names: Mapping[str, str]) -> Converter[tuple[str, ...]]:
    """Return a converter of lists of communities: names, or numbers up to ``most`` as in ``example``."""
    parts = example.count(":") + 1
    form = re.compile(":".join([r"[0-9]{1,10}"] * parts), re.ASCII)

    def community(word: str) -> str:
        text = names.get(word, word)
        if form.fullmatch(text) and max(values := [int(number) for number in text.split(":")]) <= most:
            return ":".join(map(str, values))
        wanted = f"{parts} numbers from 0 to {most}, such as {example}"
        wanted += f", or one of {', '.join(names)}" if names else ""
        raise InvalidValueError(shown(word), wanted, meant=nearest(word, names), meant_for=word)

    def convert(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(map(community, words(text))))
        if len(found) > MOST_COMMUNITIES:
            raise InvalidValueError(f"{len(found)} communities", f"at most {MOST_COMMUNITIES}")
        return found

    return convert


communities = _community_list(_SHORT, "64600:1", _WELL_KNOWN)
large_communities = _community_list(_LONG, "64600:1:1", {})
