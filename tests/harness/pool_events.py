"""Short names for pools and events in tests of the policy.

Hosts are single letters, ``a`` has the address 10.0.0.1, ``b`` 10.0.0.2 and so on.
"""

from __future__ import annotations

from functools import reduce
from ipaddress import IPv4Address
from typing import Any

from pybal.core.events import Event, Listed, Reported, Resolved, Tried
from pybal.core.model import Address, IPProtocol, Member, Placement, Pool, Report, Service
from pybal.core.policy import step

M = "ProxyFetch"
N = "IdleConnection"


def service(threshold: float = 0.5, monitors: tuple[str, ...] = (M,), **more: Any) -> Service:
    return Service(
        "web", IPProtocol.TCP, IPv4Address("192.0.2.1"), 80, "wrr", (), False, False, threshold, monitors, **more
    )


def ip(number: int) -> Address:
    return IPv4Address("10.0.0.0") + number


def address(host: str) -> Address:
    return ip(ord(host) - ord("a") + 1)


def off(host: str) -> Member:
    return Member(host, enabled=False)


def idle(host: str) -> Member:
    return Member(host, weight=0)


def listed(*members: str | Member) -> Listed:
    """Return a list event of letters (``"abc"``: enabled, weight 10) and of members."""
    whole: list[Member] = []
    for item in members:
        whole.extend([item] if isinstance(item, Member) else map(Member, item))
    return Listed(tuple(whole))


def resolved(hosts: str) -> Resolved:
    return Resolved({host: address(host) for host in hosts})


def moved(**addresses: int | None) -> Resolved:
    return Resolved({host: None if number is None else ip(number) for host, number in addresses.items()})


def up(host: str, monitor: str = M) -> Reported:
    return Reported(host, monitor, Report(True))


def tried(host: str, monitor: str = M, *, up: bool = True) -> Tried:
    """Return a report on the next address of a host."""
    return Tried([Reported(host, monitor, Report(up, "" if up else "connect: refused"))])


def down(host: str, monitor: str = M, reason: str = "connect: refused") -> Reported:
    return Reported(host, monitor, Report(False, reason))


def after(pool: Pool, *events: Event) -> Pool:
    return reduce(step, events, pool)


def fresh(hosts: str, threshold: float = 0.5, monitors: tuple[str, ...] = (M,), **more: Any) -> Pool:
    """Return a pool of enabled servers with addresses and without any report."""
    return after(Pool(service(threshold, monitors, **more)), listed(hosts), resolved(hosts))


def healthy(hosts: str, threshold: float = 0.5, monitors: tuple[str, ...] = (M,), **more: Any) -> Pool:
    """Return a pool of enabled servers, all up."""
    pool = fresh(hosts, threshold, monitors, **more)
    return after(pool, *(up(host, monitor) for host in hosts for monitor in monitors))


def standing(pool: Pool) -> str:
    """Return the hosts in the wanted set, in the order of the source; ``b!`` is forced."""
    mark = {Placement.POOLED: "", Placement.FORCED: "!"}
    return " ".join(s.host + mark[s.placement] for s in pool.servers.values() if s.placement in mark)
