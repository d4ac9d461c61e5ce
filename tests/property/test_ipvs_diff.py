"""The difference between tables, for any two tables."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.diff import diff, split
from pybal.ipvs.model import (
    TCP,
    Command,
    Destination,
    Endpoint,
    Flags,
    Forward,
    Key,
    Op,
    ServiceKey,
    Table,
    TableEntry,
    VirtualService,
)

# Small domains, so that two tables have much in common.
KEYS = [Key(TCP, IPv4Address("10.2.1.1"), 80), Key(TCP, IPv6Address("fd00:2::1"), 80)]
ADDRESSES = [IPv4Address("10.0.0.11") + n for n in range(4)]


def entries(key: ServiceKey) -> st.SearchStrategy[TableEntry]:
    services = st.builds(
        VirtualService, st.just(key), st.sampled_from(["wrr", "mh"]), st.sampled_from([Flags(0), Flags.SCHED2])
    )
    destination = st.builds(
        Destination, st.sampled_from(ADDRESSES), st.just(80), st.integers(0, 2), st.just(Forward.TUNNEL)
    )
    return st.builds(TableEntry, services, st.lists(destination, unique_by=lambda d: d.endpoint).map(by_endpoint))


def by_endpoint(destinations: list[Destination]) -> dict[Endpoint, Destination]:
    return {destination.endpoint: destination for destination in destinations}


TABLES = st.fixed_dictionaries({}, optional={key: entries(key) for key in KEYS})


@given(TABLES, TABLES)
def test_difference_applied_to_the_actual_table_is_the_wanted_one(wanted: Table, actual: Table) -> None:
    backend = MemoryBackend(actual)
    assert backend.apply(diff(wanted, actual)) == ()
    assert backend.table() == wanted


@given(TABLES, TABLES)
def test_difference_of_the_touched_destinations_is_the_whole_difference(wanted: Table, actual: Table) -> None:
    touched = {
        key: {
            endpoint
            for endpoint in {*entry.destinations, *actual[key].destinations}
            if entry.destinations.get(endpoint) != actual[key].destinations.get(endpoint)
        }
        for key, entry in wanted.items()
        if key in actual
    }
    assert sorted(diff(wanted, actual, touched), key=repr) == sorted(diff(wanted, actual), key=repr)


@given(TABLES, TABLES)
def test_difference_is_empty_only_if_the_tables_are_equal(wanted: Table, actual: Table) -> None:
    assert (diff(wanted, actual) == ()) is (wanted == actual)
    assert diff(wanted, wanted) == ()


@given(TABLES, TABLES)
def test_difference_has_no_superfluous_operation(wanted: Table, actual: Table) -> None:
    ops = diff(wanted, actual)
    for n, op in enumerate(ops):
        if op.command is Command.REPLACE and wanted[op.key].service != actual[op.key].service:
            continue  # see test_service_that_becomes_mh_replaces_all_destinations_of_weight_0
        backend = MemoryBackend(actual)
        backend.apply([*ops[:n], *ops[n + 1 :]])
        assert backend.table() != wanted


@given(TABLES, TABLES)
def test_weight_0_is_set_by_replacement_with_mh_only(wanted: Table, actual: Table) -> None:
    for op in diff(wanted, actual):
        if op.destination is not None and op.command in {Command.EDIT, Command.REPLACE}:
            replaced = op.service.scheduler == "mh" and not op.destination.weight
            assert (op.command is Command.REPLACE) is replaced


@given(TABLES, TABLES)
def test_service_that_becomes_mh_replaces_all_destinations_of_weight_0(wanted: Table, actual: Table) -> None:
    """The kernel keeps the last weights for the lookup table of a later scheduler."""
    replaced = {
        (op.key, op.destination)
        for op in diff(wanted, actual, dict.fromkeys(actual, ()))
        if op.command is Command.REPLACE
    }
    for key, entry in wanted.items():
        held = actual.get(key)
        if held and entry.service.scheduler == "mh" != held.service.scheduler:
            quiet = {
                each for each in entry.destinations.values() if not each.weight and each.endpoint in held.destinations
            }
            assert {(key, each) for each in quiet} <= replaced


@given(TABLES, TABLES)
def test_operations_are_ordered_services_additions_edits_deletions(wanted: Table, actual: Table) -> None:
    order = [
        {Command.ADD_SERVICE, Command.EDIT_SERVICE},
        {Command.ADD},
        {Command.EDIT, Command.REPLACE},
        {Command.DELETE},
        {Command.DELETE_SERVICE},
    ]
    phases = [next(n for n, phase in enumerate(order) if op.command in phase) for op in diff(wanted, actual)]
    assert phases == sorted(phases)


@given(TABLES, TABLES)
def test_pool_that_serves_before_and_after_serves_in_between(wanted: Table, actual: Table) -> None:
    backend = MemoryBackend(actual)
    for op in diff(wanted, actual):
        backend.apply([op])
        for key in wanted:
            if wanted[key].serves and key in actual and actual[key].serves:
                held = backend.read(key)
                assert held is not None
                assert held.serves


@given(TABLES, TABLES, st.sets(st.sampled_from(ADDRESSES)))
def test_pool_keeps_serving_when_any_additions_fail(wanted: Table, actual: Table, refused: set[IPv4Address]) -> None:
    """Apply both parts like the reconciler: the second only if the first has not failed."""

    def may(op: Op) -> bool:
        return op.command is not Command.ADD or op.destination is None or op.destination.address not in refused

    backend = MemoryBackend(actual)
    first, then = split(diff(wanted, actual), wanted, actual)
    failed = {op.key for op in first if not may(op)}
    backend.apply([op for op in first if may(op)])
    backend.apply([op for op in then if op.key not in failed])
    for key, entry in wanted.items():
        if entry.serves and key in actual and actual[key].serves:
            held = backend.read(key)
            assert held is not None
            assert held.serves


@given(TABLES, TABLES)
def test_both_parts_of_a_difference_are_complete(wanted: Table, actual: Table) -> None:
    ops = diff(wanted, actual)
    first, then = split(ops, wanted, actual)
    assert sorted((*first, *then), key=ops.index) == list(ops)
