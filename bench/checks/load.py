"""The load of a comparison: servers, interval and port, equal for all peers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

FIRST = IPv4Address("127.1.0.1")
HOST = "bench.example"
NAME = "www.test"
"""The name in DNS queries."""

KINDS = ("tcp", "http", "https", "dns")


@dataclass(frozen=True, slots=True)
class Load:
    """``servers`` addresses that serve ``port``, each checked every ``interval`` seconds.

    ``directory`` holds the files of a peer.
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
        """Command-line arguments for a process: everything except the directory."""
        return [self.kind, str(self.servers), str(self.interval), str(self.port)]

    @classmethod
    def of(cls, arguments: list[str]) -> Load:
        kind, servers, interval, port = arguments
        return cls(kind, int(servers), float(interval), int(port), Path())
