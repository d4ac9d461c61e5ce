"""A decision about some servers of a pool, with the reason of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pybal.core.changes import Change, ChangeKind
from pybal.core.text import ascii_of, first_of
from pybal.core.why import cause

NAMED_HOSTS = 10
"""Hosts named in a line of the log."""
LONGEST_REASON = 95
"""ASCII characters kept of the reason of a server."""

_VERBS: Mapping[ChangeKind, str] = {
    ChangeKind.REMOVED: "removed",
    ChangeKind.NOT_DEPOOLED: "kept",
    ChangeKind.FORCED_IN: "forced in",
    ChangeKind.DEPOOLED: "depooled",
    ChangeKind.REPOOLED: "pooled",
}
"""The changes of a server that are decisions."""


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


class EventDecisions:
    """Gathers the changes of one event into one decision of each kind."""

    def __init__(self) -> None:
        self._servers: dict[ChangeKind, list[tuple[str, str]]] = {}

    def add(self, change: Change) -> None:
        """Take a change, which may be no decision."""
        if change.kind in _VERBS:
            removed = change.kind is ChangeKind.REMOVED
            reason = "no longer in the server list" if removed else cause(change.server)
            self._servers.setdefault(change.kind, []).append((change.server.host, reason))

    def decisions(self, at: float, arithmetic: Callable[[], str]) -> Iterator[tuple[ChangeKind, Decision]]:
        """Yield the decisions of a monotonic time; ``arithmetic`` returns the numbers of the pool afterwards."""
        for kind, verb in _VERBS.items():
            if kind in self._servers:
                yield kind, Decision.of(at, verb, self._servers[kind], arithmetic())
