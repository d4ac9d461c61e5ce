"""The open connections of the HTTP listeners: their limits, and the one that makes room.

A new connection beyond a limit closes the one without progress for the longest time: an idle client, a slow sender or a client that does not
read its response. A connection that waits for its response is never closed, because the delay is the daemon's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Protocol

MOST = 500
"""Connections in total."""
MOST_OF_CLIENT = 200
"""Connections of one client: an IPv4 address or an IPv6 /64."""
MOST_UNSENT = 1 << 26
"""Bytes of distinct bodies that clients have not read completely."""


class Body(Protocol):
    """A body that is being sent."""

    @property
    def size(self) -> int: ...


class Connection(Protocol):
    """One connection.

    ``client`` is the result of :func:`client_of`, ``progress`` a monotonic time in seconds.
    """

    client: str
    waits: bool
    progress: float

    @property
    def body(self) -> Body | None: ...

    def abort(self) -> None: ...

    def end(self) -> None: ...


class Connections:
    """The open connections; ``refused`` and ``evicted`` count."""

    def __init__(self, most: int = MOST, most_of_client: int = MOST_OF_CLIENT, most_unsent: int = MOST_UNSENT) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._most_unsent = most_unsent
        self._open: dict[Connection, None] = {}
        self._clients = Counter[str]()
        self.refused = 0
        self.evicted = 0

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, client: str) -> bool:
        """Make room for a connection of ``client``; return false if no other can be closed for it."""
        if self._clients[client] >= self._most_of_client:
            admitted = self._close_one(each for each in self._open if each.client == client)
        else:
            admitted = len(self._open) < self._most or self._close_one(self._open)
        self.refused += not admitted
        return admitted

    def add(self, connection: Connection) -> None:
        """Count a connection."""
        self._open[connection] = None
        self._clients[connection.client] += 1

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection, if it is counted."""
        if connection in self._open:
            del self._open[connection]
            self._clients[connection.client] -= 1
            if not self._clients[connection.client]:
                del self._clients[connection.client]

    def make_room_for(self, body: Body) -> None:
        """Close the connections whose clients read old bodies slowly, if too many bytes of bodies are unsent."""
        unsent = {id(each.body): each.body.size for each in self._open if each.body is not None}
        unsent[id(body)] = body.size
        while sum(unsent.values()) > self._most_unsent:
            slow = [each for each in self._open if each.body is not None and each.body is not body]
            if not slow:
                return
            oldest = min(slow, key=_progress).body
            unsent.pop(id(oldest), None)
            for connection in slow:
                if connection.body is oldest:
                    self._evict(connection)

    def _close_one(self, candidates: Iterable[Connection]) -> bool:
        slowest = min((each for each in candidates if not each.waits), key=_progress, default=None)
        if slowest is not None:
            self._evict(slowest)
        return slowest is not None

    def _evict(self, connection: Connection) -> None:
        self.evicted += 1
        self.remove(connection)
        connection.abort()


def client_of(address: str) -> str:
    """Return the client of an address: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return found.exploded[:19] if isinstance(found, IPv6Address) else str(found)


def _progress(connection: Connection) -> float:
    return connection.progress
