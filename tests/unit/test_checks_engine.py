"""The engine: timers, deadlines, results, lateness and isolation."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from twisted.logger import LogEvent, capturedLogs

from pybal.checks.engine import Engine
from pybal.checks.lateness import Lateness
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target, TCPCheck
from pybal.core.isolation import Isolation, LastResponse
from pybal.core.model import SuspectSelf
from pybal.runtime.held import name_of
from tests.harness.clock_reactor import ClockReactor


@pytest.fixture
def reactor() -> ClockReactor:
    return ClockReactor()


@pytest.fixture
def engine(reactor: ClockReactor) -> Iterator[Engine]:
    engine = Engine(reactor, seconds=reactor.seconds)
    engine.start()
    yield engine
    engine.stop()
    assert (reactor.calls, reactor.readers) == ([], [])


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events


class Descriptor:
    """A watcher of the reading end of a pipe."""

    name = "pipe"

    def __init__(self, engine: Engine, event: Callable[[int], None]) -> None:
        self.deadline = 0
        self.event = event
        self.results: list[Result] = []
        self.errors: list[Exception] = []
        self.expired = 0
        self.reading, self.writing = os.pipe()
        engine.watch(self, self.reading)

    def expire(self) -> None:
        self.expired += 1

    def settle(self, result: Result) -> None:
        self.results.append(result)

    def broke(self, error: Exception) -> None:
        self.errors.append(error)

    def make_readable(self) -> None:
        os.write(self.writing, b"x")

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


def tcp_check(engine: Engine, done: Callable[[TCPCheck, Result], None], timeout: float = 5.0) -> TCPCheck:
    return TCPCheck(engine, Target.of(IPv4Address("127.0.0.1"), 9), timeout, done)


def broken() -> None:
    raise ValueError("surprise")


def test_timer_runs_within_a_second_and_then_at_its_interval(reactor: ClockReactor, engine: Engine) -> None:
    turns: list[float] = []
    engine.every(10, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(1)
    assert len(turns) == 1
    reactor.pass_time(100)
    assert len(turns) in {10, 11}
    assert all(later - earlier == pytest.approx(10, abs=0.1) for earlier, later in pairwise(turns[1:]))


def test_timer_due_during_a_long_turn_runs_promptly(reactor: ClockReactor, engine: Engine) -> None:
    turns: list[float] = []

    def take_long() -> None:
        reactor.rightNow += 0.06

    engine.every(10, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(9.95)
    engine.soon(take_long)
    reactor.pass_time(1)
    assert [round(at) for at in turns] == [0, 10]


def test_timer_added_before_the_start_runs(reactor: ClockReactor) -> None:
    engine = Engine(reactor, seconds=reactor.seconds)
    turns: list[float] = []
    engine.soon(lambda: turns.append(reactor.seconds()))
    reactor.pass_time(5)
    engine.start()
    reactor.pass_time(1)
    engine.stop()
    assert len(turns) == 1


def eight_responding_hosts(engine: Engine, lines: list[str]) -> list[LastResponse]:
    responses = [LastResponse(name, f"{name}{n}", 0.0) for name in ("text", "upload") for n in range(4)]
    engine.isolation = Isolation(lambda: responses, SuspectSelf.HOLD, lines.append)
    return responses


def test_isolation_ends_with_the_first_response(reactor: ClockReactor, engine: Engine) -> None:
    lines: list[str] = []
    eight_responding_hosts(engine, lines)
    engine.responded_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(3)
    assert engine.excused(0.1)
    reactor.pass_time(3)
    assert len(lines) == 1
    engine.responded_at = reactor.seconds()
    reactor.pass_time(1)
    assert lines[1:] == ["First response after 6.0 s; acting on new check results again"]


def test_isolation_ends_after_its_longest_time_without_a_check(reactor: ClockReactor, engine: Engine) -> None:
    lines: list[str] = []
    eight_responding_hosts(engine, lines)
    engine.responded_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(3)
    assert engine.excused(0.1)
    reactor.pass_time(60)
    assert len(lines) == 2
    assert not engine.excused(reactor.seconds() - 3)


def test_frozen_loop_is_not_isolation(reactor: ClockReactor, engine: Engine) -> None:
    lines: list[str] = []
    eight_responding_hosts(engine, lines)
    engine.responded_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(0.9)
    reactor.advance(10.0)
    assert engine.responded_at == pytest.approx(10, abs=0.7)
    assert not engine.excused(0.5)
    assert lines == []


def test_removed_timer_does_not_run(reactor: ClockReactor, engine: Engine) -> None:
    turns: list[float] = []
    timer = engine.every(1, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(5)
    engine.leave(timer)
    made = len(turns)
    reactor.pass_time(5)
    assert (made, len(turns)) == (5, 5) or (made, len(turns)) == (6, 6)


def test_exception_in_one_timer_does_not_stop_the_others(
    reactor: ClockReactor, engine: Engine, logged: Sequence[LogEvent]
) -> None:
    turns: list[float] = []
    engine.every(1, broken)
    engine.every(1, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(10)
    assert len(turns) >= 9
    assert len([event for event in logged if "log_failure" in event]) >= 9


def test_unexpected_exception_is_passed_to_the_check(engine: Engine, logged: Sequence[LogEvent]) -> None:
    def event(_mask: int) -> None:
        raise ValueError("surprise")

    descriptor = Descriptor(engine, event)
    descriptor.make_readable()
    engine.doRead()
    descriptor.close()
    assert [str(error) for error in descriptor.errors] == ["surprise"]
    assert [event["system"] for event in logged if "log_failure" in event] == ["checks"]


def test_results_are_delivered_after_the_batch(engine: Engine) -> None:
    order: list[str] = []
    descriptors: list[Descriptor] = []

    def event(_mask: int) -> None:
        order.append("event")
        engine.settle(check, Result(PASSED, 0.0))

    check = tcp_check(engine, lambda _check, _result: order.append("delivered"))
    descriptors += [Descriptor(engine, event), Descriptor(engine, event)]
    for descriptor in descriptors:
        descriptor.make_readable()
    engine.doRead()
    for descriptor in descriptors:
        descriptor.close()
    assert order == ["event", "event", "delivered", "delivered"]
    assert engine.checks == 2


def test_burst_of_results_is_delivered_in_slices_between_other_calls(reactor: ClockReactor, engine: Engine) -> None:
    delivered: list[str] = []

    def deliver(number: int, _check: TCPCheck, _result: Result) -> None:
        delivered.append(str(number))
        reactor.rightNow += 0.03  # the time of the handler

    for number in range(6):
        engine.settle(tcp_check(engine, partial(deliver, number)), Result(PASSED, 0.0))
    reactor.callLater(0.1, lambda: delivered.append("another"))
    engine.doRead()
    assert delivered == ["0"]
    assert engine.checks == 6
    reactor.pass_time(0.2)
    assert delivered == ["0", "1", "2", "3", "another", "4", "5"]


def test_deadline_is_never_early_and_at_most_one_coarse_tick_late(reactor: ClockReactor, engine: Engine) -> None:
    descriptor = Descriptor(engine, lambda _mask: None)
    engine.soon(lambda: engine.arm(descriptor, 5.0))
    reactor.pass_time(5.0)
    assert descriptor.expired == 0
    reactor.pass_time(0.2)
    assert descriptor.expired == 1
    descriptor.close()


def test_paused_descriptor_continues_at_the_next_tick(reactor: ClockReactor, engine: Engine) -> None:
    masks: list[int] = []
    descriptor = Descriptor(engine, masks.append)
    engine.pause(descriptor)
    reactor.pass_time(0.02)
    descriptor.close()
    assert len(masks) == 1


class TestSlices:
    """Each handler below takes 8 ms, so that a slice holds three calls."""

    def slow(self, reactor: ClockReactor, calls: list[str], name: str) -> Callable[..., None]:
        def call(*_: object) -> None:
            calls.append(name)
            reactor.rightNow += 0.008

        return call

    def test_turns_of_one_iteration_share_a_slice(self, reactor: ClockReactor, engine: Engine) -> None:
        calls: list[str] = []
        for _ in range(4):
            engine.soon(self.slow(reactor, calls, "timer"))
        descriptors = [Descriptor(engine, self.slow(reactor, calls, "event")) for _ in range(9)]
        for descriptor in descriptors:
            descriptor.make_readable()
        wake = reactor.calls.pop(0)
        reactor.rightNow = wake.getTime()
        wake.func()
        engine.doRead()
        for descriptor in descriptors:
            descriptor.close()
        assert len(calls) == 3

    def test_every_step_proceeds_while_one_has_endless_work(self, reactor: ClockReactor, engine: Engine) -> None:
        calls: list[str] = []
        event = self.slow(reactor, calls, "event")

        def endless(_mask: int) -> None:
            event()
            descriptor.make_readable()

        resumed, expiring = (Descriptor(engine, lambda _mask: None) for _ in range(2))
        descriptors = [Descriptor(engine, endless) for _ in range(20)]
        descriptor = descriptors[0]
        resumed.event = self.slow(reactor, calls, "resumed")
        for one in descriptors:
            one.make_readable()
        engine.pause(resumed)
        engine.arm(expiring, 0.1)
        engine.soon(self.slow(reactor, calls, "timer"))
        engine.settle(tcp_check(engine, self.slow(reactor, calls, "result")), Result(PASSED, 0.0))
        for _ in range(200):
            reactor.pass_time(0.01)
            engine.doRead()
        for one in (*descriptors, resumed, expiring):
            one.close()
        assert {"resumed", "timer", "result"} <= set(calls)
        assert expiring.expired == 1

    def test_event_that_follows_a_timer_is_handled_in_its_turn(self, reactor: ClockReactor, engine: Engine) -> None:
        handled: list[float] = []
        descriptor = Descriptor(engine, lambda _mask: handled.append(reactor.seconds()))
        called: list[float] = []

        def call() -> None:
            called.append(reactor.seconds())
            descriptor.make_readable()

        engine.soon(call)
        reactor.pass_time(1)
        descriptor.close()
        assert handled == called

    def test_timers_become_due_less_often_while_work_is_left(self, reactor: ClockReactor, engine: Engine) -> None:
        calls: list[str] = []
        for _ in range(100):
            engine.every(0.02, lambda: calls.append("timer"))
        reactor.pass_time(1)
        idle, event = len(calls), self.slow(reactor, calls, "event")

        def endless(_mask: int) -> None:
            event()
            descriptor.make_readable()

        descriptors = [Descriptor(engine, endless) for _ in range(20)]
        descriptor = descriptors[0]
        for one in descriptors:
            one.make_readable()
        began = reactor.seconds()
        while reactor.seconds() < began + 1:
            reactor.pass_time(0.001)
            engine.doRead()
        for one in descriptors:
            one.close()
        assert idle > 100 * 40
        assert 100 * 5 <= calls.count("timer") - idle <= 100 * 15

    def test_paused_check_ignores_events_until_the_next_tick(self, reactor: ClockReactor, engine: Engine) -> None:
        masks: list[int] = []
        descriptor = Descriptor(engine, masks.append)
        engine.pause(descriptor)
        descriptor.make_readable()
        engine.doRead()
        assert masks == []
        reactor.pass_time(0.02)
        descriptor.close()
        assert len(masks) == 1

    def test_check_that_ended_while_paused_receives_its_next_events(
        self, reactor: ClockReactor, engine: Engine
    ) -> None:
        masks: list[int] = []
        descriptor = Descriptor(engine, masks.append)
        engine.pause(descriptor)
        engine.forget(descriptor.reading)
        os.close(descriptor.reading)
        descriptor.reading, other = os.pipe()
        os.write(other, b"x")
        engine.watch(descriptor, descriptor.reading)
        engine.doRead()
        descriptor.close()
        os.close(other)
        assert len(masks) == 1

    def test_event_of_a_closed_descriptor_is_not_delivered_to_the_next_owner(
        self, reactor: ClockReactor, engine: Engine
    ) -> None:
        """The first event closes the second descriptor and reuses its number before its event is handled."""
        masks: list[int] = []

        def replace(_mask: int) -> None:
            engine.forget(second.reading)
            os.close(second.reading)
            second.reading, new = os.pipe()
            ends.append(new)
            engine.watch(third, second.reading)

        ends: list[int] = []
        first, second = Descriptor(engine, replace), Descriptor(engine, lambda _mask: None)
        third = Descriptor(engine, masks.append)
        number = second.reading
        first.make_readable()
        second.make_readable()
        engine.doRead()
        for descriptor in (first, second, third):
            descriptor.close()
        os.close(ends[0])
        assert (second.reading, masks) == (number, [])

    def test_longest_event_names_the_check(self, reactor: ClockReactor, engine: Engine) -> None:
        descriptors = [Descriptor(engine, lambda _mask: None), Descriptor(engine, self.slow(reactor, [], "event"))]
        descriptors[0].name, descriptors[1].name = "HTTP 10.0.0.1 port 80", "HTTP 10.0.0.2 port 80"
        for descriptor in descriptors:
            descriptor.make_readable()
        engine.doRead()
        for descriptor in descriptors:
            descriptor.close()
        assert engine.longest_event.name == "check HTTP 10.0.0.2 port 80"
        assert engine.longest_event.seconds == pytest.approx(0.008)
        assert name_of(engine) == "Engine check HTTP 10.0.0.2 port 80"


class TestLateness:
    def test_lost_time_is_summed_up(self, reactor: ClockReactor, engine: Engine) -> None:
        engine.every(1, lambda: None)
        reactor.pass_time(5)
        assert engine.lost == 0
        reactor.advance(5)
        assert engine.lost == pytest.approx(4.5, abs=0.6)
        assert engine.lateness.quantile(0.5) == 0.001
        assert engine.lateness.quantile(1.0) >= 4

    def test_lateness_is_a_histogram(self, reactor: ClockReactor, engine: Engine) -> None:
        engine.every(1, lambda: None)
        reactor.pass_time(5)
        prompt = engine.lateness.count
        assert {count for _, count in engine.lateness.buckets()} == {prompt}
        reactor.advance(5)
        assert [count for _, count in engine.lateness.buckets()] == [prompt] * 12 + [prompt + 1] * 3
        assert engine.lateness.seconds == pytest.approx(engine.lost)

    @pytest.mark.parametrize(
        ("delay", "bound"), [(-1.0, 0.001), (0.001, 0.001), (0.0011, 0.002), (16.384, 16.384), (60.0, None)]
    )
    def test_lateness_counts_a_delay_up_to_its_bound(self, delay: float, bound: float | None) -> None:
        lateness = Lateness()
        lateness.note(delay)
        assert next((bound for bound, count in lateness.buckets() if count), None) == bound

    def test_events_that_arrived_while_late_count_before_deadlines(self, reactor: ClockReactor, engine: Engine) -> None:
        def responded(_mask: int) -> None:
            descriptor.deadline = 0

        descriptor = Descriptor(engine, responded)
        engine.soon(lambda: engine.arm(descriptor, 5.0))
        reactor.pass_time(1)
        descriptor.make_readable()
        reactor.advance(10)
        descriptor.close()
        assert descriptor.expired == 0

    def test_events_count_before_deadlines_over_several_turns(self, reactor: ClockReactor, engine: Engine) -> None:
        def responded(watcher: list[Descriptor], _mask: int) -> None:
            watcher[0].deadline = 0
            handled.append(reactor.seconds())
            reactor.rightNow += 0.001

        handled: list[float] = []
        descriptors = []
        for _ in range(300):
            watcher: list[Descriptor] = []
            watcher.append(Descriptor(engine, partial(responded, watcher)))
            descriptors += watcher

        def arm() -> None:
            for descriptor in descriptors:
                engine.arm(descriptor, 5.0)

        engine.soon(arm)
        reactor.pass_time(1)
        for descriptor in descriptors:
            descriptor.make_readable()
        between: list[int] = []
        reactor.callLater(10.1, lambda: between.append(len(handled)))
        reactor.advance(10)
        reactor.pass_time(1)
        for descriptor in descriptors:
            descriptor.close()
        assert 0 < between[0] < len(handled) == 300
        assert [descriptor.expired for descriptor in descriptors] == [0] * 300

    def test_slow_timers_are_called_over_several_turns(self, reactor: ClockReactor, engine: Engine) -> None:
        calls: list[int] = []

        def call(number: int) -> None:
            calls.append(number)
            reactor.rightNow += 0.02

        for number in range(20):
            engine.every(1, partial(call, number))
        reactor.pass_time(3)
        calls.clear()
        between: list[int] = []
        reactor.callLater(1.0, lambda: between.append(len(calls)))
        reactor.advance(0.9)
        reactor.pass_time(0.5)
        assert 0 < between[0] < 10
        assert sorted(calls[:20]) == list(range(20))

    def test_lateness_between_distant_timers_is_measured_while_in_flight(
        self, reactor: ClockReactor, engine: Engine
    ) -> None:
        engine.in_flight += 1
        engine.every(60, lambda: None)
        reactor.pass_time(10)
        reactor.advance(5)
        reactor.pass_time(10)
        assert engine.lost == pytest.approx(5, abs=0.6)

    def test_timers_missed_while_frozen_run_once_and_spread(self, reactor: ClockReactor, engine: Engine) -> None:
        turns: list[float] = []
        for _ in range(1000):
            engine.every(1, lambda: turns.append(reactor.seconds()))
        reactor.pass_time(3)
        turns.clear()
        reactor.advance(60)
        assert len(turns) <= 40
        reactor.pass_time(1)
        assert 1000 <= len(turns) <= 2000
        assert max(turns.count(turn) for turn in turns) <= 50

    @pytest.mark.parametrize(
        ("timeout", "late", "verdict"),
        [
            (5.0, 0.5, FAILED),
            (5.0, 2.4, FAILED),
            (5.0, 2.6, INCONCLUSIVE),
            (0.5, 0.9, FAILED),
            (0.5, 1.1, INCONCLUSIVE),
        ],
    )
    def test_failure_while_the_loop_was_late_is_inconclusive(
        self, engine: Engine, timeout: float, late: float, verdict: object
    ) -> None:
        results: list[Result] = []
        check = tcp_check(engine, lambda _check, result: results.append(result), timeout)
        engine.lost += late
        check.expire()
        engine.doRead()
        assert [result.verdict for result in results] == [verdict]
        assert engine.inconclusive == (verdict is INCONCLUSIVE)


def test_local_error_is_counted_by_name_and_logged_once_a_minute(
    reactor: ClockReactor, engine: Engine, logged: Sequence[LogEvent]
) -> None:
    def turn() -> None:
        engine.local_error(errno.EMFILE)

    engine.every(1, turn)
    reactor.pass_time(61)
    assert engine.local_errors["EMFILE"] >= 60
    assert len([event for event in logged if event.get("error") == "EMFILE"]) in {1, 2}


def test_check_without_a_running_engine_raises_an_error(reactor: ClockReactor) -> None:
    engine = Engine(reactor, seconds=reactor.seconds)
    with pytest.raises(RuntimeError, match="check started while the engine is not running"):
        Descriptor(engine, lambda _mask: None)


def test_second_stop_does_nothing(reactor: ClockReactor, engine: Engine) -> None:
    engine.stop()
    engine.stop()
