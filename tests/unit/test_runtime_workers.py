import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from pybal.runtime.workers import Workers


class LoopOfTheTest:
    """The reactor's part: calls from threads wait until the test makes them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()

    def seconds(self) -> float:
        return self.now

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:  # noqa: A002, N802
        self._calls.put(lambda: callable(*args))

    def turn(self) -> None:
        self._calls.get(timeout=60)()


def outcome(done: Deferred[Any]) -> list[object]:
    found: list[object] = []
    done.addBoth(found.append)
    return found


def test_call_runs_in_another_thread_and_its_result_arrives_in_the_loop() -> None:
    loop = LoopOfTheTest()
    found = outcome(Workers("files", 1, loop).run(threading.get_ident))
    assert found == []
    loop.turn()
    assert found != [threading.get_ident()]
    assert len(found) == 1


def test_exception_of_a_call_arrives_in_the_loop() -> None:
    loop = LoopOfTheTest()
    done = Workers("files", 1, loop).run(lambda: int("none"))
    loop.turn()
    with pytest.raises(ValueError):
        raise outcome(done)[0].value  # type: ignore[attr-defined]


def test_hung_call_delays_no_other_while_a_thread_is_free() -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 2, loop)
    release = threading.Event()
    hung = outcome(workers.run(release.wait))
    found = outcome(workers.run(lambda: "answered"))
    loop.turn()
    assert (found, hung) == (["answered"], [])
    release.set()
    loop.turn()
    assert hung == [True]


def test_calls_wait_in_order_when_all_threads_are_occupied() -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 1, loop)
    order: list[object] = []
    for number in range(3):
        workers.run(lambda number=number: number).addCallback(order.append)  # type: ignore[misc]
    for _ in range(3):
        loop.turn()
    assert order == [0, 1, 2]


def test_cancelled_call_that_has_not_begun_is_not_made() -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 1, loop)
    release = threading.Event()
    workers.run(release.wait)
    made: list[bool] = []
    done = workers.run(lambda: made.append(True))
    found = outcome(done)
    done.cancel()
    release.set()
    loop.turn()
    loop.turn()
    assert made == []
    assert found[0].check(CancelledError)  # type: ignore[attr-defined]
    assert workers.unfinished_since is None


def test_workers_tell_the_age_of_the_oldest_unfinished_call() -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 1, loop)
    release = threading.Event()
    loop.now = 5.0
    workers.run(release.wait)
    loop.now = 7.0
    workers.run(lambda: None)
    assert workers.unfinished_since == 5.0
    release.set()
    loop.turn()
    assert workers.unfinished_since == 7.0
    loop.turn()
    assert workers.unfinished_since is None


def test_call_fails_without_any_thread_and_later_calls_work(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 1, loop)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    (failure,) = outcome(workers.run(lambda: "never"))
    assert failure.check(OSError)  # type: ignore[attr-defined]
    assert workers.unfinished_since is None
    monkeypatch.undo()
    found = outcome(workers.run(lambda: "answered"))
    loop.turn()
    assert found == ["answered"]


def test_call_waits_for_another_thread_when_none_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = LoopOfTheTest()
    workers = Workers("files", 2, loop)
    release = threading.Event()
    workers.run(release.wait)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    found = outcome(workers.run(lambda: "answered"))
    release.set()
    loop.turn()
    loop.turn()
    assert found == ["answered"]


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
