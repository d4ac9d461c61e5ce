"""The audit of the table: drift is found, counted, and repaired or reported."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.core.model import Alert, IPProtocol, Service, Severity
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import BackendError, MemoryBackend
from pybal.ipvs.model import Command, Destination, Failure, Op, ServiceKey, TableEntry, Traffic, entry, key_of
from pybal.ipvs.reconciler import Reconciler
from tests.harness.immediate import result_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
TEXT = replace(WEB, name="text", vip=IPv4Address("10.2.1.2"))
A, B, C = (IPv4Address(f"10.0.0.{n}") for n in (11, 12, 13))


class CountingTable(MemoryBackend):
    """A table in memory that counts reads and can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[ServiceKey] = []
        self.gone = self.full = False

    def read(self, key: ServiceKey) -> TableEntry | None:
        if self.gone:
            raise BackendError("IPVS is gone")
        self.reads.append(key)
        return super().read(key)

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        return tuple(Failure(each, errno.ENOMEM, "no memory") for each in ops) if self.full else super().apply(ops)

    def meddle(self, *ops: Op) -> None:
        assert super().apply(ops) == ()


def destination(address: IPv4Address, weight: int = 10) -> Destination:
    return Destination(address, 80, weight)


def op(command: Command, service: Service, *of: Destination) -> Op:
    return Op(command, entry(service, {}).service, *of)


class AuditedServices:
    """Two converged services with two servers each, and their audit."""

    def __init__(self, *, repairs: bool = True, table: CountingTable | None = None) -> None:
        self.table = table or CountingTable()
        self.clock = Clock()
        self.reconciler = Reconciler(self.table, self.clock)
        self.changes = 0
        self.audit = Audit(self.reconciler, self.clock, interval=15.0, repairs=repairs, changed=self._changed)
        self.reconciler.want(WEB, {A: 10, B: 10})
        self.reconciler.want(TEXT, {A: 10, B: 10})
        self.clock.advance(0)
        self.audit.start()
        self.wanted = self.table.table()

    def _changed(self) -> None:
        self.changes += 1

    def round(self) -> None:
        """Let a whole round pass, with what follows from it."""
        self.clock.advance(15)
        self.clock.pump([0.0] * 5)

    def drift(self) -> dict[tuple[str, str], int]:
        return {(name, str(kind)): count for (name, kind), count in self.audit.findings().drift.items()}

    def end(self) -> None:
        self.audit.stop()
        self.reconciler.stop()
        assert self.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("meddling", "counted"),
    [
        ([op(Command.DELETE, WEB, destination(A))], {("web", "destination-missing"): 1}),
        ([op(Command.ADD, WEB, destination(C))], {("web", "destination-extra"): 1}),
        ([op(Command.EDIT, WEB, destination(A, 1))], {("web", "destination-changed"): 1}),
        (
            [op(Command.DELETE_SERVICE, WEB)],
            {("web", "service-missing"): 1, ("web", "destination-missing"): 2},
        ),
        ([op(Command.EDIT_SERVICE, replace(WEB, scheduler="sh"))], {("web", "service-changed"): 1}),
        (
            [op(Command.DELETE_SERVICE, WEB), op(Command.DELETE_SERVICE, TEXT)],
            {
                ("web", "service-missing"): 1,
                ("web", "destination-missing"): 2,
                ("text", "service-missing"): 1,
                ("text", "destination-missing"): 2,
            },
        ),
    ],
    ids=["missing", "extra", "changed", "service missing", "service changed", "all gone"],
)
def test_drift_is_counted_by_service_and_kind_and_repaired(
    meddling: Sequence[Op], counted: dict[tuple[str, str], int]
) -> None:
    scene = AuditedServices()
    scene.table.meddle(*meddling)
    scene.round()
    assert scene.drift() == counted
    assert scene.table.table() == scene.wanted
    assert scene.reconciler.verified("web")
    scene.round()
    assert scene.drift() == counted
    assert list(scene.audit.alerts()) == []
    scene.end()


def test_drift_is_logged_once_with_the_command_that_undoes_it() -> None:
    scene = AuditedServices()
    scene.table.meddle(op(Command.DELETE, WEB, destination(A)), op(Command.DELETE, WEB, destination(B)))
    with capturedLogs() as events:
        scene.round()
        scene.round()
    (warning,) = [event for event in events if event["log_level"] is LogLevel.warn]
    assert warning["system"] == "web"
    assert formatEvent(warning) == (
        "IPVS changed by another program: 2 destination-missing"
        " (repair: ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10); repairing"
    )
    scene.end()


@pytest.mark.parametrize(
    "ops",
    [
        (op(Command.DELETE_SERVICE, WEB),),
        (op(Command.DELETE, WEB, destination(A)), op(Command.DELETE, WEB, destination(B))),
        (op(Command.EDIT, WEB, destination(A, 0)), op(Command.EDIT, WEB, destination(B, 0))),
    ],
)
def test_service_that_others_emptied_is_absent_with_report(ops: Sequence[Op]) -> None:
    services = AuditedServices(repairs=False)
    services.round()
    assert not services.audit.absent(WEB)
    services.table.meddle(*ops)
    assert not services.audit.absent(WEB)
    services.round()
    assert (services.audit.absent(WEB), services.audit.absent(TEXT), services.changes) == (True, False, 1)
    (alert,) = services.audit.alerts()
    assert (alert.service, alert.kind, alert.severity) == ("web", "not-in-ipvs", Severity.CRITICAL)
    assert "IPVS changed by another program: " in alert.text
    services.round()
    assert services.changes == 1
    services.table.meddle(
        *([op(Command.ADD_SERVICE, WEB)] if ops[0].destination is None else []),
        *(
            op(Command.EDIT if ops[0].command is Command.EDIT else Command.ADD, WEB, destination(each))
            for each in (A, B)
        ),
    )
    services.round()
    assert (services.audit.absent(WEB), services.changes) == (False, 2)
    services.end()


def test_service_with_one_destination_left_is_not_absent() -> None:
    services = AuditedServices(repairs=False)
    services.table.meddle(op(Command.DELETE, WEB, destination(A)))
    services.round()
    assert not services.audit.absent(WEB)
    services.end()


def test_removed_service_is_repaired_and_never_absent_with_repair() -> None:
    services = AuditedServices()
    services.table.meddle(op(Command.DELETE_SERVICE, WEB))
    services.round()
    assert (services.audit.absent(WEB), services.table.table() == services.wanted) == (False, True)
    services.end()


@pytest.mark.parametrize(
    "ops",
    [
        (op(Command.DELETE_SERVICE, WEB),),
        (op(Command.DELETE, WEB, destination(A)), op(Command.DELETE, WEB, destination(B))),
    ],
)
def test_service_that_cannot_be_restored_is_absent_until_it_is(ops: Sequence[Op]) -> None:
    services = AuditedServices()
    services.table.full = True
    services.table.meddle(*ops)
    services.round()
    assert (services.audit.absent(WEB), services.audit.absent(TEXT)) == (True, False)
    services.table.full = False
    services.round()
    assert (services.audit.absent(WEB), services.table.table() == services.wanted) == (False, True)
    services.end()


def test_service_whose_change_is_refused_is_not_absent() -> None:
    services = AuditedServices()
    services.table.full = True
    services.reconciler.want(WEB, {A: 10, C: 10})
    services.round()
    assert not services.reconciler.is_verified(WEB)
    assert not services.audit.absent(WEB)
    services.table.full = False
    services.end()


def test_drift_is_counted_once_and_stays_with_report() -> None:
    scene = AuditedServices(repairs=False)
    scene.table.meddle(op(Command.EDIT, WEB, destination(A, 0)))
    changed = scene.table.table()
    for _ in range(3):
        scene.round()
    assert scene.table.table() == changed
    assert scene.drift() == {("web", "destination-changed"): 1}
    assert list(scene.audit.alerts()) == [
        Alert(
            "web",
            "ipvs-drift",
            "IPVS changed by another program: 1 destination-changed"
            " (repair: ipvsadm -e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10); not repairing",
        )
    ]
    assert not scene.reconciler.verified("web")
    scene.table.meddle(op(Command.EDIT, WEB, destination(A, 10)))
    scene.round()
    assert list(scene.audit.alerts()) == []
    assert scene.reconciler.verified("web")
    scene.end()


def test_own_change_leaves_other_drift_with_report() -> None:
    scene = AuditedServices(repairs=False)
    scene.table.meddle(op(Command.EDIT, WEB, destination(A, 0)))
    scene.round()
    scene.reconciler.want(WEB, {A: 10, B: 10, C: 10})
    scene.clock.advance(0)
    held = scene.table.read(key_of(WEB))
    assert held is not None
    assert {d.address: d.weight for d in held.destinations.values()} == {A: 0, B: 10, C: 10}
    assert not scene.reconciler.verified("web")
    scene.end()


def test_audit_reports_drift_when_frozen_and_repairs_it_at_the_thaw() -> None:
    scene = AuditedServices()
    scene.reconciler.freeze()
    scene.table.meddle(op(Command.DELETE, WEB, destination(A)))
    changed = scene.table.table()
    with capturedLogs() as events:
        scene.round()
        scene.round()
    assert scene.table.table() == changed
    assert scene.drift() == {("web", "destination-missing"): 1}
    undone = "1 destination-missing (repair: ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10)"
    assert [formatEvent(event) for event in events] == [
        f"IPVS changed by another program: {undone}; not repairing (frozen)"
    ]
    assert list(scene.audit.alerts()) == [
        Alert("web", "ipvs-drift", f"IPVS changed by another program: {undone}; not repairing")
    ]
    scene.reconciler.thaw()
    scene.audit.thaw()
    scene.clock.advance(0)
    assert scene.table.table() == scene.wanted
    scene.round()
    assert scene.drift() == {("web", "destination-missing"): 1}
    assert list(scene.audit.alerts()) == []
    scene.end()


def test_drift_of_one_entry_that_stays_is_counted_once_with_report() -> None:
    scene = AuditedServices(repairs=False)
    for weight in (3, 3, 4):
        scene.table.meddle(op(Command.EDIT, WEB, replace(destination(A), weight=weight)))
        scene.round()
    assert scene.drift() == {("web", "destination-changed"): 1}
    scene.end()


def test_thaw_repairs_nothing_with_report() -> None:
    scene = AuditedServices(repairs=False)
    scene.table.meddle(op(Command.DELETE, WEB, destination(A)))
    changed = scene.table.table()
    scene.reconciler.freeze()
    scene.round()
    scene.reconciler.thaw()
    scene.audit.thaw()
    scene.round()
    assert scene.table.table() == changed
    scene.end()


def test_round_reads_one_service_per_turn_of_the_loop() -> None:
    scene = AuditedServices()
    scene.table.reads.clear()
    read_by_turn: list[int] = []

    def turn() -> None:
        read_by_turn.append(len(scene.table.reads))
        if len(read_by_turn) < 4:
            scene.clock.callLater(0, turn)

    scene.clock.callLater(15, turn)
    scene.clock.advance(15)
    assert read_by_turn == [0, 1, 2, 2]
    assert scene.table.reads == [key_of(WEB), key_of(TEXT)]
    scene.end()


def test_goal_of_the_same_turn_is_not_counted_as_drift() -> None:
    scene = AuditedServices()
    scene.reconciler.want(WEB, {B: 10, C: 10})
    comparison = result_of(scene.reconciler.compare(key_of(WEB)))
    assert comparison is not None
    assert comparison.drift == ()
    scene.round()
    assert scene.drift() == {}
    assert scene.table.read(key_of(WEB)) == entry(WEB, {B: 10, C: 10})
    scene.end()


def test_three_repairs_in_five_minutes_raise_and_clear_a_writer_alert() -> None:
    scene = AuditedServices()
    with capturedLogs() as events:
        for _ in range(2):
            scene.table.meddle(op(Command.DELETE, WEB, destination(A)))
            scene.round()
        assert list(scene.audit.alerts()) == []
        for _ in range(2):
            scene.table.meddle(op(Command.DELETE, WEB, destination(A)))
            scene.round()
    text = "10.0.0.11 repaired 3 times within 5 min (another program writes to IPVS)"
    assert list(scene.audit.alerts()) == [Alert("web", "ipvs-writer", text)]
    assert [formatEvent(event) for event in events if event["log_level"] is LogLevel.error] == [text]
    for _ in range(21):
        scene.round()
    assert list(scene.audit.alerts()) == []
    scene.end()


def test_repairs_of_different_entries_raise_no_writer_alert() -> None:
    scene = AuditedServices()
    for address in (A, B, A, B):
        scene.table.meddle(op(Command.DELETE, WEB, destination(address)))
        scene.round()
    assert list(scene.audit.alerts()) == []
    scene.end()


def test_foreign_services_are_named_and_stay() -> None:
    scene = AuditedServices()
    foreign = replace(WEB, name="", vip=IPv4Address("10.9.9.9"))
    scene.table.meddle(op(Command.ADD_SERVICE, foreign), op(Command.ADD, foreign, destination(C)))
    before = scene.table.table()
    with capturedLogs() as events:
        scene.round()
        scene.round()
    assert scene.table.table() == before
    assert list(scene.audit.alerts()) == [
        Alert("", "ipvs-foreign", "IPVS holds services that PyBal does not own: tcp 10.9.9.9:80")
    ]
    assert scene.drift() == {("", "service-extra"): 1}
    assert [formatEvent(event) for event in events] == [
        "IPVS holds services that PyBal does not own: tcp 10.9.9.9:80; leaving them unchanged"
    ]
    scene.end()


def test_configured_service_without_a_list_is_not_foreign() -> None:
    scene = AuditedServices()
    waiting = replace(WEB, name="waiting", vip=IPv4Address("10.2.1.3"))
    scene.table.meddle(op(Command.ADD_SERVICE, waiting))
    result_of(scene.reconciler.adopt([waiting]))
    scene.round()
    assert scene.audit.findings().foreign == ()
    scene.end()


def test_failed_audit_is_logged_once_and_raises_an_alert_when_overdue() -> None:
    scene = AuditedServices()
    scene.table.gone = True
    with capturedLogs() as events:
        for _ in range(3):
            scene.round()
        assert list(scene.audit.alerts()) == []
        scene.clock.advance(1)
        assert list(scene.audit.alerts()) == [
            Alert("", "ipvs-audit", "IPVS audit overdue: last complete audit 46 s ago (IPVS is gone)")
        ]
        scene.table.gone = False
        scene.round()
    assert list(scene.audit.alerts()) == []
    assert scene.audit.findings().problem == ""
    assert [formatEvent(event) for event in events] == [
        "IPVS audit failed: IPVS is gone; retrying in 15 s",
        "IPVS audit works again",
    ]
    scene.end()


def test_interrupted_round_is_not_repeated() -> None:
    scene = AuditedServices()
    scene.clock.callLater(15, setattr, scene.table, "gone", True)  # after the round began, before it reads a service
    scene.clock.advance(15)
    assert scene.audit.findings().problem == "IPVS is gone"
    scene.table.gone = False
    scene.table.reads.clear()
    scene.round()
    assert scene.table.reads == [key_of(WEB), key_of(TEXT)]
    scene.end()


def test_audit_skips_a_service_whose_write_failed() -> None:
    scene = AuditedServices()
    scene.reconciler.want(replace(WEB, scheduler="best"), {A: 10})
    scene.clock.advance(0)
    scene.clock.advance(0.5)
    assert result_of(scene.reconciler.compare(key_of(WEB))) is None
    assert not scene.reconciler.verified("web")
    scene.end()


def test_audit_forgets_a_service_that_was_removed() -> None:
    scene = AuditedServices()
    scene.round()
    assert scene.audit.findings().readings.keys() == {key_of(WEB), key_of(TEXT)}
    scene.reconciler.retire(key_of(TEXT), "text")
    scene.round()
    assert scene.audit.findings().readings.keys() == {key_of(WEB)}
    scene.end()


def test_reconfigured_interval_and_repair_apply_from_the_last_round() -> None:
    scene = AuditedServices()
    scene.clock.advance(3)
    scene.audit.reconfigure(interval=5, repairs=False, exclusive=False)
    scene.table.meddle(op(Command.DELETE, WEB, destination(A)))
    scene.clock.advance(2)
    scene.clock.pump([0.0] * 5)
    assert scene.drift() == {("web", "destination-missing"): 1}
    assert scene.table.table() != scene.wanted
    scene.end()


class CountingKernel(CountingTable):
    """A table that counts a connection at each read, as the kernel counts those of clients."""

    connections = 0

    def read(self, key: ServiceKey) -> TableEntry | None:
        self.connections += 1
        traffic = [((A, 80), Traffic(0, 0, self.connections, 0, 0))]
        found = super().read(key)
        return found and replace(found, traffic=traffic)


def test_findings_have_the_traffic_of_the_last_read_without_another() -> None:
    kernel = CountingKernel()
    services = AuditedServices(table=kernel)
    services.round()
    last = kernel.connections
    for _ in range(2):
        readings = services.audit.findings().readings
        assert [each.traffic[0][1].connections for each in readings.values()] == [last - 1, last]
    assert kernel.connections == last
    services.end()


def test_reading_keeps_the_traffic_of_the_one_before_for_rates() -> None:
    services = AuditedServices(table=CountingKernel())
    services.round()
    first = dict(services.audit.findings().readings)
    assert [(each.traffic_before, each.at_before) for each in first.values()] == [((), 0.0)] * 2
    services.round()
    second = services.audit.findings().readings
    assert [(second[key].traffic_before, second[key].at_before) for key in first] == [
        (each.traffic, each.at) for each in first.values()
    ]
    services.end()
