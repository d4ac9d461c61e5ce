"""A log of the last decisions about a pool, of bounded length.

Monitors keep the results of checks themselves (:meth:`pybal.monitors.base.Monitor.history`), so the results of a server are
deleted with it, and a server with a new address starts an empty history. All times are monotonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEPT_DECISIONS = 50
"""Decisions kept per pool: about 15 KB."""
NAMED_HOSTS = 10
"""Hosts named in one decision."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about some servers of a pool: ``kept``, ``forced in``, ``depooled`` or ``pooled``.

    ``at`` is the monotonic time in seconds, ``arithmetic`` the numbers of the pool afterwards. ``hosts`` are the first
    servers, ``others`` is the number of further ones.
    """

    at: float
    verb: str
    hosts: Sequence[str]
    others: int
    arithmetic: str

    @classmethod
    def of(cls, at: float, verb: str, hosts: Sequence[str], arithmetic: str) -> Decision:
        named = tuple(hosts[:NAMED_HOSTS])
        return cls(at, verb, named, len(hosts) - len(named), arithmetic)

    @property
    def text(self) -> str:
        """A line of the log: ``serving 7 of 16, floor 8, 1 forced: web3 kept``."""
        more = f" and {self.others} more" if self.others else ""
        return f"{self.arithmetic}: {', '.join(self.hosts)}{more} {self.verb}"
