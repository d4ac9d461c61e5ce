"""The event loop: the measure of callbacks, the lane of heartbeats, and fair iterations.

A callback is occupied until a time has passed, so nothing depends on how fast the machine is.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.runtime.loop import ACCEPTS, BUDGET, Loop
from tests.harness.daemon_process import PATIENCE
from tests.harness.stepped_reactor import close


def occupy(seconds: float) -> None:
    """Hold the loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@implementer(IReadDescriptor)
class Reader:
    """A socket that stays readable and calls a function for each event."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._socket, self._peer = socket.socketpair()
        self._peer.send(b"x")

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        self._call()

    def logPrefix(self) -> str:  # noqa: N802  # likewise
        return "reader"

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # likewise
        self.close()

    def close(self) -> None:
        self._socket.close()
        self._peer.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Yield a loop; the test runs it with ``run``."""
    loop = Loop()
    yield loop
    for reader in loop.removeAll():  # type: ignore[no-untyped-call]  # Twisted's
        if isinstance(reader, Reader):
            reader.close()
    close(loop)


def run(loop: Loop) -> None:
    """Run until ``loop.crash()``."""
    limit = loop.callLater(PATIENCE, loop.crash)
    loop.run(installSignalHandlers=False)
    assert limit.active(), "the loop was not stopped by the test"
    limit.cancel()


def test_loop_reaches_the_due_time_of_each_call_in_order(loop: Loop) -> None:
    reached = []

    def look() -> None:
        reached.append(loop.activities.reached)
        occupy(2 * BUDGET)

    due = [loop.callLater(delay, look).getTime() for delay in (0.001, 0.002, 0.003)]
    loop.callLater(0.004, loop.crash)
    run(loop)
    assert reached == due


def test_loop_reaches_the_present_when_no_call_is_due(loop: Loop) -> None:
    reached = []

    def look() -> None:
        reached.append(loop.activities.reached)
        loop.crash()

    began = loop.seconds()
    occupy(0.001)
    loop.addReader(Reader(look))  # type: ignore[no-untyped-call]  # Twisted's
    run(loop)
    assert began < reached[0] <= loop.seconds()


def test_loop_records_a_long_call_with_its_name(loop: Loop) -> None:
    loop.callLater(0, occupy, 0.06)
    loop.callLater(0.001, loop.crash)
    run(loop)
    (hold,) = (hold for hold in loop.held.longest() if hold.call == "occupy")
    assert hold.wall >= 0.06
    assert hold.cpu <= hold.wall


def test_loop_counts_only_the_cpu_time_of_the_callback(loop: Loop) -> None:
    for _ in range(3):
        loop.callLater(0, occupy, 0.05)
    loop.callLater(0.001, time.sleep, 0.2)
    loop.callLater(0.002, loop.crash)
    run(loop)
    slept = loop.held.longest()[0]
    assert slept.wall >= 0.2
    assert slept.cpu < 0.1


def test_loop_records_readers_and_calls_from_threads(loop: Loop) -> None:
    def read() -> None:
        loop.removeReader(reader)  # type: ignore[no-untyped-call]  # Twisted's
        occupy(0.05)
        loop.callFromThread(occupy, 0.05)
        loop.callFromThread(loop.crash)

    reader = Reader(read)
    loop.addReader(reader)  # type: ignore[no-untyped-call]  # Twisted's
    run(loop)
    reader.close()
    assert {"Reader", "occupy"} <= {hold.call for hold in loop.held.longest()}


def test_idle_time_is_not_counted_as_held(loop: Loop) -> None:
    loop.callLater(0.5, loop.crash)
    run(loop)
    assert loop.held.seconds < 0.4


def test_exception_of_a_call_does_not_stop_the_others(loop: Loop) -> None:
    def fail() -> None:
        raise LookupError("a bug")

    loop.callFromThread(fail)
    loop.callLater(0, fail)
    loop.lane.callLater(0, fail)
    loop.callLater(0.01, loop.crash)
    run(loop)


@pytest.mark.parametrize("kind", ["due calls", "calls from threads", "readers"])
def test_heartbeats_go_on_while_many_callbacks_wait(loop: Loop, kind: str) -> None:
    beats: list[int] = []
    done: list[int] = []

    def beat() -> None:
        beats.append(len(done))
        loop.lane.callLater(0.05, beat)

    def work() -> None:
        occupy(0.04)
        done.append(1)
        if len(done) == 25:
            loop.crash()

    def begin() -> None:
        for _ in range(25):
            if kind == "due calls":
                loop.callLater(0, work)
            elif kind == "calls from threads":
                loop.callFromThread(work)
            else:
                loop.addReader(Reader(work))  # type: ignore[no-untyped-call]  # Twisted's

    loop.lane.callLater(0, beat)
    loop.callLater(0.01, begin)
    run(loop)
    # At most two callbacks of 40 ms fit between two beats of 50 ms.
    assert max(after - before for before, after in pairwise(beats)) <= 2


def test_heartbeat_wakes_an_idle_loop(loop: Loop) -> None:
    loop.lane.callLater(0.05, loop.crash)
    run(loop)


def test_cancelled_heartbeat_is_not_made(loop: Loop) -> None:
    made: list[bool] = []
    call = loop.lane.callLater(0.01, made.append, True)
    call.cancel()
    loop.lane.callLater(0.02, loop.crash)
    run(loop)
    assert (made, loop.lane.getDelayedCalls()) == ([], ())


def test_reader_is_served_while_many_calls_are_due(loop: Loop) -> None:
    order: list[str] = []

    def work() -> None:
        occupy(BUDGET)
        order.append("call")
        if order.count("call") == 20:
            loop.crash()

    for _ in range(20):
        loop.callLater(0, work)
    loop.addReader(Reader(lambda: order.append("reader")))  # type: ignore[no-untyped-call]  # Twisted's
    run(loop)
    assert order.count("reader") >= 10


def test_call_is_made_while_many_readers_are_ready(loop: Loop) -> None:
    order: list[str] = []

    def read() -> None:
        occupy(BUDGET)
        order.append("reader")
        if len(order) == 1:
            loop.callLater(0, order.append, "call")
        if len(order) == 20:
            loop.crash()

    for _ in range(10):
        loop.addReader(Reader(read))  # type: ignore[no-untyped-call]  # Twisted's
    run(loop)
    assert order.index("call") <= 2


def test_every_ready_reader_has_its_turn(loop: Loop) -> None:
    served: list[int] = []

    def read(number: int) -> None:
        occupy(BUDGET)
        served.append(number)
        if len(served) == 20:
            loop.crash()

    for number in range(10):
        loop.addReader(Reader(lambda number=number: read(number)))  # type: ignore[misc, no-untyped-call]
    run(loop)
    assert sorted(served) == sorted([*range(10)] * 2)


def test_event_of_a_closed_reader_does_not_reach_its_successor(loop: Loop) -> None:
    # A descriptor that a callback closes may get the number of another object immediately.
    served: list[str] = []

    def first() -> None:
        number = readers[1].fileno() if served == [] else -1
        served.append("old")
        if number >= 0:
            for reader in readers:
                loop.removeReader(reader)  # type: ignore[no-untyped-call]  # Twisted's
                reader.close()
            successor = Reader(lambda: served.append("new"))
            successors.append(successor)
            loop.addReader(successor)  # type: ignore[no-untyped-call]  # Twisted's
            served.append("replaced")
            loop.callLater(0, loop.crash)

    successors: list[Reader] = []
    readers = [Reader(first) for _ in range(2)]
    for reader in readers:
        loop.addReader(reader)  # type: ignore[no-untyped-call]  # Twisted's
    run(loop)
    assert served[:2] == ["old", "replaced"]
    assert served.count("old") == 1


def listen_to_unix(loop: Loop, directory: Path, factory: Factory) -> tuple[IListeningPort, str]:
    path = str(directory / "socket")
    return loop.listenUNIX(path, factory, 1024), path


def listen_to_adopted(loop: Loop, directory: Path, factory: Factory) -> tuple[IListeningPort, tuple[str, int]]:
    del directory
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        server.setblocking(False)
        return loop.adoptStreamPort(server.fileno(), server.family, factory), server.getsockname()


@pytest.mark.parametrize("listen", [listen_to_unix, listen_to_adopted])
def test_listening_socket_accepts_few_connections_in_one_callback(
    loop: Loop,
    tmp_path: Path,
    listen: Callable[[Loop, Path, Factory], tuple[IListeningPort, Any]],
) -> None:
    accepted: list[int] = []

    def accept(_: object) -> Protocol:
        accepted.append(loop.held.turns)  # the same within one callback
        if len(accepted) == len(clients):
            loop.crash()
        return Protocol()

    factory = Factory()
    factory.buildProtocol = accept  # type: ignore[assignment,method-assign]
    port, address = listen(loop, tmp_path, factory)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET))
            for _ in range(400)
        ]
        for client in clients:
            client.connect(address)
        run(loop)
        callbacks = Counter(accepted)
        assert max(callbacks.values()) <= ACCEPTS
        assert len(callbacks) >= len(clients) / ACCEPTS
        port.stopListening()


def test_cancelled_and_postponed_calls_keep_their_meaning(loop: Loop) -> None:
    made: list[str] = []
    loop.callLater(0.01, made.append, "cancelled").cancel()
    loop.callLater(0.01, made.append, "postponed").delay(0.03)
    loop.callLater(0.02, made.append, "on time")
    loop.callLater(0.06, loop.crash)
    run(loop)
    assert made == ["on time", "postponed"]


def test_stop_runs_the_shutdown_triggers(loop: Loop) -> None:
    seen: list[str] = []
    loop.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")
    loop.callLater(0, loop.stop)
    loop.run(installSignalHandlers=False)
    assert seen == ["shutdown"]
