"""Requests that wait for the first list of a service, in the first seconds after a start.

The tools of users take a response as final: one gives up on a 404, another restarts a server that it takes for depooled. A request
about a service that has no server list yet therefore waits, for at most :data:`LONGEST` seconds. Then the response has the present
state. The time in the backlog of the port, while no process served it, counts: one tool gives up after 2 s.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

LONGEST = 1.5
"""Seconds that a request waits at most."""
LEAST = 0.5
"""Seconds that a request waits at least after a time in the backlog."""
IMPATIENT = 2.0
"""Seconds in the backlog after which the client is one of those that wait for longer."""
MOST = 100
"""Requests that wait at most; further ones are answered immediately."""
_LOOK_SECONDS = 0.05
_LAST_DATA = slice(52, 56)
"""``tcpi_last_data_recv`` in ``struct tcp_info`` (linux/tcp.h): milliseconds since the last data came."""


class FirstAnswers:
    """The requests that wait. ``awaits`` returns whether the response to a path should wait."""

    def __init__(self, clock: IReactorTime, awaits: Callable[[bytes], bool]) -> None:
        self._clock = clock
        self._awaits = awaits
        self.waiting = 0
        """The number of requests that wait."""

    def wait(self, path: bytes, transport: object) -> Deferred[None] | None:
        """Return a Deferred that fires when a request should be answered, ``None`` if that is now.

        Cancel it if the client leaves.
        """
        if self.waiting >= MOST or not self._awaits(path):
            return None
        return Deferred.fromCoroutine(self._wait(path, patience(age_of_data(transport))))

    async def _wait(self, path: bytes, seconds: float) -> None:
        until = self._clock.seconds() + seconds
        self.waiting += 1
        try:
            while self._clock.seconds() < until and self._awaits(path):
                await deferLater(self._clock, _LOOK_SECONDS)
        finally:
            self.waiting -= 1


def patience(age: float) -> float:
    """Return the seconds that a request may wait whose data came ``age`` seconds ago."""
    return LONGEST if age > IMPATIENT else max(LONGEST - age, LEAST)


def age_of_data(transport: object) -> float:
    """Return the seconds since the last data came on the socket of a transport, 0 if they are unknown."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(handle, socket.socket):
        return 0.0
    try:
        facts = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA.stop)
    except OSError:
        return 0.0
    return int.from_bytes(facts[_LAST_DATA], sys.byteorder) / 1000
