"""The reconciler, on a table in memory that can be made to fail."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.core.model import Address, Alert, IPProtocol, Service, Severity
from pybal.core.steps import finish
from pybal.ipvs import model as ipvs
from pybal.ipvs.backend import BackendError, MemoryBackend, Reading
from pybal.ipvs.model import Command, Destination, Failure, Forward, Op, ServiceKey, Table, TableEntry, entry, key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import lines, operation
from tests.harness.immediate import result_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
TEXT = Service("text", IPProtocol.TCP, IPv4Address("10.2.1.2"), 443, "mh", ("mh-port",))
A, B, C = (IPv4Address(f"10.0.0.{n}") for n in (11, 12, 13))


class FailingTable:
    """A table in memory that can refuse operations and records its calls."""

    def __init__(self) -> None:
        self.memory = MemoryBackend()
        self.batches: list[list[str]] = []
        self.reads = 0
        self.refused: set[Address] = set()
        """Addresses that are not added."""
        self.stuck: set[Address] = set()
        """Addresses that are not deleted."""
        self.broken = ""
        self.breaks_after: int | None = None
        self.closed = False

    def read(self, key: ServiceKey) -> TableEntry | None:
        self._check()
        self.reads += 1
        return self.memory.read(key)

    def reading(self, key: ServiceKey) -> Reading:
        return self.read(key)
        yield

    def table(self) -> Table:
        self._check()
        return self.memory.table()

    def services(self) -> tuple[ipvs.VirtualService, ...]:
        self._check()
        return self.memory.services()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        self._check()
        self.batches.append([operation(op) for op in ops])
        failures = []
        for n, op in enumerate(ops):
            if n == self.breaks_after:
                raise BackendError("IPVS is gone")
            refused = {Command.ADD: self.refused, Command.DELETE: self.stuck}.get(op.command, set())
            if op.destination and op.destination.address in refused:
                failures.append(Failure(op, errno.ENOMEM, "Cannot allocate memory"))
            else:
                failures += self.memory.apply([op])
        return tuple(failures)

    def close(self) -> None:
        self.closed = True

    def held(self) -> list[str]:
        return list(lines(self.memory.table()))

    def meddle(self, *ops: Op) -> None:
        """Do something behind the reconciler's back."""
        assert self.memory.apply(ops) == ()

    def _check(self) -> None:
        if self.broken:
            raise BackendError(self.broken)


def made(service: Service, weights: dict[Address, int]) -> list[Op]:
    wanted = entry(service, weights)
    return [
        Op(Command.ADD_SERVICE, wanted.service),
        *(Op(Command.ADD, wanted.service, destination) for destination in wanted.destinations.values()),
    ]


def removal(service: Service, address: Address) -> Op:
    (destination,) = entry(service, {address: 1}).destinations.values()
    return Op(Command.DELETE, entry(service, {}).service, destination)


@pytest.fixture
def table() -> FailingTable:
    return FailingTable()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reconciler(table: FailingTable, clock: Clock) -> Reconciler:
    return Reconciler(table, clock)


def pursue(reconciler: Reconciler, clock: Clock, service: Service, weights: dict[Address, int]) -> None:
    reconciler.want(service, weights)
    clock.advance(0)


def test_goals_of_a_turn_are_one_batch_with_services_first(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.meddle(*made(WEB, {A: 10, B: 10}))
    result_of(reconciler.adopt([WEB, TEXT]))
    reconciler.want(WEB, {B: 10, C: 10})
    reconciler.want(TEXT, {A: 1})
    assert table.batches == []
    clock.advance(0)
    assert table.batches == [
        [
            "-A -t 10.2.1.2:443 -s mh -b mh-port",
            "-a -t 10.2.1.1:80 -r 10.0.0.13:80 -g -w 10",
            "-a -t 10.2.1.2:443 -r 10.0.0.11:443 -g -w 1",
            "-d -t 10.2.1.1:80 -r 10.0.0.11:80",
        ]
    ]


def test_last_goal_of_a_turn_counts(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    reconciler.want(WEB, {A: 10})
    reconciler.want(WEB, {B: 5})
    clock.advance(0)
    assert table.held() == ["-A -t 10.2.1.1:80 -s wrr", "-a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 5"]


def test_restart_with_an_unchanged_configuration_changes_nothing(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.meddle(*made(WEB, {A: 10, B: 0}))
    assert result_of(reconciler.adopt([WEB, TEXT])) == {"web": {A: 10, B: 0}, "text": {}}
    pursue(reconciler, clock, WEB, {A: 10, B: 0})
    assert table.batches == []
    assert reconciler.verified("web")


def test_restart_edits_a_service_with_other_options_in_place(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.meddle(*made(replace(WEB, scheduler="sh", tunneling=True), {A: 10}))
    result_of(reconciler.adopt([WEB]))
    pursue(reconciler, clock, WEB, {A: 10})
    assert table.batches == [["-E -t 10.2.1.1:80 -s wrr", "-e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"]]


def test_goal_without_adoption_reads_the_table_first(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.meddle(*made(WEB, {A: 10}))
    pursue(reconciler, clock, WEB, {A: 10})
    assert table.batches == []


def test_change_reads_nothing_and_sends_only_the_difference(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10, C: 10})
    table.batches.clear()
    table.reads = 0
    pursue(reconciler, clock, WEB, {A: 10, B: 3, C: 10})
    assert table.batches == [["-e -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 3"]]
    assert table.reads == 0


def test_amended_goal_changes_the_named_destinations_only(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    table.batches.clear()
    table.reads = 0
    reconciler.amend(WEB, {A: None})
    reconciler.amend(WEB, {B: 3, C: 10})
    clock.advance(0)
    assert table.batches == [
        [
            "-a -t 10.2.1.1:80 -r 10.0.0.13:80 -g -w 10",
            "-e -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 3",
            "-d -t 10.2.1.1:80 -r 10.0.0.11:80",
        ]
    ]
    assert table.reads == 0
    assert reconciler.verified("web")


def test_amended_goal_changes_the_scheduler(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    table.batches.clear()
    reconciler.amend(replace(WEB, scheduler="mh"), {A: 3})
    clock.advance(0)
    assert table.batches == [["-E -t 10.2.1.1:80 -s mh", "-e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 3"]]
    assert reconciler.verified("web")
    intent = reconciler.intent(key_of(WEB))
    assert intent is not None
    assert intent.service.scheduler == "mh"


def test_amended_goal_compares_untouched_destinations_after_a_failure(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10, C: 10})
    table.meddle(removal(WEB, A), removal(WEB, B))
    reconciler.amend(WEB, {A: 3})
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 3, B: 10, C: 10})


@pytest.mark.parametrize(
    "service",
    [WEB, replace(TEXT, tunneling=True), replace(TEXT, name="api")],
    ids=["without a goal", "changed since", "renamed since"],
)
def test_amendment_is_refused_without_a_goal(clock: Clock, reconciler: Reconciler, service: Service) -> None:
    pursue(reconciler, clock, TEXT, {A: 10})
    with pytest.raises(LookupError):
        reconciler.amend(service, {A: 3})


def test_amendment_of_a_retired_service_is_refused(clock: Clock) -> None:
    reconciler = Reconciler(FailingTable(), clock, grace=30.0)
    pursue(reconciler, clock, WEB, {A: 10})
    reconciler.retire(key_of(WEB), "web")
    with pytest.raises(LookupError):
        reconciler.amend(WEB, {A: 3})
    reconciler.stop()


def test_amendment_does_not_undo_a_goal_that_was_set_during_it(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    amending = reconciler.amending(WEB, {A: 3})
    next(amending)
    reconciler.want(WEB, {B: 10})
    with pytest.raises(LookupError):
        finish(amending)()
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {B: 10})


def test_amendments_of_large_services_are_one_batch(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    many: dict[Address, int] = {A + n: 10 for n in range(600)}
    for service in (WEB, TEXT):
        pursue(reconciler, clock, service, many)
    for _ in range(50):
        clock.advance(0)
    table.batches.clear()
    reconciler.amend(WEB, {A: 3})
    reconciler.amend(TEXT, {B: 3})
    clock.advance(0)
    assert table.batches == [
        ["-e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 3", "-e -t 10.2.1.2:443 -r 10.0.0.12:443 -g -w 3"]
    ]


def test_equal_goal_sends_nothing(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.batches.clear()
    pursue(reconciler, clock, WEB, {A: 10})
    assert table.batches == []


@pytest.mark.parametrize(
    "meddling",
    [
        [removal(WEB, A)],
        [removal(WEB, B)],
        [Op(Command.DELETE_SERVICE, entry(WEB, {}).service)],
        [made(WEB, {C: 7})[1]],
        [Op(Command.DELETE_SERVICE, entry(WEB, {}).service), *made(WEB, {C: 1})],
    ],
    ids=["one gone", "the other gone", "all gone", "one more", "replaced"],
)
def test_drift_found_by_a_failed_operation_is_repaired_immediately(
    table: FailingTable, clock: Clock, reconciler: Reconciler, meddling: list[Op]
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    table.meddle(*meddling)
    with capturedLogs() as events:
        pursue(reconciler, clock, WEB, {A: 9, C: 10})
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 9, C: 10})
    assert reconciler.verified("web")
    assert reconciler.alerts() == ()
    (warning,) = [event for event in events if event["log_level"] is LogLevel.warn]
    assert formatEvent(warning).startswith("IPVS drift repaired: ipvsadm -")
    assert warning["system"] == "web"


def test_service_created_by_another_program_is_taken_over(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    result_of(reconciler.adopt([WEB]))
    table.meddle(*made(WEB, {C: 7}))
    pursue(reconciler, clock, WEB, {A: 10})
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 10})


def test_alert_has_the_error_of_the_last_round(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    table.meddle(removal(WEB, A))
    table.refused = {A}
    pursue(reconciler, clock, WEB, {A: 9, B: 10})
    assert [operations[0].partition(" ")[0] for operations in table.batches[1:]] == ["-e", "-a", "-a"]
    text = "ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 9: Cannot allocate memory (for 0 s)"
    assert reconciler.alerts() == (Alert("web", "ipvs", text),)
    reconciler.stop()


def test_absent_service_without_a_server_is_not_critical(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.breaks_after = 0
    pursue(reconciler, clock, WEB, {A: 0})
    assert reconciler.alerts() == (Alert("web", "ipvs", "IPVS is gone (for 0 s)"),)
    clock.advance(7)
    pursue(reconciler, clock, WEB, {A: 10})
    assert [(alert.kind, alert.since) for alert in reconciler.alerts()] == [("not-in-ipvs", 0.0)]
    reconciler.stop()


def test_alert_with_operation_and_error_is_raised_after_three_rounds(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.refused = {A, B}
    pursue(reconciler, clock, WEB, {A: 10, B: 10, C: 10})
    assert len(table.batches) == 3
    assert table.held() == ["-A -t 10.2.1.1:80 -s wrr", "-a -t 10.2.1.1:80 -r 10.0.0.13:80 -g -w 10"]
    text = "ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10: Cannot allocate memory (and 1 more) (for 0 s)"
    assert reconciler.alerts() == (Alert("web", "ipvs", text),)
    assert not reconciler.verified("web")
    reconciler.stop()


def test_failure_is_retried_with_back_off_and_logged_once(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.broken = "IPVS is gone"
    with capturedLogs() as events:
        pursue(reconciler, clock, WEB, {A: 10})
        waits = []
        for _ in range(7):
            (call,) = clock.getDelayedCalls()
            waits.append(call.getTime() - clock.seconds())
            clock.advance(waits[-1])
            clock.advance(0)
    assert waits == [1, 2, 4, 8, 15, 15, 15]
    assert [formatEvent(event) for event in events if event["log_level"] is LogLevel.error] == [
        "IPVS not updated: IPVS is gone; retrying"
    ]
    reconciler.stop()


def test_new_goal_is_tried_immediately_and_clears_the_alert(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.refused = {A}
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    assert reconciler.alerts()
    pursue(reconciler, clock, WEB, {B: 10})
    assert reconciler.alerts() == ()
    assert reconciler.verified("web")
    assert clock.getDelayedCalls() == []


def test_goal_is_kept_while_the_table_cannot_be_reached(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.broken = "IPVS is gone"
    pursue(reconciler, clock, WEB, {B: 10})
    assert reconciler.alerts() == (Alert("web", "ipvs", "IPVS is gone (for 0 s)"),)
    table.broken = ""
    table.meddle(Op(Command.DELETE_SERVICE, entry(WEB, {}).service))  # a module was reloaded
    clock.advance(1)
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {B: 10})
    assert reconciler.alerts() == ()
    assert clock.getDelayedCalls() == []


def test_service_is_read_again_when_the_table_failed_for_another(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.broken = "IPVS is gone"
    reconciler.want(TEXT, {A: 10})
    reconciler.want(WEB, {A: 10})
    clock.advance(0)
    table.broken = ""
    table.meddle(Op(Command.DELETE_SERVICE, entry(WEB, {}).service))  # a module was reloaded
    clock.advance(1)
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 10})


def test_service_that_should_have_no_server_does_not_fail_to_restore(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.broken = "IPVS is gone"
    pursue(reconciler, clock, WEB, {A: 0})
    assert not reconciler.fails_to_restore(WEB)
    pursue(reconciler, clock, WEB, {A: 10})
    assert reconciler.fails_to_restore(WEB)
    reconciler.stop()


def test_alert_begins_with_the_first_of_several_failures(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    clock.advance(5)
    table.broken = "IPVS is gone"
    pursue(reconciler, clock, WEB, {A: 10})
    clock.pump([1, 0, 2, 0])
    assert [(alert.text, alert.since) for alert in reconciler.alerts()] == [("IPVS is gone (for 3 s)", 5.0)]
    reconciler.stop()


def test_applied_part_of_a_broken_batch_is_not_repeated(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.breaks_after = 2
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    table.breaks_after = None
    clock.advance(1)
    clock.advance(0)
    assert table.batches[1:] == [["-a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 10"]]
    assert reconciler.verified("web")


def test_back_off_is_reset_after_a_repair(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.refused = {A}
    pursue(reconciler, clock, WEB, {A: 10})
    clock.advance(1)
    clock.advance(0)
    pursue(reconciler, clock, WEB, {B: 10})
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    (call,) = clock.getDelayedCalls()
    assert call.getTime() - clock.seconds() == 1
    reconciler.stop()


def test_goals_that_failed_together_are_retried_in_one_batch(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.broken = "IPVS is gone"
    reconciler.want(WEB, {A: 10})
    reconciler.want(TEXT, {A: 10})
    clock.advance(0)
    table.broken = ""
    clock.advance(1)
    clock.advance(0)
    assert len(table.batches) == 1
    assert len(table.memory.table()) == 2


def test_failing_service_does_not_delay_another(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.refused = {A}
    reconciler.want(WEB, {A: 10})
    reconciler.want(TEXT, {B: 10})
    clock.advance(0)
    assert reconciler.verified("text")
    assert not reconciler.verified("web")
    reconciler.stop()


@pytest.mark.parametrize("weights", [{B: 10}, {A: 0, B: 10}], ids=["removed", "drained"])
def test_refused_addition_never_empties_the_pool(
    table: FailingTable, clock: Clock, reconciler: Reconciler, weights: dict[Address, int]
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.refused = {B}
    pursue(reconciler, clock, WEB, weights)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 10})
    table.refused = set()
    clock.advance(1)
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, weights)
    assert clock.getDelayedCalls() == []


def test_refused_addition_of_weight_0_keeps_no_server(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.refused = {B}
    pursue(reconciler, clock, WEB, {B: 0})
    assert table.memory.read(key_of(WEB)) == entry(WEB, {})
    reconciler.stop()


def test_refused_addition_does_not_stop_the_removals_of_another_service(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, TEXT, {B: 10})
    table.refused = {A}
    reconciler.want(WEB, {A: 10})
    reconciler.want(TEXT, {C: 10})
    clock.advance(0)
    assert table.memory.read(key_of(TEXT)) == entry(TEXT, {C: 10})
    reconciler.stop()


def test_refused_removal_is_retried(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.stuck = {A}
    pursue(reconciler, clock, WEB, {B: 10})
    assert not reconciler.verified("web")
    table.stuck = set()
    clock.advance(1)
    clock.advance(0)
    assert table.memory.read(key_of(WEB)) == entry(WEB, {B: 10})
    assert reconciler.verified("web")


def test_refused_addition_does_not_keep_a_dead_server_beside_another(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, C: 10})
    table.refused = {B}
    pursue(reconciler, clock, WEB, {B: 10, C: 10})
    assert table.memory.read(key_of(WEB)) == entry(WEB, {C: 10})
    reconciler.stop()


def test_name_that_resolves_to_this_host_does_not_empty_the_pool(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    pursue(reconciler, clock, WEB, {IPv4Address("127.0.1.1"): 10})
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 10})
    (alert,) = reconciler.alerts()
    assert alert.text.endswith(": 127.0.1.1 is a loopback address (for 0 s)")
    reconciler.stop()


def test_empty_goal_empties_the_pool_and_keeps_the_service(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    pursue(reconciler, clock, WEB, {})
    assert table.held() == ["-A -t 10.2.1.1:80 -s wrr"]
    assert reconciler.verified("web")


def test_service_can_be_renamed_in_either_order(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    renamed = replace(WEB, name="www")
    pursue(reconciler, clock, WEB, {A: 10})
    pursue(reconciler, clock, renamed, {A: 10})
    reconciler.retire(key_of(WEB), "web")
    clock.advance(0)
    assert reconciler.verified("www")
    assert not reconciler.verified("web")
    reconciler.retire(key_of(WEB), "www")
    pursue(reconciler, clock, WEB, {A: 10})
    assert reconciler.verified("web")
    assert len(table.batches) == 1


def test_adoption_returns_destinations_on_the_port_of_the_service_only(
    table: FailingTable, reconciler: Reconciler
) -> None:
    service = entry(WEB, {}).service
    masqueraded = Destination(B, 8080, 5, Forward.MASQUERADE)
    table.meddle(*made(WEB, {A: 10}), Op(Command.ADD, service, masqueraded))
    assert result_of(reconciler.adopt([WEB])) == {"web": {A: 10}}


def test_service_is_not_verified_before_it_is_written(clock: Clock, reconciler: Reconciler) -> None:
    assert not reconciler.verified("web")
    reconciler.want(WEB, {A: 10})
    assert not reconciler.verified("web")
    clock.advance(0)
    assert reconciler.verified("web")
    reconciler.want(WEB, {A: 9})
    assert not reconciler.verified("web")


def test_stop_writes_pending_goals_and_leaves_no_delayed_call(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.refused = {B}
    pursue(reconciler, clock, TEXT, {B: 10})
    reconciler.want(WEB, {A: 10})
    reconciler.stop()
    reconciler.stop()
    assert table.memory.read(key_of(WEB)) == entry(WEB, {A: 10})
    assert table.closed
    assert clock.getDelayedCalls() == []


def test_reads_are_those_of_the_table_and_not_cached(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    table.meddle(removal(WEB, A))
    assert result_of(reconciler.read(key_of(WEB))) == entry(WEB, {})
    assert reconciler.view().table() == {key_of(WEB): entry(WEB, {})}
    assert result_of(reconciler.services()) == (entry(WEB, {}).service,)


def test_reads_raise_when_the_table_cannot_be_read(table: FailingTable, reconciler: Reconciler) -> None:
    table.broken = "IPVS is gone"
    for reading in (reconciler.adopt([WEB]), reconciler.services(), reconciler.held(WEB)):
        with pytest.raises(BackendError, match="IPVS is gone"):
            result_of(reading)


def test_service_that_could_not_be_created_is_not_logged_as_created(clock: Clock, reconciler: Reconciler) -> None:
    with capturedLogs() as events:
        pursue(reconciler, clock, replace(WEB, scheduler="best"), {A: 10})
    assert [event for event in events if event["log_level"] is LogLevel.info] == []
    (alert,) = reconciler.alerts()
    assert (alert.kind, alert.severity) == ("not-in-ipvs", Severity.CRITICAL)
    assert alert.text == (
        "no connection is forwarded, IPVS lacks the service or its servers: ipvsadm -A -t 10.2.1.1:80 -s best: the kernel"
        " has no scheduler best (modprobe ip_vs_best) (and 1 more)"
    )
    reconciler.stop()


def test_log_has_each_operation_as_ipvsadm_and_each_new_service_once(clock: Clock, reconciler: Reconciler) -> None:
    with capturedLogs() as events:
        pursue(reconciler, clock, WEB, {A: 10})
        pursue(reconciler, clock, WEB, {B: 10})
    assert [(event["log_level"], event["system"], formatEvent(event)) for event in events] == [
        (
            LogLevel.debug,
            "web",
            "ipvsadm -A -t 10.2.1.1:80 -s wrr\nipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10",
        ),
        (LogLevel.info, "web", "Created LVS service 'web'"),
        (LogLevel.debug, "web", "ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 10"),
        (LogLevel.debug, "web", "ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.11:80"),
    ]


def test_log_has_the_operations_of_each_service_apart(clock: Clock, reconciler: Reconciler) -> None:
    reconciler.want(WEB, {A: 10})
    reconciler.want(TEXT, {B: 10})
    with capturedLogs() as events:
        clock.advance(0)
    assert [
        (event["system"], formatEvent(event).splitlines()) for event in events if event["log_level"] is LogLevel.debug
    ] == [
        ("web", ["ipvsadm -A -t 10.2.1.1:80 -s wrr", "ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"]),
        (
            "text",
            ["ipvsadm -A -t 10.2.1.2:443 -s mh -b mh-port", "ipvsadm -a -t 10.2.1.2:443 -r 10.0.0.12:443 -g -w 10"],
        ),
    ]


def test_service_that_moves_to_another_port_is_verified_there(clock: Clock, reconciler: Reconciler) -> None:
    moved = replace(WEB, port=8080)
    reconciler.want(WEB, {A: 1})
    clock.advance(0)
    reconciler.want(moved, {A: 1})
    reconciler.retire(key_of(WEB), "web")
    assert not reconciler.verified("web")
    clock.advance(0)
    assert reconciler.verified("web")


def test_settled_is_called_once_after_each_write_or_failed_write(clock: Clock, table: FailingTable) -> None:
    told: list[bool] = []
    writer: Reconciler = Reconciler(table, clock, settled=lambda: told.append(writer.verified("web")))
    writer.want(WEB, {A: 1})
    writer.want(TEXT, {B: 1})
    clock.advance(0)
    assert told == [True]
    table.broken = "IPVS is gone"
    writer.want(WEB, {B: 1})
    clock.advance(0)
    assert told == [True, False]
    table.broken = ""
    clock.advance(1)
    assert told == [True, False, True]


def test_freeze_suspends_writing_and_thaw_applies_all_goals_in_one_batch(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10, B: 10})
    reconciler.freeze()
    assert reconciler.frozen
    pursue(reconciler, clock, WEB, {A: 10})
    pursue(reconciler, clock, WEB, {A: 10, C: 10})
    pursue(reconciler, clock, TEXT, {B: 10})
    clock.advance(60)
    assert len(table.batches) == 1
    assert not reconciler.verified("web")
    reconciler.thaw()
    clock.advance(0)
    assert table.batches[1:] == [
        [
            "-A -t 10.2.1.2:443 -s mh -b mh-port",
            "-a -t 10.2.1.1:80 -r 10.0.0.13:80 -g -w 10",
            "-a -t 10.2.1.2:443 -r 10.0.0.12:443 -g -w 10",
            "-d -t 10.2.1.1:80 -r 10.0.0.12:80",
        ]
    ]
    assert reconciler.verified("web")


def test_service_that_a_freeze_keeps_out_of_ipvs_is_critical(clock: Clock, reconciler: Reconciler) -> None:
    result_of(reconciler.adopt([WEB]))
    reconciler.freeze()
    pursue(reconciler, clock, WEB, {A: 10})
    (alert,) = reconciler.alerts()
    assert (alert.kind, alert.severity) == ("not-in-ipvs", Severity.CRITICAL)
    pursue(reconciler, clock, WEB, {A: 0})  # takes no connections anyway
    assert reconciler.alerts() == ()
    pursue(reconciler, clock, WEB, {A: 10})
    reconciler.thaw()
    clock.advance(0)
    assert reconciler.alerts() == ()


def test_service_that_a_frozen_table_has_or_may_have_is_not_critical(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.meddle(*made(WEB, {A: 5}))
    result_of(reconciler.adopt([WEB, TEXT]))
    reconciler.want(TEXT, {A: 10})
    assert reconciler.alerts() == (), "to be written at the end of this turn"
    clock.advance(0)
    reconciler.freeze()
    reconciler.want(WEB, {A: 10})
    reconciler.want(replace(WEB, name="unread", port=8080), {A: 10})
    assert reconciler.alerts() == ()


def test_freeze_suspends_pending_goals_also_at_stop(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    reconciler.want(WEB, {A: 10})
    reconciler.freeze()
    clock.advance(60)
    reconciler.stop()
    assert table.batches == []
    assert clock.getDelayedCalls() == []


def test_write_that_fails_at_the_stop_is_not_retried(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.refused = {A}
    reconciler.want(WEB, {A: 10})
    reconciler.stop()
    assert len(table.batches) > 0
    assert clock.getDelayedCalls() == []


def test_failed_write_is_not_retried_while_frozen(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.refused = {A}
    pursue(reconciler, clock, WEB, {A: 10})
    tried = len(table.batches)
    reconciler.freeze()
    clock.advance(60)
    assert len(table.batches) == tried
    table.refused = set()
    reconciler.thaw()
    clock.advance(0)
    assert table.held()[1:] == ["-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"]


def test_thaw_without_new_goals_does_nothing(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    reconciler.freeze()
    pursue(reconciler, clock, WEB, {B: 10})
    pursue(reconciler, clock, WEB, {A: 10})
    reconciler.thaw()
    clock.advance(0)
    assert len(table.batches) == 1
    assert clock.getDelayedCalls() == []


def test_held_entry_is_read_when_the_service_has_no_goal(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    assert result_of(reconciler.held(WEB)) is None
    table.meddle(*made(WEB, {A: 10}))
    assert result_of(reconciler.held(WEB)) == entry(WEB, {A: 10})
    reads = table.reads
    pursue(reconciler, clock, WEB, {B: 10})
    assert result_of(reconciler.held(WEB)) == entry(WEB, {B: 10})
    assert table.reads == reads + 1, "the written entry is in the shadow"


def test_holds_follows_the_table_after_a_freeze_or_a_failed_write(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    pursue(reconciler, clock, WEB, {A: 10})
    assert (reconciler.holds(WEB, A), reconciler.holds(WEB, B)) == (True, False)
    reconciler.freeze()
    pursue(reconciler, clock, WEB, {B: 10})
    assert (reconciler.holds(WEB, A), reconciler.holds(WEB, B)) == (True, False)
    table.broken = "IPVS is gone"
    reconciler.thaw()
    clock.advance(0)
    assert (reconciler.holds(WEB, A), reconciler.holds(WEB, B)) == (True, False)
    table.broken = ""
    clock.advance(60)
    assert (reconciler.holds(WEB, A), reconciler.holds(WEB, B)) == (False, True)
    reconciler.retire(key_of(WEB), "web")
    clock.advance(0)
    assert not reconciler.holds(WEB, B)


def test_holds_follows_the_reading_before_a_write_that_failed(
    table: FailingTable, clock: Clock, reconciler: Reconciler
) -> None:
    table.meddle(*made(WEB, {A: 10}))
    table.breaks_after = 0
    pursue(reconciler, clock, WEB, {B: 10})
    assert (reconciler.holds(WEB, A), reconciler.holds(WEB, B)) == (True, False)
    reconciler.stop()


def test_holds_includes_what_another_program_added(table: FailingTable, clock: Clock, reconciler: Reconciler) -> None:
    table.meddle(*made(WEB, {A: 10}))
    result_of(reconciler.adopt([WEB]))
    assert reconciler.holds(WEB, A)
    pursue(reconciler, clock, WEB, {B: 10})
    table.meddle(Op(Command.ADD, entry(WEB, {}).service, next(iter(entry(WEB, {A: 1}).destinations.values()))))
    assert not reconciler.holds(WEB, A)
    result_of(reconciler.compare(key_of(WEB)))
    assert reconciler.holds(WEB, A)
    reconciler.repair(key_of(WEB))
    clock.advance(0)
    assert not reconciler.holds(WEB, A)
