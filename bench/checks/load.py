"""What is checked how often: the same for all that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

FIRST = IPv4Address("127.1.0.1")
HOST = "bench.example"
NAME = "www.test"
"""What DNS servers are asked for."""

KINDS = ("tcp", "http", "https", "dns")


@dataclass(frozen=True, slots=True)
class Load:
    """So many ``servers``, on all of which ``port`` is served, each checked every ``interval`` seconds.

    ``directory`` is for what a peer has to write.
    """

    kind: str
    servers: int
    interval: float
    port: int
    directory: Path

    @property
    def addresses(self) -> list[IPv4Address]:
        return [FIRST + number for number in range(self.servers)]

    @property
    def arguments(self) -> list[str]:
        """Everything but the directory, for a process of its own."""
        return [self.kind, str(self.servers), str(self.interval), str(self.port)]

    @classmethod
    def of(cls, arguments: list[str]) -> Load:
        kind, servers, interval, port = arguments
        return cls(kind, int(servers), float(interval), int(port), Path())
