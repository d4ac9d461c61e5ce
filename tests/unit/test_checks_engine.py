"""The engine calls in time, survives what it calls, knows when it was late, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, CheckFailed, Phase, Result
from pybal.checks.socket_check import Target, TCPCheck
from pybal.core.isolation import Isolation, LastResponse
from pybal.core.model import SuspectSelf


class Reactor(Clock):
    """A clock that also takes readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self.readers.remove(reader)

    def pass_time(self, seconds: float) -> None:
        """Let time pass without a call coming late."""
        end = self.seconds() + seconds
        while self.calls and self.calls[0].getTime() <= end:
            self.advance(max(0.0, self.calls[0].getTime() - self.seconds()))
        self.advance(max(0.0, end - self.seconds()))


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def engine(reactor: Reactor) -> Iterator[Engine]:
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
    """A watcher of a pipe's reading end."""

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

    def speak(self) -> None:
        os.write(self.writing, b"x")

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


def tcp_check(engine: Engine, done: Callable[[TCPCheck, Result], None], timeout: float = 5.0) -> TCPCheck:
    return TCPCheck(engine, Target.of(IPv4Address("127.0.0.1"), 9), timeout, done)


def broken() -> None:
    raise ValueError("surprise")


def test_a_turn_comes_within_a_second_and_then_at_its_interval(reactor: Reactor, engine: Engine) -> None:
    turns: list[float] = []
    engine.every(10, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(1)
    assert len(turns) == 1
    reactor.pass_time(100)
    assert len(turns) in {10, 11}
    assert all(later - earlier == pytest.approx(10, abs=0.1) for earlier, later in pairwise(turns[1:]))


def test_a_seat_taken_before_the_start_is_honoured(reactor: Reactor) -> None:
    engine = Engine(reactor, seconds=reactor.seconds)
    turns: list[float] = []
    engine.soon(lambda: turns.append(reactor.seconds()))
    reactor.pass_time(5)
    engine.start()
    reactor.pass_time(1)
    engine.stop()
    assert len(turns) == 1


def hears_of_eight(engine: Engine, said: list[str]) -> list[LastResponse]:
    heard = [LastResponse(name, f"{name}{n}", 0.0) for name in ("text", "upload") for n in range(4)]
    engine.isolation = Isolation(lambda: heard, SuspectSelf.HOLD, said.append)
    return heard


def test_a_silence_is_listened_to_until_somebody_answers(reactor: Reactor, engine: Engine) -> None:
    said: list[str] = []
    hears_of_eight(engine, said)
    engine.heard_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(3)
    assert engine.excused(0.1)
    reactor.pass_time(3)
    assert len(said) == 1
    engine.heard_at = reactor.seconds()
    reactor.pass_time(1)
    assert said[1:] == ["First response after 6.0 s; acting on new check results again"]
    assert engine._listener is None


def test_a_silence_nobody_listens_to_any_more_ends_all_the_same(reactor: Reactor, engine: Engine) -> None:
    said: list[str] = []
    hears_of_eight(engine, said)
    engine.heard_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(3)
    assert engine.excused(0.1)
    reactor.pass_time(60)
    assert len(said) == 2
    assert not engine.excused(reactor.seconds() - 3)


def test_a_frozen_loop_is_no_silence(reactor: Reactor, engine: Engine) -> None:
    said: list[str] = []
    hears_of_eight(engine, said)
    engine.heard_at = 0.0
    engine.every(0.5, lambda: None)
    reactor.pass_time(0.9)
    reactor.advance(10.0)
    assert engine.heard_at == pytest.approx(10, abs=0.7)
    assert not engine.excused(0.5)
    assert said == []


def test_who_left_is_called_no_more(reactor: Reactor, engine: Engine) -> None:
    turns: list[float] = []
    seat = engine.every(1, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(5)
    engine.leave(seat)
    made = len(turns)
    reactor.pass_time(5)
    assert (made, len(turns)) == (5, 5) or (made, len(turns)) == (6, 6)


def test_a_bug_in_one_turn_does_not_end_the_others(
    reactor: Reactor, engine: Engine, logged: Sequence[LogEvent]
) -> None:
    turns: list[float] = []
    engine.every(1, broken)
    engine.every(1, lambda: turns.append(reactor.seconds()))
    reactor.pass_time(10)
    assert len(turns) >= 9
    assert len([event for event in logged if "log_failure" in event]) >= 9


def test_an_error_nobody_thought_of_goes_to_the_check(engine: Engine, logged: Sequence[LogEvent]) -> None:
    def event(_mask: int) -> None:
        raise ValueError("surprise")

    descriptor = Descriptor(engine, event)
    descriptor.speak()
    engine.doRead()
    descriptor.close()
    assert [str(error) for error in descriptor.errors] == ["surprise"]
    assert [event["system"] for event in logged if "log_failure" in event] == ["checks"]


def test_results_are_told_after_the_batch_not_within(engine: Engine) -> None:
    order: list[str] = []
    descriptors: list[Descriptor] = []

    def event(_mask: int) -> None:
        order.append("event")
        engine.settle(check, Result(PASSED, 0.0))

    check = tcp_check(engine, lambda _check, _result: order.append("told"))
    descriptors += [Descriptor(engine, event), Descriptor(engine, event)]
    for descriptor in descriptors:
        descriptor.speak()
    engine.doRead()
    for descriptor in descriptors:
        descriptor.close()
    assert order == ["event", "event", "told", "told"]
    assert engine.checks == 2


def test_a_burst_of_results_is_told_in_slices_and_others_have_their_turn_between(
    reactor: Reactor, engine: Engine
) -> None:
    told: list[str] = []

    def tell(number: int, _check: TCPCheck, _result: Result) -> None:
        told.append(str(number))
        reactor.rightNow += 0.03  # what an owner makes of it takes that long

    for number in range(6):
        engine.settle(tcp_check(engine, partial(tell, number)), Result(PASSED, 0.0))
    reactor.callLater(0.1, lambda: told.append("another"))
    engine.doRead()
    assert told == ["0", "1", "2", "3"]
    assert engine.checks == 6
    reactor.advance(0)
    assert told == ["0", "1", "2", "3", "another", "4", "5"]


def test_a_deadline_is_never_early_and_late_by_no_more_than_a_tick_that_matters(
    reactor: Reactor, engine: Engine
) -> None:
    descriptor = Descriptor(engine, lambda _mask: None)
    engine.soon(lambda: engine.arm(descriptor, 5.0))
    reactor.pass_time(5.0)
    assert descriptor.expired == 0
    reactor.pass_time(0.2)
    assert descriptor.expired == 1
    descriptor.close()


def test_what_is_paused_goes_on_at_the_next_tick(reactor: Reactor, engine: Engine) -> None:
    masks: list[int] = []
    descriptor = Descriptor(engine, masks.append)
    engine.pause(descriptor)
    reactor.pass_time(0.02)
    descriptor.close()
    assert len(masks) == 1


class TestLateness:
    def test_time_lost_is_added_up(self, reactor: Reactor, engine: Engine) -> None:
        engine.every(1, lambda: None)
        reactor.pass_time(5)
        assert engine.lost == 0
        reactor.advance(5)
        assert engine.lost == pytest.approx(4.5, abs=0.6)
        assert engine.lateness.quantile(0.5) == 0.001
        assert engine.lateness.quantile(1.0) >= 4

    def test_how_late_it_came_how_often_is_told(self, reactor: Reactor, engine: Engine) -> None:
        engine.every(1, lambda: None)
        reactor.pass_time(5)
        prompt = dict(engine.lateness.counts())[0.001]
        reactor.advance(5)
        assert prompt > 0
        assert {late: count for late, count in engine.lateness.counts() if count} == {0.001: prompt, 4.096: 1}

    def test_what_arrived_while_the_loop_was_late_counts_before_deadlines_do(
        self, reactor: Reactor, engine: Engine
    ) -> None:
        def answered(_mask: int) -> None:
            descriptor.deadline = 0

        descriptor = Descriptor(engine, answered)
        engine.soon(lambda: engine.arm(descriptor, 5.0))
        reactor.pass_time(1)
        descriptor.speak()
        reactor.advance(10)
        descriptor.close()
        assert descriptor.expired == 0

    def test_so_it_does_when_it_takes_several_turns_to_hear_all(self, reactor: Reactor, engine: Engine) -> None:
        def answered(watcher: list[Descriptor], _mask: int) -> None:
            watcher[0].deadline = 0
            heard.append(reactor.seconds())
            reactor.rightNow += 0.001

        heard: list[float] = []
        descriptors = []
        for _ in range(300):
            watcher: list[Descriptor] = []
            watcher.append(Descriptor(engine, partial(answered, watcher)))
            descriptors += watcher

        def arm() -> None:
            for descriptor in descriptors:
                engine.arm(descriptor, 5.0)

        engine.soon(arm)
        reactor.pass_time(1)
        for descriptor in descriptors:
            descriptor.speak()
        between: list[int] = []
        reactor.callLater(10.1, lambda: between.append(len(heard)))
        reactor.advance(10)
        for descriptor in descriptors:
            descriptor.close()
        assert (between, len(heard)) == ([256], 300)
        assert [descriptor.expired for descriptor in descriptors] == [0] * 300

    def test_turns_that_take_long_are_left_for_the_next_second(self, reactor: Reactor, engine: Engine) -> None:
        turns: list[int] = []

        def turn(number: int) -> None:
            turns.append(number)
            reactor.rightNow += 0.02

        for number in range(20):
            engine.every(1, partial(turn, number))
        reactor.pass_time(3)
        turns.clear()
        reactor.advance(0.9)
        assert 0 < len(turns) < 10
        reactor.pass_time(2)
        assert set(turns) == set(range(20))

    def test_time_lost_between_two_distant_turns_is_noticed_while_checks_are_in_flight(
        self, reactor: Reactor, engine: Engine
    ) -> None:
        engine.in_flight += 1
        engine.every(60, lambda: None)
        reactor.pass_time(10)
        reactor.advance(5)
        reactor.pass_time(10)
        assert engine.lost == pytest.approx(5, abs=0.6)

    def test_turns_missed_while_frozen_are_made_up_for_once_and_spread(self, reactor: Reactor, engine: Engine) -> None:
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
    def test_a_failure_while_the_loop_was_late_proves_nothing(
        self, engine: Engine, timeout: float, late: float, verdict: object
    ) -> None:
        results: list[Result] = []
        check = tcp_check(engine, lambda _check, result: results.append(result), timeout)
        engine.lost += late
        check._failed(CheckFailed(Phase.HEADERS, "nothing", "timeout"))
        engine.doRead()
        assert [result.verdict for result in results] == [verdict]
        assert engine.inconclusive == (verdict is INCONCLUSIVE)


def test_local_trouble_is_counted_by_name_and_logged_seldom(
    reactor: Reactor, engine: Engine, logged: Sequence[LogEvent]
) -> None:
    def turn() -> None:
        engine.local_error(errno.EMFILE)

    engine.every(1, turn)
    reactor.pass_time(61)
    assert engine.local_errors["EMFILE"] >= 60
    assert len([event for event in logged if event.get("error") == "EMFILE"]) in {1, 2}


def test_a_check_without_a_running_engine_is_a_bug(reactor: Reactor) -> None:
    engine = Engine(reactor, seconds=reactor.seconds)
    with pytest.raises(RuntimeError, match="before the engine was started"):
        Descriptor(engine, lambda _mask: None)


def test_stopping_twice_does_no_harm(reactor: Reactor, engine: Engine) -> None:
    engine.stop()
    engine.stop()
