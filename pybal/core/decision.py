"""What was decided lately, bounded, and when things of the past were, for people.

The results of checks are kept by the monitors themselves (:meth:`pybal.monitors.base.Monitor.history`), so a server's
go with it, and a server with another address begins anew. All times are monotonic; the wall clock is for display.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KEPT = 50
"""Decisions of a pool: some 15 KB."""
LISTED_AT_MOST = 10
"""Hosts that a decision names."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done with some servers of a pool: ``kept``, ``forced in``, ``depooled`` or ``pooled``.

    ``at`` is the monotonic time in seconds, ``arithmetic`` that of the pool afterwards. ``hosts`` are the first of
    them, ``others`` how many more there were.
    """

    at: float
    verb: str
    hosts: Sequence[str]
    others: int
    arithmetic: str

    @classmethod
    def of(cls, at: float, verb: str, hosts: Sequence[str], arithmetic: str) -> Decision:
        named = tuple(hosts[:LISTED_AT_MOST])
        return cls(at, verb, named, len(hosts) - len(named), arithmetic)

    @property
    def text(self) -> str:
        """A line of the log: ``serving 7 of 16, floor 8, 1 forced: web3 kept``."""
        more = f" and {self.others} more" if self.others else ""
        return f"{self.arithmetic}: {', '.join(self.hosts)}{more} {self.verb}"
