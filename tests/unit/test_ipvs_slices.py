"""The reconciler with much to write, with a backend that waits, and with a slow disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from typing_extensions import override

from pybal.core.model import Address, Alert, IPProtocol, Service
from pybal.ipvs.access import ModuleLoader
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import BackendError, MemoryBackend, Reading
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Command, Failure, Op, ServiceKey, TableEntry, entry, key_of
from pybal.ipvs.reconciler import Reconciler
from tests.harness.fake_workers import FakeWorkers
from tests.harness.immediate import result_of
from tests.harness.turning_clock import TurningClock

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "mh")
SERVICES = [replace(WEB, name=f"web{n}", vip=WEB.vip + n) for n in range(100)]
A, B = IPv4Address("10.0.0.11"), IPv4Address("10.0.0.12")


def many(count: int, weight: int = 1) -> dict[Address, int]:
    return {IPv4Address("10.1.0.0") + n: weight for n in range(count)}


class CostlyTable(MemoryBackend):
    """A table that takes a time for each operation, and records the operations of each turn of the loop."""

    def __init__(self, clock: TurningClock, seconds: float = 0.0) -> None:
        super().__init__()
        self.turns: list[list[Op]] = [[]]
        self.broken = ""
        self.failures = 0
        self._clock = clock
        self._seconds = seconds

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        if self.broken:
            self.failures += 1
            raise BackendError(self.broken)
        self.turns[-1] += ops
        self._clock.rightNow += self._seconds * len(ops)
        return super().apply(ops)

    def read_service(self, service: Service) -> TableEntry:
        """Return a service that the table has."""
        found = self.read(key_of(service))
        assert found is not None
        return found

    def turn(self) -> None:
        self.turns.append([])
        self._clock.turn()

    def run(self) -> None:
        """Take turns until nothing is written any more."""
        self.turn()
        while self.turns[-1]:
            self.turn()


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


@pytest.fixture
def table(clock: TurningClock) -> CostlyTable:
    return CostlyTable(clock)


@pytest.fixture
def reconciler(table: CostlyTable, clock: TurningClock) -> Iterator[Reconciler]:
    made = Reconciler(table, clock)
    yield made
    made.stop()


def test_turn_writes_at_most_128_operations(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(1000))
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(1000))
    assert [len(turn) for turn in table.turns if turn] == [*[128] * 7, 105]
    assert reconciler.verified("web")


def test_turn_of_many_services_writes_at_most_160_operations(table: CostlyTable, reconciler: Reconciler) -> None:
    for service in SERVICES:
        reconciler.want(service, many(9))
    table.run()
    assert table.table() == {key_of(service): entry(service, many(9)) for service in SERVICES}
    assert max(map(len, table.turns)) <= 160
    written = dict.fromkeys(op.key for turn in table.turns for op in turn)
    assert list(written) == [key_of(service) for service in SERVICES]


def test_first_services_are_verified_before_the_last_are_written(table: CostlyTable, reconciler: Reconciler) -> None:
    for service in SERVICES:
        reconciler.want(service, many(9))
    for _ in range(6):
        table.turn()
    assert reconciler.verified("web0")
    assert not reconciler.verified("web99")
    table.run()
    assert reconciler.verified("web99")


def test_turn_ends_when_its_time_is_spent(clock: TurningClock) -> None:
    table = CostlyTable(clock, seconds=0.0004)
    reconciler = Reconciler(table, clock)
    reconciler.want(WEB, many(500))
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(500))
    assert max(map(len, table.turns)) <= 64
    reconciler.stop()


def test_slices_of_a_service_have_additions_first(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(300))
    table.run()
    table.turns = [[]]
    reconciler.want(WEB, {address + 1000: 1 for address in many(300)})
    table.run()
    commands = [op.command for turn in table.turns for op in turn]
    assert commands == [Command.ADD] * 300 + [Command.DELETE] * 300
    assert len(table.turns) > 4


def test_small_service_does_not_wait_for_a_large_one(table: CostlyTable, reconciler: Reconciler) -> None:
    small = SERVICES[1]
    reconciler.want(small, {A: 1, B: 1})
    table.run()
    reconciler.want(WEB, many(5000))
    table.turn()
    reconciler.amend(small, {A: None})
    table.turn()
    assert table.read(key_of(small)) == entry(small, {B: 1})
    assert not reconciler.verified("web")
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(5000))
    assert max(map(len, table.turns)) <= 160


def test_small_service_does_not_wait_for_the_drain_of_a_large_one(table: CostlyTable, clock: TurningClock) -> None:
    reconciler = Reconciler(table, clock, grace=30.0)
    small = SERVICES[1]
    reconciler.want(small, {A: 1, B: 1})
    reconciler.want(WEB, many(5000))
    table.run()
    reconciler.retire(key_of(WEB), "web")
    table.turn()
    reconciler.amend(small, {A: None})
    table.turn()
    assert table.read(key_of(small)) == entry(small, {B: 1})
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(5000, 0))
    reconciler.stop()


def test_all_destinations_of_a_large_amendment_are_written(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(1200))
    table.run()
    reconciler.amend(WEB, dict(many(1200, 2)))
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(1200, 2))


def test_service_that_is_being_created_has_no_alert(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(300))
    table.turn()
    assert not reconciler.verified("web")
    assert reconciler.alerts() == ()


def test_large_services_take_turns_each_in_its_own_order(table: CostlyTable, reconciler: Reconciler) -> None:
    large = SERVICES[:3]
    for service in large:
        reconciler.want(service, many(600))
    table.run()
    table.turns = [[]]
    for service in large:
        reconciler.want(service, {address + 1000: 1 for address in many(600)})
    table.run()
    for service in large:
        commands = [op.command for turn in table.turns for op in turn if op.key == key_of(service)]
        assert commands == [Command.ADD] * 600 + [Command.DELETE] * 600
    assert len({op.key for turn in table.turns[:4] for op in turn}) == 3


def test_freeze_interrupts_all_services_in_progress(table: CostlyTable, reconciler: Reconciler) -> None:
    for service in SERVICES[:3]:
        reconciler.want(service, many(600))
    table.turn()
    table.turn()
    reconciler.freeze()
    table.run()
    assert sum(map(len, table.turns)) < 600
    assert not any(reconciler.verified(service.name) for service in SERVICES[:3])
    reconciler.thaw()
    table.run()
    assert table.table() == {key_of(service): entry(service, many(600)) for service in SERVICES[:3]}
    assert sum(map(len, table.turns)) == 3 * 601
    assert all(reconciler.verified(service.name) for service in SERVICES[:3])


class TableReadInSteps(CostlyTable):
    """A table whose services are read in many steps, each of which takes the time of one turn."""

    @override
    def reading(self, key: ServiceKey) -> Reading:
        for _ in range(50):
            self._clock.rightNow += 0.02
            yield
        return self.read(key)


def test_service_is_written_while_another_one_is_read(clock: TurningClock) -> None:
    table = TableReadInSteps(clock)
    reconciler = Reconciler(table, clock)
    reconciler.want(WEB, {A: 1, B: 1})
    clock.settle()
    reading = Deferred.fromCoroutine(reconciler.read(key_of(SERVICES[1])))
    reconciler.amend(WEB, {A: None})
    table.turn()
    table.turn()
    assert not reading.called
    assert table.read(key_of(WEB)) == entry(WEB, {B: 1})
    clock.settle()
    assert reading.called
    reconciler.stop()


def test_service_written_while_it_is_compared_has_not_drifted(clock: TurningClock) -> None:
    table = TableReadInSteps(clock)
    reconciler = Reconciler(table, clock)
    reconciler.want(WEB, {A: 1})
    clock.settle()
    comparing = Deferred.fromCoroutine(reconciler.compare(key_of(WEB)))
    reconciler.amend(WEB, {A: None, B: 1})
    clock.settle()
    assert comparing.called
    assert comparing.result is None
    assert reconciler.verified("web")
    reconciler.stop()


def test_service_is_not_compared_during_its_write(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(300))
    table.run()
    reconciler.want(WEB, many(300, 2))
    table.turn()
    assert result_of(reconciler.compare(key_of(WEB))) is None
    table.run()
    comparison = result_of(reconciler.compare(key_of(WEB)))
    assert comparison is not None
    assert comparison.drift == ()


def test_service_repaired_during_its_write_is_read_again_after_it(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(1000))
    table.turn()
    (first, *_) = table.read_service(WEB).destinations.values()
    assert MemoryBackend.apply(table, [Op(Command.DELETE, entry(WEB, {}).service, first)]) == ()
    reconciler.repair(key_of(WEB))
    reconciler.want(SERVICES[1], {A: 1})  # which begins before the write ends
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(1000))
    assert table.read(key_of(SERVICES[1])) == entry(SERVICES[1], {A: 1})


def test_service_adopted_during_a_write_that_fails_is_read_again(table: CostlyTable, clock: TurningClock) -> None:
    reconciler = Reconciler(table, clock, grace=30.0)
    reconciler.want(WEB, many(1000, 10))
    table.run()
    *_, last = table.read_service(WEB).destinations.values()
    assert MemoryBackend.apply(table, [Op(Command.DELETE, entry(WEB, {}).service, last)]) == ()
    reconciler.retire(key_of(WEB), "web")
    table.turn()
    adopting = Deferred.fromCoroutine(reconciler.adopt([WEB]))  # a reload that has the service again
    reconciler.want(WEB, many(1000, 10))
    table.run()
    assert adopting.called
    assert table.read(key_of(WEB)) == entry(WEB, many(1000, 10))
    reconciler.stop()


@pytest.mark.parametrize("count", [300, 1000], ids=["small", "large"])
def test_goal_set_during_a_write_is_written_after_it(table: CostlyTable, reconciler: Reconciler, count: int) -> None:
    reconciler.want(WEB, many(count))
    table.turn()
    reconciler.amend(WEB, {A: 7, IPv4Address("10.1.0.0"): None})
    assert not reconciler.verified("web")
    table.run()
    expected = {**many(count), A: 7}
    del expected[IPv4Address("10.1.0.0")]
    assert table.read(key_of(WEB)) == entry(WEB, expected)
    assert sum(map(len, table.turns)) == count + 3
    assert reconciler.verified("web")


def test_freeze_interrupts_a_write_and_thaw_completes_it(table: CostlyTable, reconciler: Reconciler) -> None:
    reconciler.want(WEB, many(300))
    table.turn()
    reconciler.freeze()
    table.run()
    assert sum(map(len, table.turns)) == 128
    assert not reconciler.verified("web")
    reconciler.thaw()
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(300))
    assert sum(map(len, table.turns)) == 301
    assert reconciler.verified("web")


def test_freeze_ends_the_share_of_a_service_in_progress(clock: TurningClock) -> None:
    table = CostlyTable(clock, 0.0005)
    reconciler = Reconciler(table, clock)
    reconciler.want(WEB, many(300))
    table.turn()
    reconciler.freeze()
    written = sum(map(len, table.turns))
    table.run()
    assert sum(map(len, table.turns)) == written < 128
    reconciler.stop()


def test_thaw_writes_the_goal_set_while_frozen_and_not_the_interrupted_one(
    table: CostlyTable, reconciler: Reconciler
) -> None:
    reconciler.want(WEB, many(300))
    table.turn()
    reconciler.freeze()
    reconciler.want(WEB, {A: 1})
    reconciler.thaw()
    table.turns.append([])
    before = len(table.turns)
    table.run()
    added = [op for turn in table.turns[before:] for op in turn if op.command is Command.ADD]
    assert len(added) == 1
    assert table.read(key_of(WEB)) == entry(WEB, {A: 1})


def test_freeze_keeps_the_services_whose_batch_has_not_begun(table: CostlyTable, reconciler: Reconciler) -> None:
    for service in SERVICES[:4]:
        reconciler.want(service, many(300))
    table.turn()
    reconciler.freeze()
    table.run()
    reconciler.thaw()
    table.run()
    assert table.table() == {key_of(service): entry(service, many(300)) for service in SERVICES[:4]}


def test_stop_completes_a_write(table: CostlyTable, clock: TurningClock) -> None:
    reconciler = Reconciler(table, clock)
    reconciler.want(WEB, many(300))
    table.turn()
    stopped = reconciler.stop()
    table.run()
    assert stopped.called
    assert table.read(key_of(WEB)) == entry(WEB, many(300))
    assert clock.getDelayedCalls() == []


def test_failure_half_way_reads_the_service_again(
    table: CostlyTable, clock: TurningClock, reconciler: Reconciler
) -> None:
    reconciler.want(WEB, many(300))
    table.turn()
    table.broken = "IPVS is gone"
    table.run()
    assert [alert.kind for alert in reconciler.alerts()] == ["not-in-ipvs"]  # until it is read again
    table.broken = ""
    clock.advance(1)
    table.run()
    assert table.read(key_of(WEB)) == entry(WEB, many(300))
    assert reconciler.alerts() == ()


def test_table_that_fails_is_called_once_for_all_services_that_wait(
    table: CostlyTable, clock: TurningClock, reconciler: Reconciler
) -> None:
    table.broken = "IPVS is gone"
    for service in SERVICES:
        reconciler.want(service, many(9))
    table.turn()
    table.turn()
    assert table.failures == 1
    assert len(reconciler.alerts()) == 100
    table.broken = ""
    clock.advance(1)
    table.run()
    assert table.table() == {key_of(service): entry(service, many(9)) for service in SERVICES}
    assert reconciler.alerts() == ()


def test_service_retired_during_a_write_is_drained_once(clock: TurningClock) -> None:
    table = CostlyTable(clock)
    reconciler = Reconciler(table, clock, grace=30.0)
    reconciler.want(WEB, many(300))
    table.turn()
    with capturedLogs() as events:
        reconciler.retire(key_of(WEB), "web")
        table.run()
    draining = "tcp 10.2.1.1:80 removed from the configuration; draining, deleting in 30 s"
    assert [formatEvent(event) for event in events].count(draining) == 1
    clock.advance(30)
    table.run()
    assert table.table() == {}
    reconciler.stop()


class ThreadedReconciler:
    """A reconciler whose backend runs in a thread, as ipvsadm does."""

    def __init__(self) -> None:
        self.clock = TurningClock()
        self.table = CostlyTable(self.clock)
        self.thread = FakeWorkers(self.clock, hold=True)
        self.reconciler = Reconciler(self.table, self.clock, workers=self.thread)

    def want(self, weights: dict[Address, int]) -> None:
        self.reconciler.want(WEB, weights)
        self.clock.advance(0)

    def finish(self) -> None:
        """Make the calls of the thread and take turns until nothing is left."""
        while self.thread.unfinished_since is not None:
            self.thread.make_all()
            self.clock.advance(0)


class LoadingKernel:
    """A kernel that loads a module at the first use: those calls are held in a thread."""

    def __init__(self) -> None:
        self.clock = TurningClock()
        self.table = CostlyTable(self.clock)
        self.thread = FakeWorkers(self.clock, hold=True)
        loader = ModuleLoader(self.thread, lambda: self.table)
        self.reconciler = Reconciler(self.table, self.clock, loader=loader)

    def want(self, service: Service, weights: dict[Address, int]) -> int:
        """Set a goal, write it, and return the number of calls in the thread."""
        before = self.thread.calls
        self.reconciler.want(service, weights)
        self.clock.settle()
        while self.thread.unfinished_since is not None:
            self.thread.make_all()
            self.clock.settle()
        assert self.table.table()[key_of(service)] == entry(service, weights)
        return self.thread.calls - before


def test_first_reading_of_all_runs_in_a_thread() -> None:
    scene = LoadingKernel()
    reading = Deferred.fromCoroutine(scene.reconciler.adopt(SERVICES[:3]))
    assert not reading.called
    scene.thread.make()
    assert reading.called
    assert scene.thread.calls == 1


def test_first_service_with_a_scheduler_is_written_in_a_thread() -> None:
    scene = LoadingKernel()
    assert scene.want(WEB, {A: 1}) == 2
    assert scene.want(WEB, {A: 2, B: 2}) == 0
    assert scene.want(SERVICES[1], {A: 1}) == 0
    assert scene.want(replace(WEB, scheduler="wrr"), {A: 2}) == 1


def test_module_that_takes_long_to_load_raises_an_alert() -> None:
    scene = LoadingKernel()
    scene.reconciler.want(WEB, {A: 1})
    scene.clock.settle()
    scene.clock.advance(11)
    (alert,) = scene.reconciler.alerts()
    assert alert.text == "no result from IPVS for 11 s; changes of the table are waiting"


def test_backend_that_waits_runs_in_a_thread_with_one_batch() -> None:
    scene = ThreadedReconciler()
    scene.want(many(300))
    assert scene.thread.unfinished_since == 0
    scene.finish()
    assert scene.table.read(key_of(WEB)) == entry(WEB, many(300))
    assert [len(turn) for turn in scene.table.turns] == [301]
    assert scene.reconciler.verified("web")


def test_goals_wait_for_the_batch_in_the_thread() -> None:
    scene = ThreadedReconciler()
    scene.want({A: 1})
    scene.thread.make()  # reads the service
    scene.want({B: 1})
    scene.want({A: 2, B: 2})
    scene.finish()
    assert scene.table.read(key_of(WEB)) == entry(WEB, {A: 2, B: 2})
    assert [len(turn) for turn in scene.table.turns] == [4]
    assert scene.reconciler.verified("web")


def test_call_without_a_result_is_an_alert_until_it_returns() -> None:
    scene = ThreadedReconciler()
    scene.want({A: 1})
    scene.clock.advance(10)
    assert scene.reconciler.alerts() == ()
    scene.clock.advance(2)
    text = "no result from IPVS for 12 s; changes of the table are waiting"
    assert scene.reconciler.alerts() == (Alert("", "ipvs", text),)
    scene.finish()
    assert scene.reconciler.alerts() == ()
    assert scene.table.read(key_of(WEB)) == entry(WEB, {A: 1})


def test_stop_waits_5_s_for_a_call_that_hangs() -> None:
    scene = ThreadedReconciler()
    scene.want({A: 1})
    stopped: Deferred[None] = scene.reconciler.stop()
    scene.clock.advance(4.9)
    assert not stopped.called
    scene.clock.advance(0.2)
    assert stopped.called
    assert scene.clock.getDelayedCalls() == []


def test_view_of_a_threaded_table_is_the_last_one_audited() -> None:
    scene = ThreadedReconciler()
    audit = Audit(scene.reconciler, scene.clock, interval=15, repairs=True)
    audit.start()
    scene.want({A: 1})
    scene.thread.make_all()
    assert scene.reconciler.view().table() == {}
    scene.clock.advance(15)
    scene.thread.make_all()
    assert scene.reconciler.view().table() == {key_of(WEB): entry(WEB, {A: 1})}
    audit.stop()


def test_service_written_while_it_is_audited_has_not_drifted() -> None:
    scene = ThreadedReconciler()
    scene.want({A: 1})
    scene.finish()
    audit = Audit(scene.reconciler, scene.clock, interval=15, repairs=True)
    audit.start()
    scene.clock.advance(15)
    scene.thread.make_all()
    scene.clock.advance(0)  # the audit requests the service
    scene.want({B: 1})
    scene.thread.make_all()
    assert audit.findings().drift == {}
    assert scene.table.read(key_of(WEB)) == entry(WEB, {B: 1})
    audit.stop()


class SlowDisk:
    """A reconciler whose ledger is on a disk that stores nothing until the test lets it."""

    def __init__(self, directory: Path) -> None:
        self.clock = TurningClock()
        self.table = CostlyTable(self.clock)
        self.disk = FakeWorkers(self.clock, hold=True)
        self.file = directory / "ledger"
        self.ledger = Ledger(self.file, workers=self.disk, clock=self.clock)
        self.reconciler = Reconciler(self.table, self.clock, ledger=self.ledger)

    def want(self, service: Service, weights: dict[Address, int]) -> None:
        self.reconciler.want(service, weights)
        self.clock.advance(0)


def test_service_is_written_after_the_ledger_is_stored(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.want(WEB, {A: 1})
    assert scene.table.table() == {}
    scene.disk.make()
    assert Ledger(scene.file).names == {key_of(WEB): "web"}
    assert scene.table.read(key_of(WEB)) == entry(WEB, {A: 1})
    assert scene.reconciler.alerts() == ()


def test_service_in_the_ledger_does_not_wait_for_a_new_one(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.want(WEB, {A: 1})
    scene.disk.make()
    scene.reconciler.want(SERVICES[1], {A: 1})
    scene.want(WEB, {B: 1})
    assert scene.table.table() == {key_of(WEB): entry(WEB, {B: 1})}
    scene.disk.make()
    assert scene.table.table().keys() == {key_of(WEB), key_of(SERVICES[1])}


def test_ledger_that_hangs_is_an_alert_and_the_table_is_written_after_1_s(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.want(WEB, {A: 1})
    scene.clock.advance(1)
    assert scene.table.read(key_of(WEB)) == entry(WEB, {A: 1})
    scene.clock.advance(3)
    text = f"cannot read or write the ownership ledger: {scene.file}: not written after 1 s (for 3 s)"
    assert scene.reconciler.alerts() == (Alert("", "ipvs-ledger", text),)
    scene.want(SERVICES[1], {A: 1})
    assert scene.table.table().keys() == {key_of(WEB), key_of(SERVICES[1])}
    scene.disk.make_all()
    assert scene.reconciler.alerts() == ()
    assert Ledger(scene.file).names == {key_of(WEB): "web", key_of(SERVICES[1]): "web1"}


def test_ledger_that_cannot_be_stored_is_repeated_every_15_s(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.file.mkdir()
    scene.want(WEB, {A: 1})
    scene.disk.make()
    assert scene.table.read(key_of(WEB)) == entry(WEB, {A: 1})
    assert [alert.kind for alert in scene.reconciler.alerts()] == ["ipvs-ledger"]
    scene.file.rmdir()
    scene.clock.advance(15)
    scene.disk.make()
    assert scene.reconciler.alerts() == ()
    assert Ledger(scene.file).names == {key_of(WEB): "web"}


def test_stop_waits_until_the_ledger_is_stored(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.want(WEB, {A: 1})
    stopped = scene.reconciler.stop()
    assert not stopped.called
    scene.disk.make_all()
    assert stopped.called
    assert Ledger(scene.file).names == {key_of(WEB): "web"}
    assert scene.clock.getDelayedCalls() == []


def test_stop_waits_until_a_deletion_is_in_the_ledger(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.want(WEB, {A: 1})
    scene.disk.make()
    scene.reconciler.retire(key_of(WEB), "web")
    scene.clock.advance(0)
    stopped = scene.reconciler.stop()
    assert (scene.table.table(), stopped.called) == ({}, False)
    scene.disk.make_all()
    assert stopped.called
    assert Ledger(scene.file).names == {}


def test_stop_does_not_repeat_the_failed_write_of_a_ledger(tmp_path: Path) -> None:
    scene = SlowDisk(tmp_path)
    scene.file.mkdir()
    scene.want(WEB, {A: 1})
    scene.disk.make()
    scene.reconciler.stop()
    assert scene.clock.getDelayedCalls() == []
