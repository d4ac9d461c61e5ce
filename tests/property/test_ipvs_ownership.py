"""Wherever the daemon is killed, no own service stays in the table and no foreign one is lost."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.task import Clock

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.diff import diff
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Command, Destination, Key, Mark, Op, ServiceKey, TableEntry, entry, key_of
from pybal.ipvs.model import VirtualService as Virtual
from pybal.ipvs.reconciler import Reconciler
from tests.harness.crashing_backend import CrashingBackend, CrashingLedger, CrashPoint, Killed
from tests.harness.immediate import result_of

GRACE = 30.0
WEB = Service("web0", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
SERVICES = [WEB, *(replace(WEB, name=f"web{n}", vip=WEB.vip + n) for n in (1, 2, 3))]
RENAMED = replace(WEB, name="www")
OTHERS = [Virtual(Key(17, IPv4Address("10.9.9.9"), 53), "rr"), Virtual(Mark(7), "rr")]
A, B, C = ADDRESSES = [IPv4Address(f"10.0.0.{n}") for n in (11, 12, 13)]

configurations = st.lists(
    st.tuples(
        st.sampled_from([*SERVICES, RENAMED]),
        st.none() | st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 2)),
    ),
    unique_by=lambda each: key_of(each[0]),
    max_size=4,
)
Configuration = list[tuple[Service, dict[Address, int] | None]]


class Ownership(RuleBasedStateMachine):
    """A table with foreign users and successive processes of the daemon; services may lack a list."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.file = self.directory / "ledger"
        self.table = MemoryBackend()
        self.others: dict[ServiceKey, TableEntry] = {}
        self.configuration: Configuration = []
        self.begin(None)

    def begin(self, points: int | None) -> None:
        self.crash = CrashPoint(points, self.die)
        self.clock = Clock()
        ledger = CrashingLedger(self.file, self.crash)
        self.reconciler = Reconciler(CrashingBackend(self.table, self.crash), self.clock, ledger=ledger, grace=GRACE)
        result_of(self.reconciler.adopt([service for service, _ in self.configuration]))
        self.reconciler.retire_leftovers()
        self.want()

    def want(self) -> None:
        for service, weights in self.configuration:
            if weights is not None:
                self.reconciler.want(service, weights)

    def die(self) -> None:
        raise Killed

    def pass_time(self, seconds: float) -> None:
        """Let time pass; if the process is killed, another one starts and survives."""
        self.clock.advance(seconds)
        if self.crash.reached:
            self.begin(None)

    @rule(configuration=configurations, points=st.integers(0, 12) | st.none())
    def restart(self, configuration: Configuration, points: int | None) -> None:
        self.configuration = configuration
        self.begin(points)
        self.pass_time(0)

    @rule(configuration=configurations, points=st.integers(0, 12) | st.none())
    def reload(self, configuration: Configuration, points: int | None) -> None:
        self.crash.left = points
        after = {key_of(service) for service, _ in configuration}
        gone = [service for service, _ in self.configuration if key_of(service) not in after]
        self.configuration = configuration
        result_of(self.reconciler.adopt([service for service, _ in configuration]))
        for service in gone:
            self.reconciler.retire(key_of(service), service.name)
        self.want()
        self.pass_time(0)

    @rule(seconds=st.sampled_from([0.0, 1.0, 16.0, GRACE]), points=st.integers(0, 6) | st.none())
    def wait(self, seconds: float, points: int | None) -> None:
        self.crash.left = points
        self.pass_time(seconds)

    @rule(other=st.sampled_from(OTHERS), weight=st.integers(0, 3))
    def others_write(self, other: Virtual, weight: int) -> None:
        destination = Destination(A, other.key.port if isinstance(other.key, Key) else 0, weight)
        wanted = {other.key: TableEntry(other, {destination.endpoint: destination})}
        held = {other.key: self.others[other.key]} if other.key in self.others else {}
        assert self.table.apply(diff(wanted, held)) == ()
        self.others.update(wanted)

    @rule(service=st.sampled_from(SERVICES))
    def others_delete(self, service: Service) -> None:
        self.table.apply([Op(Command.DELETE_SERVICE, entry(service, {}).service)])

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        held = self.table.table()
        assert {each.key: held[each.key] for each in OTHERS if each.key in held} == self.others

    @invariant()
    def own_services_are_in_the_ledger(self) -> None:
        ours = self.table.table().keys() - self.others.keys()
        assert ours <= Ledger(self.file).names.keys()

    @rule()
    def survive(self) -> None:
        """A process that is not killed makes the table equal to the wanted one and owns its services."""
        self.begin(None)
        self.clock.pump([0.0, 1.0, GRACE, 1.0])
        listed: dict[ServiceKey, TableEntry] = {
            key_of(service): entry(service, w) for service, w in self.configuration if w is not None
        }
        silent: set[ServiceKey] = {key_of(service) for service, weights in self.configuration if weights is None}
        held = self.table.table()
        assert {key: each for key, each in held.items() if key not in silent} == {**listed, **self.others}
        assert listed.keys() <= Ledger(self.file).names.keys() <= listed.keys() | silent
        assert self.reconciler.alerts() == ()

    def teardown(self) -> None:
        self.survive()
        self.reconciler.stop()
        shutil.rmtree(self.directory)


TestOwnership = Ownership.TestCase
TestOwnership.settings = settings(stateful_step_count=20)
