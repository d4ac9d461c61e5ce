"""A decision about some servers of a pool, with the reason of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pybal.core.text import ascii_of, first_of

NAMED_HOSTS = 10
"""Hosts named in a line of the log."""
LONGEST_REASON = 95
"""ASCII characters kept of the reason of a server."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about some servers of a pool.

    ``verb`` is ``removed``, ``kept``, ``forced in``, ``depooled`` or ``pooled``.

    ``at`` is the monotonic time in seconds, ``arithmetic`` the numbers of the pool afterwards. ``reasons`` are those of
    ``hosts``, ``others`` is the number of further servers.
    """

    at: float
    verb: str
    hosts: Sequence[str]
    reasons: Sequence[str]
    arithmetic: str
    others: int = 0

    @classmethod
    def of(cls, at: float, verb: str, servers: Iterable[tuple[str, str]], arithmetic: str) -> Decision:
        """Return a decision about servers: pairs of host and reason."""
        hosts, reasons, shared = [], [], dict[str, str]()
        for host, reason in servers:
            hosts.append(host)
            reasons.append(shared.get(reason) or shared.setdefault(reason, ascii_of(reason, LONGEST_REASON)))
        return cls(at, verb, tuple(hosts), tuple(reasons), arithmetic)

    def shortened(self) -> Decision:
        """Return the decision with the first :data:`NAMED_HOSTS` servers only."""
        others = self.others + len(self.hosts) - NAMED_HOSTS
        return replace(self, hosts=self.hosts[:NAMED_HOSTS], reasons=self.reasons[:NAMED_HOSTS], others=others)

    @property
    def text(self) -> str:
        """A line of the log: ``serving 7 of 16, floor 8, 1 forced: web3 kept``."""
        named, others = self.hosts[:NAMED_HOSTS], self.others + max(0, len(self.hosts) - NAMED_HOSTS)
        more = f" and {others} more" if others else ""
        return f"{self.arithmetic}: {', '.join(named)}{more} {self.verb}"

    def reason_of(self, host: str) -> str:
        """Return the reason of a host of the decision."""
        return self.reasons[self.hosts.index(host)]

    def by_reason(self) -> Iterator[str]:
        """Yield each reason with its servers: ``down: ProxyFetch connect: refused: web3, web4``."""
        hosts: dict[str, list[str]] = {}
        for host, reason in zip(self.hosts, self.reasons, strict=True):
            hosts.setdefault(reason, []).append(host)
        return (f"{reason}: {first_of(own, NAMED_HOSTS)}" for reason, own in hosts.items())
