"""A reactor in virtual time, without descriptors and threads: every run of a seed is the same.

Two queues share the time: the calls of the program, and the events of the world around it (packets, servers, threads). The world
goes on while the program is suspended.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.base import DelayedCall
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from pybal.runtime.activities import Activities

MOST_TURNS = 100_000
"""Turns without progress of the time after which the program is in an endless loop."""


class SimulatedReader(Protocol):
    """A descriptor of the world: readable while it has events."""

    def __bool__(self) -> bool: ...


class _Port:
    """A listening port."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close

    def stopListening(self) -> None:  # noqa: N802  # Twisted's name
        self._close()


@implementer(IReactorTime)
class SimulatedReactor:
    """The reactor. ``descriptors`` has the simulated descriptors by number.

    ``dial`` opens a TCP connection of the program. ``unix`` has the factories of UNIX sockets by path, whose files are real, ``ports`` those of adopted sockets by descriptor.
    """

    _log = Logger()

    def __init__(self, begin: float = 1000.0) -> None:
        self.dial: Callable[[str, Any, float], Any]
        self.turns = 0
        self._now = begin
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self.activities = Activities()
        self.descriptors: dict[int, SimulatedReader] = {}
        self.unix: dict[str, Any] = {}
        self.ports: dict[int, Any] = {}
        self._calls: list[tuple[float, int, DelayedCall]] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._from_threads = deque[tuple[Callable[..., object], tuple[object, ...]]]()
        self._readers: list[IReadDescriptor] = []

    # -- for the program

    def seconds(self) -> float:
        return self._now

    @property
    def lane(self) -> SimulatedReactor:
        return self

    def callLater(  # noqa: N802  # Twisted's name
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002  # likewise
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        assert 0.0 <= delay < math.inf, delay
        call = DelayedCall(self._now + delay, callable, args, kwargs, _ignore, self._push, self.seconds)
        self._push(call)
        return call

    def callFromThread(  # noqa: N802  # Twisted's name
        self,
        callable: Callable[..., object],  # noqa: A002  # likewise
        /,
        *args: object,
    ) -> None:
        self._from_threads.append((callable, args))

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:  # noqa: N802  # Twisted's name
        return [call for time, _, call in self._calls if call.active() and time == call.time]

    def addReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self._readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self._readers.remove(reader)

    def listenUNIX(  # noqa: N802  # Twisted's name
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666
    ) -> IListeningPort:
        del backlog, mode
        with socket.socket(socket.AF_UNIX) as bound:
            try:
                bound.bind(address)
            except OSError as refused:
                raise CannotListenError(None, address, refused) from refused
        self.unix[address] = factory

        def close() -> None:
            if self.unix.pop(address, None) is not None:
                Path(address).unlink()

        return _Port(close)  # type: ignore[return-value]  # only stopListening is used

    def adoptStreamPort(  # noqa: N802  # Twisted's name
        self,
        fileDescriptor: int,  # noqa: N803  # likewise
        addressFamily: int,  # noqa: N803  # likewise
        factory: Any,
    ) -> IListeningPort:
        del addressFamily
        self.ports[fileDescriptor] = factory
        return _Port(lambda: self.ports.pop(fileDescriptor, None))  # type: ignore[return-value]  # likewise

    def connectTCP(  # noqa: N802  # Twisted's name
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,  # noqa: N803  # likewise
    ) -> Any:
        del port, bindAddress
        return self.dial(host, factory, timeout)

    # -- for the world

    def happen(self, delay: float, event: Callable[[], object]) -> None:
        """Let an event of the world happen in ``delay`` seconds; it is never cancelled."""
        self._number += 1
        heappush(self._events, (self._now + delay, self._number, event))

    # -- for the test

    def advance(self, seconds: float) -> None:
        """Pass time. Each call is made when it is due."""
        end = self._now + seconds
        while True:
            self._run()
            following = self._following()
            if following > end:
                break
            self._happen(following)
        self._now = end

    def pump(self, steps: Iterable[float]) -> None:
        """Advance by each of the steps."""
        for step in steps:
            self.advance(step)

    def suspend(self, seconds: float) -> None:
        """Pass time in which the process of the program is stopped: only the world goes on."""
        end = self._now + seconds
        while self._events and self._events[0][0] <= end:
            self._happen(self._events[0][0])
        self._now = end

    def kill(self) -> object:
        """End the program in an instant, with all events that it awaits; no call of it is made again.

        The result refers to all of them.
        """
        program = vars(self).copy()
        self._begin()
        return program

    def _push(self, call: DelayedCall) -> None:
        self._number += 1
        heappush(self._calls, (call.time, self._number, call))

    def _following(self) -> float:
        calls, events = self._calls, self._events
        while calls and (calls[0][2].cancelled or calls[0][2].time != calls[0][0]):
            heappop(calls)
        call = calls[0][0] if calls else math.inf
        return min(call, events[0][0]) if events else call

    def _happen(self, until: float) -> None:
        self._now = max(self._now, until)
        events = self._events
        while events and events[0][0] <= self._now:
            heappop(events)[2]()

    def _run(self) -> None:
        """Make the turns that are due at the present moment."""
        for _ in range(MOST_TURNS):
            if not self._turn():
                return
        raise AssertionError(f"the program never waits: {self._calls[:3]}")

    def _turn(self) -> bool:
        """Make the calls that are due, then read descriptors; return whether any call was made."""
        begun = self.turns
        now, latest, calls = self._now, self._number, self._calls
        for _ in range(len(self._from_threads)):
            call, args = self._from_threads.popleft()
            self._make(call, args, {})
        while calls and calls[0][0] <= now and calls[0][1] <= latest:
            time, _, due = heappop(calls)
            if due.cancelled or due.time != time:
                continue
            if due.delayed_time > 0.0:
                due.activate_delay()
                self._push(due)
                continue
            due.called = 1
            self.activities.reached = time
            self._make(due.func, due.args, due.kw)
        self.activities.reached = now
        for reader in tuple(self._readers):
            if self.descriptors[reader.fileno()]:
                self._make(reader.doRead, (), {})
        return self.turns > begun

    def _make(self, call: Callable[..., object], args: Any, kwargs: Any) -> None:
        self.turns += 1
        try:
            call(*args, **kwargs)
        except Exception:  # noqa: BLE001  # as the reactor of the daemon
            self._log.failure("Unexpected error in a call of the event loop")


def _ignore(_call: DelayedCall) -> None:
    """Leave a cancelled call in its queue until it is due."""
