"""Amended goals lead to the same table as replaced ones while others write to it and writes fail."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from twisted.internet.task import Clock

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.backend import BackendError, MemoryBackend
from pybal.ipvs.diff import diff
from pybal.ipvs.model import Command, Failure, Op, ServiceKey, TableEntry, entry, key_of
from pybal.ipvs.reconciler import Reconciler
from tests.harness.immediate import result_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
TUNNELED = replace(WEB, tunneling=True)
SERVICES = [WEB, replace(WEB, scheduler="mh", scheduler_flags=("mh-port",)), TUNNELED]
ADDRESSES = [IPv4Address("10.0.0.11") + n for n in range(6)]
OTHER = replace(WEB, name="text", vip=WEB.vip + 1)

weights = st.dictionaries(st.sampled_from(ADDRESSES), st.integers(0, 2))
changes = st.dictionaries(st.sampled_from(ADDRESSES), st.none() | st.integers(0, 2))


class UnreliableTable(MemoryBackend):
    """A table that fails after some operations, or refuses additions of some addresses."""

    fails_after: int | None = None
    refused: frozenset[Address] = frozenset()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        failures: list[Failure] = []
        for n, op in enumerate(ops):
            if n == self.fails_after:
                raise BackendError("IPVS is gone")
            if op.command is Command.ADD and op.destination and op.destination.address in self.refused:
                failures.append(Failure(op, errno.ENOMEM, "Cannot allocate memory"))
            else:
                failures += super().apply([op])
        return tuple(failures)


class AmendedAndReplaced(RuleBasedStateMachine):
    """Two tables with equal histories; the goals of the first are amended, those of the second replaced."""

    @initialize(held=st.none() | weights, wanted=weights)
    def start(self, held: dict[Address, int] | None, wanted: dict[Address, int]) -> None:
        self.clock = Clock()
        self.service, self.wanted = WEB, wanted
        actual: dict[ServiceKey, TableEntry] = {} if held is None else {key_of(WEB): entry(WEB, held)}
        self.tables = UnreliableTable(actual), UnreliableTable(actual)
        self.amended, self.replaced = (Reconciler(table, self.clock) for table in self.tables)
        for reconciler in (self.amended, self.replaced):
            result_of(reconciler.adopt([WEB]))
            reconciler.want(OTHER, {ADDRESSES[0]: 1})
        self.replace_goal()

    def replace_goal(self) -> None:
        for reconciler in (self.amended, self.replaced):
            reconciler.want(self.service, self.wanted)

    @rule(each=changes)
    def amend(self, each: dict[Address, int | None]) -> None:
        merged = {**self.wanted, **each}
        self.wanted = {address: weight for address, weight in merged.items() if weight is not None}
        self.amended.amend(self.service, each)
        self.replaced.want(self.service, self.wanted)

    @rule(service=st.sampled_from(SERVICES), each=changes)
    def reschedule(self, service: Service, each: dict[Address, int | None]) -> None:
        """Change the scheduler, by an amendment."""
        self.service = replace(service, tunneling=self.service.tunneling)
        self.amend(each)

    @rule(service=st.sampled_from(SERVICES), wanted=weights)
    def reconfigure(self, service: Service, wanted: dict[Address, int]) -> None:
        self.service, self.wanted = service, wanted
        self.replace_goal()

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0]))
    def wait(self, seconds: float) -> None:
        self.clock.pump([seconds, *[0.0] * 20])
        if self.amended.verified("web") and self.replaced.verified("web"):
            assert self.tables[0].table() == self.tables[1].table()

    @rule(service=st.sampled_from(SERVICES), held=st.none() | weights)
    def others_write(self, service: Service, held: dict[Address, int] | None) -> None:
        for table in self.tables:
            wanted: dict[ServiceKey, TableEntry] = {} if held is None else {key_of(WEB): entry(service, held)}
            before = table.read(key_of(WEB))
            MemoryBackend.apply(table, diff(wanted, {key_of(WEB): before} if before else {}))

    @rule(addresses=st.frozensets(st.sampled_from(ADDRESSES), max_size=2))
    def refuse(self, addresses: frozenset[Address]) -> None:
        for table in self.tables:
            table.refused = addresses

    @rule(points=st.none() | st.integers(0, 3))
    def fail(self, points: int | None) -> None:
        for table in self.tables:
            table.fails_after = points

    @rule()
    def audit(self) -> None:
        """Find and repair what others did."""
        for reconciler in (self.amended, self.replaced):
            comparison = result_of(reconciler.compare(key_of(WEB)))
            if comparison and comparison.drift:
                reconciler.repair(key_of(WEB))

    @rule()
    def freeze(self) -> None:
        self.amended.freeze()
        self.replaced.freeze()

    @rule()
    def thaw(self) -> None:
        self.amended.thaw()
        self.replaced.thaw()

    @rule()
    def settle(self) -> None:
        """Let every write succeed, and expect the goal in both tables."""
        self.refuse(frozenset())
        self.fail(None)
        self.thaw()
        self.wait(15.0)
        self.audit()
        self.wait(15.0)
        for table, reconciler in zip(self.tables, (self.amended, self.replaced), strict=True):
            assert table.read(key_of(WEB)) == entry(self.service, self.wanted)
            assert table.read(key_of(OTHER)) == entry(OTHER, {ADDRESSES[0]: 1})
            assert reconciler.verified("web")
            assert reconciler.alerts() == ()

    def teardown(self) -> None:
        if hasattr(self, "tables"):
            self.settle()
            self.amended.stop()
            self.replaced.stop()
            assert self.clock.getDelayedCalls() == []


TestAmendedAndReplaced = AmendedAndReplaced.TestCase
TestAmendedAndReplaced.settings = settings(stateful_step_count=30)
