"""The difference between two IPVS tables: a pure function from wanted and actual to operations.

The order keeps clients served: services first, because destinations need them; additions before edits; edits that admit new
connections before edits that stop them; then removals; whole services last. A pool that serves before and after the operations
therefore serves after each single one.

With mh, a destination gets weight 0 by a deletion and an addition in one send (:attr:`~pybal.ipvs.model.Command.REPLACE`):
after an edit the kernel keeps the last weight in the lookup table, and refuses the clients that the table maps to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pybal.core.steps import parts
from pybal.ipvs.model import Command, Destination, Endpoint, Op, ServiceKey, Table, TableEntry, VirtualService

Touched = Mapping[ServiceKey, Collection[Endpoint]]


def diff(wanted: Table, actual: Table, touched: Touched = MappingProxyType({})) -> tuple[Op, ...]:
    """Return the shortest list of operations from ``actual`` to ``wanted``; empty only if they are equal.

    Services that are only in ``actual`` are deleted: pass only those that may be. If a service is in ``touched``, only these
    of its destinations are compared; the others must be equal.
    """
    ops = [
        op for key, entry in wanted.items() for step in steps(entry, actual.get(key), touched.get(key)) for op in step
    ]
    ops += [Op(Command.DELETE_SERVICE, entry.service) for key, entry in actual.items() if key not in wanted]
    return ordered(ops)


def steps(
    wanted: TableEntry | None, actual: TableEntry | None, touched: Collection[Endpoint] | None = None
) -> Iterator[Sequence[Op]]:
    """Yield the operations of :func:`diff` for one service, not ordered, in steps of about 1 ms."""
    if wanted is None:
        if actual is not None:
            yield [Op(Command.DELETE_SERVICE, actual.service)]
        return
    service = wanted.service
    if actual is None:
        yield [Op(Command.ADD_SERVICE, service)]
    elif actual.service != service:
        yield [Op(Command.EDIT_SERVICE, service)]
    becomes_mh = service.scheduler == _MH and actual is not None and actual.service.scheduler != _MH
    if becomes_mh:
        touched = None  # its lookup table would hold the last weights of destinations that have weight 0 now
    held = _selected(actual, touched)
    want = _selected(wanted, touched)
    for part in parts(want.items()):
        yield [
            Op(_command(service, destination, held.get(endpoint)), service, destination)
            for endpoint, destination in part
            if held.get(endpoint) != destination or (becomes_mh and not destination.weight)
        ]
    for part in parts(held.items()):
        yield [Op(Command.DELETE, service, destination) for endpoint, destination in part if endpoint not in want]


def ordered(ops: Iterable[Op]) -> tuple[Op, ...]:
    """Return the operations of :func:`steps` in the order in which they are to be sent."""
    return tuple(sorted(ops, key=_rank))


def split(ops: Sequence[Op], wanted: Table, actual: Table) -> tuple[tuple[Op, ...], tuple[Op, ...]]:
    """Split the result of :func:`diff` into two batches; the second needs the first to succeed.

    If no wanted destination of a pool serves yet, the pool depends on additions that the kernel may refuse; removing the old
    destinations in the same batch could leave it empty.
    """
    dependent = {key for key, entry in wanted.items() if entry.serves and not _anchored(entry, actual.get(key))}
    return (
        tuple(op for op in ops if not (op.key in dependent and _stops_connections(op))),
        tuple(op for op in ops if op.key in dependent and _stops_connections(op)),
    )


def _command(service: VirtualService, destination: Destination, held: Destination | None) -> Command:
    if held is None:
        return Command.ADD
    return Command.REPLACE if service.scheduler == _MH and not destination.weight else Command.EDIT


def _selected(entry: TableEntry | None, touched: Collection[Endpoint] | None) -> Mapping[Endpoint, Destination]:
    if entry is None:
        return {}
    if touched is None:
        return entry.destinations
    return {endpoint: found for endpoint in touched if (found := entry.destinations.get(endpoint))}


_MH = "mh"
_ORDER = (
    Command.ADD_SERVICE,
    Command.EDIT_SERVICE,
    Command.ADD,
    Command.EDIT,
    Command.REPLACE,
    Command.DELETE,
    Command.DELETE_SERVICE,
)


def _rank(op: Op) -> tuple[int, bool]:
    return _ORDER.index(op.command), op.destination is not None and not op.destination.weight


def _stops_connections(op: Op) -> bool:
    return op.command in (Command.DELETE, Command.REPLACE) or (
        op.command is Command.EDIT and op.destination is not None and not op.destination.weight
    )


def _anchored(wanted: TableEntry, actual: TableEntry | None) -> bool:
    """Return whether a wanted destination with a weight is already in the table with a weight."""
    return actual is not None and any(
        destination.weight and endpoint in actual.destinations and actual.destinations[endpoint].weight
        for endpoint, destination in wanted.destinations.items()
    )
