"""Removed services: drained, deleted, struck from the ledger; foreign services stay."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from typing_extensions import override

from pybal.core.model import Alert, IPProtocol, Service
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import BackendError, MemoryBackend
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Command, Destination, Failure, Key, Mark, Op, ServiceKey, entry, key_of
from pybal.ipvs.model import VirtualService as Virtual
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import lines
from tests.harness.immediate import result_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
TEXT = replace(WEB, name="text", vip=IPv4Address("10.2.1.2"))
KEY = key_of(WEB)
FOREIGN = Virtual(Key(17, IPv4Address("10.9.9.9"), 53), "rr")
A, B = IPv4Address("10.0.0.11"), IPv4Address("10.0.0.12")

GRACE = 30.0


class RestartingDaemon:
    """A table with a foreign service, and a daemon that restarts."""

    def __init__(self, directory: Path, *, grace: float = GRACE, exclusive: bool = False) -> None:
        self.table = MemoryBackend()
        self.foreign = [Op(Command.ADD_SERVICE, FOREIGN), Op(Command.ADD, FOREIGN, Destination(A, 53))]
        assert self.table.apply(self.foreign) == ()
        self.file = directory / "ipvs-services.json"
        self.grace, self.exclusive = grace, exclusive
        self.clock = Clock()
        self.restart()

    def restart(self, *services: Service) -> None:
        """Simulate a restart: a new process reads the table and the ledger."""
        self.clock = Clock()
        self.ledger = Ledger(self.file)
        self.reconciler = Reconciler(self.table, self.clock, ledger=self.ledger, grace=self.grace)
        self.audit = Audit(self.reconciler, self.clock, interval=15.0, repairs=True, exclusive=self.exclusive)
        result_of(self.reconciler.adopt(services))
        self.reconciler.retire_leftovers()
        self.audit.start()
        for service in services:
            self.reconciler.want(service, {A: 10, B: 5})
        self.turn()

    def turn(self) -> None:
        self.clock.pump([0.0] * 5)

    def held(self) -> list[str]:
        return list(lines({key: held for key, held in self.table.table().items() if key != FOREIGN.key}))

    def end(self) -> None:
        self.audit.stop()
        self.reconciler.stop()
        assert self.clock.getDelayedCalls() == []
        assert FOREIGN.key in self.table.table() or self.exclusive


@pytest.fixture
def scene(tmp_path: Path) -> RestartingDaemon:
    return RestartingDaemon(tmp_path)


DRAINED = [
    "-A -t 10.2.1.1:80 -s wrr",
    "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 0",
    "-a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 0",
]


def test_retired_service_is_drained_and_deleted_after_the_grace(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    assert scene.held() == DRAINED
    scene.clock.advance(29.9)
    assert scene.held() == DRAINED
    scene.clock.advance(0.05)
    ((key, retired),) = scene.reconciler.retired().items()
    assert (key, retired.name, round(retired.remaining, 3)) == (KEY, "web", 0.05)
    scene.clock.advance(0.1)
    assert scene.held() == []
    assert scene.reconciler.retired() == {}
    assert scene.ledger.names == {}
    scene.end()


def test_retired_service_is_deleted_immediately_without_a_grace(tmp_path: Path) -> None:
    scene = RestartingDaemon(tmp_path, grace=0.0)
    scene.restart(WEB)
    with capturedLogs() as events:
        scene.reconciler.retire(KEY, "web")
        scene.turn()
    assert [formatEvent(event) for event in events] == ["ipvsadm -D -t 10.2.1.1:80", "Deleted LVS service 'web'"]
    assert scene.held() == []
    assert scene.ledger.names == {}
    scene.end()


def test_log_contains_drain_and_deletion(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    with capturedLogs() as events:
        scene.reconciler.retire(KEY, "web")
        scene.turn()
        scene.clock.advance(GRACE)
    assert [(event["system"], formatEvent(event)) for event in events if event["log_level"] is LogLevel.info] == [
        ("web", "tcp 10.2.1.1:80 removed from the configuration; draining, deleting in 30 s"),
        ("web", "Deleted LVS service 'web'"),
    ]
    scene.end()


def test_service_removed_while_stopped_is_retired_at_the_start(scene: RestartingDaemon) -> None:
    scene.restart(WEB, TEXT)
    scene.restart(TEXT)
    assert scene.held()[:3] == DRAINED
    scene.clock.advance(GRACE)
    assert scene.held() == list(lines({key_of(TEXT): entry(TEXT, {A: 10, B: 5})}))
    assert scene.ledger.names == {key_of(TEXT): "text"}
    scene.end()


def test_service_of_the_configuration_is_not_retired_before_its_first_list(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    before = scene.held()
    reconciler = Reconciler(scene.table, scene.clock, ledger=Ledger(scene.file), grace=GRACE)
    result_of(reconciler.adopt([WEB]))
    reconciler.retire_leftovers()
    scene.turn()
    assert (reconciler.retired(), scene.held()) == ({}, before)
    reconciler.stop()
    scene.end()


def test_interrupted_drain_starts_again(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.restart()
    scene.clock.advance(20)
    scene.restart()
    scene.clock.advance(20)
    assert scene.held() == DRAINED
    scene.clock.advance(10)
    assert scene.held() == []
    scene.end()


def test_service_that_is_wanted_again_stays(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.clock.advance(10)
    result_of(scene.reconciler.adopt([WEB]))
    scene.reconciler.want(WEB, {A: 10})
    scene.clock.advance(GRACE)
    scene.turn()
    assert scene.held() == ["-A -t 10.2.1.1:80 -s wrr", "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"]
    assert scene.reconciler.verified("web")
    scene.end()


def test_service_that_replaces_a_removed_one_stays(scene: RestartingDaemon) -> None:
    scene.restart(replace(WEB, name="www"))
    scene.reconciler.retire(KEY, "web")
    scene.clock.advance(GRACE)
    assert scene.reconciler.verified("www")
    scene.end()


def test_second_retirement_does_not_extend_the_grace(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    scene.clock.advance(20)
    scene.reconciler.retire(KEY, "web")
    scene.clock.advance(10)
    assert scene.held() == []
    scene.end()


def test_service_that_drains_is_not_compared(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    assert result_of(scene.reconciler.compare(KEY)) is not None
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    assert result_of(scene.reconciler.compare(KEY)) is None
    scene.end()


def test_repair_of_a_drain_does_not_extend_the_grace(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    scene.clock.advance(20)
    scene.reconciler.repair(KEY)
    scene.clock.advance(0)
    assert scene.held() == DRAINED
    scene.clock.advance(10)
    assert scene.held() == []
    scene.end()


def test_grace_begins_when_the_drain_is_written(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.freeze()
    scene.reconciler.retire(KEY, "web")
    scene.clock.advance(2 * GRACE)
    ((key, retired),) = scene.reconciler.retired().items()
    assert (key, retired.remaining) == (KEY, GRACE)
    scene.reconciler.thaw()
    scene.turn()
    assert scene.held() == DRAINED
    scene.clock.advance(GRACE)
    assert scene.held() == []
    scene.end()


def test_retired_service_deleted_by_another_program_is_not_recreated(scene: RestartingDaemon) -> None:
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    virtual = entry(WEB, {}).service
    assert scene.table.apply([Op(Command.DELETE, virtual, Destination(A, 80))]) == ()
    scene.clock.advance(16)
    assert scene.held() == [DRAINED[0], DRAINED[2]]
    assert scene.table.apply([Op(Command.DELETE_SERVICE, virtual)]) == ()
    scene.clock.advance(14)
    scene.turn()
    assert scene.held() == []
    assert scene.ledger.names == {}
    assert scene.reconciler.alerts() == ()
    scene.end()


def test_service_recreated_by_another_program_is_foreign(tmp_path: Path) -> None:
    scene = RestartingDaemon(tmp_path, grace=0.0)
    scene.restart(WEB)
    scene.reconciler.retire(KEY, "web")
    scene.turn()
    assert scene.table.apply([Op(Command.ADD_SERVICE, entry(WEB, {}).service)]) == ()
    scene.clock.advance(15)
    scene.turn()
    assert scene.audit.findings().foreign == (FOREIGN.key, KEY)
    with capturedLogs() as events:
        scene.reconciler.want(WEB, {A: 10})
        scene.turn()
    assert scene.held() == ["-A -t 10.2.1.1:80 -s wrr", "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"]
    assert [formatEvent(event) for event in events if event["log_level"] is not LogLevel.debug] == []
    scene.end()


def test_ledger_entry_without_a_service_is_struck_out(scene: RestartingDaemon) -> None:
    scene.ledger.enter({KEY: "web"})
    scene.restart()
    assert scene.ledger.names == {}
    assert scene.reconciler.retired() == {}
    scene.end()


def test_service_without_a_list_is_retired(scene: RestartingDaemon) -> None:
    assert scene.table.apply([Op(Command.ADD_SERVICE, entry(WEB, {}).service)]) == ()
    result_of(scene.reconciler.adopt([WEB]))
    scene.reconciler.retire(KEY, "web")
    scene.clock.advance(0)
    scene.clock.advance(GRACE)
    assert scene.held() == []
    scene.end()


class UndeletableTable(MemoryBackend):
    """A table that refuses to delete services, or that breaks instead."""

    def __init__(self, *, breaks: bool) -> None:
        super().__init__()
        self.stubborn = True
        self.breaks = breaks

    @override
    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        deletions = [op for op in ops if self.stubborn and op.command is Command.DELETE_SERVICE]
        if deletions and self.breaks:
            raise BackendError("IPVS is gone")
        refused = tuple(Failure(op, errno.EBUSY, "Device or resource busy") for op in deletions)
        return *refused, *super().apply([op for op in ops if op not in deletions])


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [(True, "IPVS is gone"), (False, "ipvsadm -D -t 10.2.1.1:80: Device or resource busy")],
    ids=["table breaks", "table refuses"],
)
def test_failed_deletion_raises_an_alert_and_is_retried(tmp_path: Path, breaks: bool, reason: str) -> None:
    table, clock, ledger = UndeletableTable(breaks=breaks), Clock(), Ledger(tmp_path / "ledger")
    reconciler = Reconciler(table, clock, ledger=ledger)
    reconciler.want(WEB, {A: 10})
    clock.advance(0)
    reconciler.retire(KEY, "web")
    clock.advance(0)
    assert reconciler.alerts() == (Alert("web", "ipvs", f"{reason} (for 0 s)"),)
    assert ledger.names == {KEY: "web"}
    table.stubborn = False
    clock.advance(1)
    assert reconciler.alerts() == ()
    assert (table.table(), ledger.names) == ({}, {})
    assert clock.getDelayedCalls() == []


def test_ledger_has_a_service_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    entered: list[bool] = []

    class Watched(MemoryBackend):
        def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
            entered.append(KEY in Ledger(file).names)
            return super().apply(ops)

    clock = Clock()
    reconciler = Reconciler(Watched(), clock, ledger=Ledger(file))
    reconciler.want(WEB, {A: 10})
    clock.advance(0)
    assert entered == [True]


def test_unwritable_ledger_raises_an_alert_and_stops_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    clock = Clock()
    reconciler = Reconciler(MemoryBackend(), clock, ledger=Ledger(file))
    file.mkdir()
    reconciler.want(WEB, {A: 10})
    clock.advance(0)
    assert reconciler.verified("web")
    assert reconciler.alerts() == (
        Alert("", "ipvs-ledger", f"cannot read or write the ownership ledger: {file}: Is a directory (for 0 s)"),
    )
    file.rmdir()
    reconciler.want(WEB, {B: 10})
    clock.advance(0)
    assert reconciler.alerts() == ()


def test_foreign_services_are_retired_with_exclusive(tmp_path: Path) -> None:
    scene = RestartingDaemon(tmp_path, exclusive=True)
    marked = Virtual(Mark(7), "rr")
    scene.table.apply([Op(Command.ADD_SERVICE, marked)])
    with capturedLogs() as events:
        scene.restart(WEB)
        scene.clock.advance(15)
        scene.turn()
    assert [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn] == [
        "IPVS holds services that PyBal does not own: udp 10.9.9.9:53, mark 7; removing them (ipvs-exclusive = yes)"
    ]
    drained = scene.table.read(FOREIGN.key)
    assert drained is not None
    assert not drained.serves
    assert list(scene.audit.alerts()) == []
    scene.clock.advance(GRACE)
    assert set(scene.table.table()) == {KEY}
    assert scene.ledger.names == {KEY: "web"}
    scene.end()


def keys(scene: RestartingDaemon) -> set[ServiceKey]:
    return set(scene.table.table())


def test_invalid_ledger_deletes_no_service(scene: RestartingDaemon) -> None:
    scene.restart(WEB, TEXT)
    scene.file.write_text("garbage")
    scene.restart(TEXT)
    scene.clock.advance(GRACE)
    scene.turn()
    assert keys(scene) == {KEY, key_of(TEXT), FOREIGN.key}
    scene.clock.advance(15)
    scene.turn()
    assert list(scene.audit.alerts()) == [
        Alert("", "ipvs-foreign", "IPVS holds services that PyBal does not own: udp 10.9.9.9:53, tcp 10.2.1.1:80")
    ]
    scene.end()


def test_exception_after_a_deletion_does_not_stop_later_writes() -> None:
    class BrokenLedger(Ledger):
        broken = True

        @override
        def strike(self, keys: Iterable[ServiceKey]) -> None:
            gone = list(keys)
            if gone and self.broken:
                self.broken = False
                raise MemoryError
            super().strike(gone)

    table, clock = MemoryBackend(), Clock()
    reconciler = Reconciler(table, clock, ledger=BrokenLedger())
    reconciler.want(WEB, {})
    clock.advance(0)
    reconciler.retire(key_of(WEB), WEB.name)
    clock.pump([0.0, 1.0, 0.0])
    assert table.table() == {}
    reconciler.want(TEXT, {})
    clock.pump([0.0, 1.0, 0.0])
    assert list(table.table()) == [key_of(TEXT)]
