"""The pooling rules of PyBal 1.15, with its faults, from contract.md, incidents.md and its users.

* A server counts as up until a monitor reports it down ("BGP announced before any server was known").
* One that goes down leaves if ``(total - down) / total >= threshold``, where disabled servers count as not down
  (T184715, 2023-05-16); else it stays, pooled but down.
* One that comes up is pooled if enabled; then down servers leave, as long as the same formula allows it.
* A new list is applied without the threshold: enabled up servers are pooled, all others are not (2015-06-13).
* Up is the AND over the monitors, computed again at every list; without monitors it is false ("services without
  monitors: any list change depooled everything").
* A name is looked up once: not again after a failure or a change of its address.
* A weight of 0 was left out of the command, so it became ipvsadm's default of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from pybal.core.events import Event, Listed, Reported, Resolved
from pybal.core.model import Address, Member, Service


class Left(Enum):
    """The reason why a server is not pooled."""

    NEVER_POOLED = "never pooled"
    BY_LIST = "by a list"
    BY_RESULT = "by a result"


@dataclass(slots=True)
class NaiveServer:
    member: Member
    reports: dict[str, bool]
    up: bool = True
    pooled: bool = False
    looked_up: bool = False
    address: Address | None = None
    left: Left = Left.NEVER_POOLED

    @property
    def weight(self) -> int:
        return self.member.weight or 1

    def leave(self, why: Left) -> None:
        if self.pooled:
            self.pooled, self.left = False, why


@dataclass(slots=True)
class PyBal115:
    service: Service
    servers: dict[str, NaiveServer] = field(default_factory=dict)

    def can_depool(self) -> bool:
        total, down = len(self.servers), sum(not server.up for server in self.servers.values())
        return (total - down) / total >= self.service.depool_threshold

    def happen(self, event: Event) -> None:
        match event:
            case Listed(members):
                self.apply(members)
            case Resolved(addresses):
                for host in addresses.keys() & self.servers.keys():
                    self.look_up(self.servers[host], addresses[host])
            case Reported(host, monitor, report) if host in self.servers:
                self.report(self.servers[host], monitor, up=report.up)

    def apply(self, members: tuple[Member, ...]) -> None:
        old, self.servers = self.servers, {}
        for member in members:
            server = old.get(member.host)
            if server is None:
                server = NaiveServer(member, dict.fromkeys(self.service.monitors, True))
            else:
                server.up = bool(server.reports) and all(server.reports.values())
            server.member = member
            self.servers[member.host] = server
        for server in self.servers.values():
            if server.member.enabled and server.up and server.address is not None:
                server.pooled = True
            else:
                server.leave(Left.BY_LIST)

    def look_up(self, server: NaiveServer, address: Address | None) -> None:
        if not server.looked_up:
            server.looked_up, server.address = True, address
            server.pooled = server.member.enabled and server.up and address is not None

    def report(self, server: NaiveServer, monitor: str, *, up: bool) -> None:
        server.reports[monitor] = up
        server.up = all(server.reports.values())
        if not server.up:
            if self.can_depool():
                server.leave(Left.BY_RESULT)
            return
        server.pooled = server.member.enabled and server.address is not None
        for other in self.servers.values():
            if other.pooled and not other.up and self.can_depool():
                other.leave(Left.BY_RESULT)
