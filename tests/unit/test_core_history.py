"""The history of a pool keeps an incident, apart from the last results, in bounded memory."""

from __future__ import annotations

import json
import math
import tracemalloc

import pytest
from twisted.internet.task import Clock

from pybal.checks.result import FAILED, PASSED, Phase, Result
from pybal.core.changes import Change, ChangeKind
from pybal.core.decision import NAMED_HOSTS, Decision
from pybal.core.history import KEPT_DECISIONS, KEPT_SERVERS, PoolHistory
from pybal.core.model import Report
from pybal.core.steps import finish
from pybal.core.transitions import KEPT_TRANSITIONS, LONGEST_REASON, Transition, TransitionLog
from pybal.monitors.base import NO_SAMPLES, Samples
from pybal.monitors.rise_fall import RiseFall
from tests.harness.snapshots import pool, server, snapshot, status, whole

HOUR = 3600.0


class CheckedMonitor(RiseFall):
    """A monitor whose results the test makes."""

    name = "ProxyFetch"
    next_check = math.inf

    def samples(self) -> Samples:
        return NO_SAMPLES

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def check(self, result: Result, at: float) -> None:
        self._history.add(at, result)
        if result.verdict is PASSED:
            self.passed(at)
        else:
            self.failed(result.text, "connect refused", at)


def test_failure_of_an_hour_ago_is_still_shown_at_two_second_intervals() -> None:
    clock, history = Clock(), PoolHistory()
    monitor = CheckedMonitor(lambda report: history.report("a", "ProxyFetch", report))
    for number in range(int(HOUR / 2) + 20):
        passed = number >= 10
        result = Result(PASSED, 0.1) if passed else Result(FAILED, 0.1, Phase.CONNECT, "refused", "refused")
        monitor.check(result, clock.seconds())
        clock.advance(2.0)
    history.decide(Decision.of(0.0, "depooled", [("a", "down: ProxyFetch connect: refused")], "serving 2 of 3"))
    routes = status(clock, snapshot(pool("web", server("a"))), [("web", "a", monitor)], history)
    shown = json.loads(whole(routes.answer(b"/v1/pools/web/a/history", as_json=True)))
    down, up = shown["transitions"]["ProxyFetch"]
    assert (down["up"], down["reason"], up["up"]) == (False, "connect: refused", True)
    assert down["age"] > HOUR
    assert {result["result"] for result in shown["monitors"][0]["results"]} == {"passed"}
    assert "down: connect: refused\n" in whole(routes.answer(b"/v1/pools/web/a/history", as_json=False)).decode()


def test_monitor_that_was_always_up_has_no_log() -> None:
    history = PoolHistory()
    history.report("a", "ProxyFetch", Report(True, at=1.0))
    assert history.transitions("a") == {}


def test_log_has_transitions_and_the_last_reason_of_each() -> None:
    log = TransitionLog()
    for at, reason, up in (
        (1.0, "", True),
        (2.0, "connect: refused", False),
        (3.0, "timeout", False),
        (4.0, "status: HTTP 500", False),
        (4.5, "status: HTTP 500", False),
        (5.0, "", True),
        (6.0, "", True),
        (7.0, "é" * 90, False),
    ):
        log.add(at, reason, up=up)
    assert list(log) == [
        Transition(2.0, False, "connect: refused", 4.0, "status: HTTP 500"),
        Transition(5.0, True),
        Transition(7.0, False, ("\\xe9" * 90)[: LONGEST_REASON - 3] + "..."),
    ]


def test_log_keeps_the_last_transitions() -> None:
    log = TransitionLog()
    for number in range(1000):
        up = bool(number % 2)
        log.add(float(number), "" if up else f"reason {number}", up=up)
        log.add(number + 0.5, "" if up else f"changed {number}", up=up)
    assert [one.at for one in log] == [float(number) for number in range(1000 - KEPT_TRANSITIONS, 1000)]
    assert [one.reason for one in log][-2:] == ["reason 998", ""]
    assert [one.last_reason for one in log][-2:] == ["changed 998", ""]


def test_full_logs_take_six_kilobytes_each_at_most() -> None:
    fill_logs(200)  # allocates what the first use of this code leaves behind
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    history = fill_logs(200)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert history.transitions("0")
    assert (after - before) / 200 < 6500


def fill_logs(hosts: int) -> PoolHistory:
    history = PoolHistory()
    for host in map(str, range(hosts)):
        for number in range(100):
            long = f"{host} {number} ".ljust(200, "x")
            history.report(host, "ProxyFetch", Report(bool(number % 2), "" if number % 2 else long, at=float(number)))
            history.report(
                host, "ProxyFetch", Report(bool(number % 2), "" if number % 2 else f"y{long}", at=number + 0.5)
            )
    return history


def decision(at: float, servers: int) -> Decision:
    return Decision.of(at, "depooled", ((f"s{n}", f"down: {n}") for n in range(servers)), "serving 1 of 2")


def test_oldest_decisions_lose_servers_but_not_their_number() -> None:
    history = PoolHistory()
    for number in range(KEPT_DECISIONS + 50):
        history.decide(decision(float(number), 100))
    kept = list(history.decisions)
    assert [one.at for one in kept] == [float(number) for number in range(50, KEPT_DECISIONS + 50)]
    assert {len(one.hosts) + one.others for one in kept} == {100}
    assert len(kept[0].hosts) == NAMED_HOSTS
    assert len(kept[-1].hosts) == 100
    assert sum(len(one.hosts) for one in kept[:-1]) <= KEPT_SERVERS
    assert kept[0].text == ("serving 1 of 2: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 90 more depooled")


@pytest.mark.parametrize("servers", [KEPT_SERVERS + 1, 5000])
def test_newest_decision_has_all_of_its_servers(servers: int) -> None:
    history = PoolHistory()
    for number in range(3):
        history.decide(decision(float(number), servers))
    assert [len(one.hosts) for one in history.decisions] == [NAMED_HOSTS, NAMED_HOSTS, servers]
    assert next(history.decisions_on("s4999"), None) is (list(history.decisions)[-1] if servers == 5000 else None)


def test_histories_of_large_pools_are_rendered_in_pieces() -> None:
    history = PoolHistory()
    for number in range(KEPT_DECISIONS):
        history.decide(decision(float(number), 10))
    history.decide(decision(500.0, 5000))
    routes = status(Clock(), snapshot(pool("web", server("a"))), history=history)
    for as_json in (True, False):
        body = routes.answer(b"/v1/pools/web/history", as_json=as_json).body
        assert not isinstance(body, bytes)
        assert len(list(body)) > 100


# ---- the past of an earlier run ----


def awaiting(*reports: Report) -> PoolHistory:
    """Return a history that awaits its past, after these reports on one server."""
    history = PoolHistory()
    history.await_past()
    for report in reports:
        history.report("a", "ProxyFetch", report)
    return history


def joined(newer: PoolHistory, *older: PoolHistory, shift: float = 0.0) -> list[Transition]:
    """Put histories before another one, the newest first, and return the transitions."""
    for past in older:
        finish(newer.precede(past, shift))
    return list(newer.transitions("a").get("ProxyFetch", ()))


def fails(at: float, reason: str = "connect: refused") -> Report:
    return Report(False, reason, at)


def passes(at: float) -> Report:
    return Report(True, at=at)


def test_past_down_and_present_up_make_a_transition() -> None:
    present, past = awaiting(passes(5.0), fails(9.0)), awaiting(fails(1.0))
    assert [(one.at, one.up) for one in joined(present, past)] == [(1.0, False), (5.0, True), (9.0, False)]


def test_past_that_ends_up_makes_no_further_transition() -> None:
    present, past = awaiting(passes(5.0)), awaiting(fails(1.0), passes(2.0))
    assert [(one.at, one.up) for one in joined(present, past)] == [(1.0, False), (2.0, True)]


def test_failure_over_a_restart_is_one_transition() -> None:
    present, past = awaiting(fails(5.0)), awaiting(fails(1.0))
    assert joined(present, past) == [Transition(1.0, False, "connect: refused")]


def test_failure_over_a_restart_keeps_another_reason() -> None:
    present, past = awaiting(fails(5.0, "timeout")), awaiting(fails(1.0))
    assert joined(present, past) == [Transition(1.0, False, "connect: refused", 5.0, "timeout")]


def test_older_past_is_joined_over_one_without_a_transition() -> None:
    present, quiet, oldest = awaiting(passes(9.0)), awaiting(passes(5.0)), awaiting(fails(1.0))
    assert [(one.at, one.up) for one in joined(present, quiet, oldest)] == [(1.0, False), (5.0, True)]


def test_times_of_the_past_are_shifted() -> None:
    present, past = awaiting(passes(3.0)), awaiting(fails(1000.0), fails(1001.0, "timeout"))
    past.decide(decision(1000.5, 1))
    assert joined(present, past, shift=-1010.0) == [
        Transition(-10.0, False, "connect: refused", -9.0, "timeout"),
        Transition(3.0, True),
    ]
    assert [one.at for one in present.decisions] == [-9.5]


def test_host_that_left_the_pool_has_no_past() -> None:
    present, past = awaiting(passes(5.0)), awaiting(fails(1.0))
    present.change(Change(ChangeKind.REMOVED, server("a")))
    assert joined(present, past) == []


def test_past_decisions_come_first_and_the_oldest_are_dropped() -> None:
    present, past = awaiting(), awaiting()
    for number in range(KEPT_DECISIONS):
        (past if number < 150 else present).decide(decision(float(number), 20))
    present.decide(decision(500.0, 20))
    assert joined(present, past) == []
    kept = list(present.decisions)
    assert [one.at for one in kept] == [*map(float, range(1, KEPT_DECISIONS)), 500.0]
    assert sum(len(one.hosts) for one in kept[:-1]) <= KEPT_SERVERS


def test_report_during_the_join_is_kept() -> None:
    present, past = awaiting(), awaiting(fails(1.0))
    steps = present.precede(past)
    next(steps)
    present.report("a", "ProxyFetch", passes(5.0))
    finish(steps)
    present.report("a", "ProxyFetch", fails(6.0))
    times = [(one.at, one.up) for one in present.transitions("a")["ProxyFetch"]]
    assert times == [(1.0, False), (5.0, True), (6.0, False)]
