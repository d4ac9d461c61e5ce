"""The events of the policy as records of the journal, and back. Pure.

A record is a JSON object in one line. An event is these members of it:

==============  ================================================================
``event``       further members
==============  ================================================================
``kernel``      ``held``: weights by address
``list``        ``members``: by host, in order, a weight or ``[weight, "disabled"]``
``addresses``   ``found``: by host, ``null`` without one; ``looked_up``: monotonic time
``reports``     ``reports``: ``[host, monitor, address, time]``, if down with ``reason`` and ``cause``
``tries``       likewise, on the next addresses of servers
``overdue``     ``hosts``
``settings``    ``settings``: the fields of the service
==============  ================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pybal.core.events import (
    Adopted,
    Event,
    Gathered,
    Listed,
    Overdue,
    Reconfigured,
    Reported,
    Resolved,
    Tried,
)
from pybal.core.steps import parts
from pybal.journal.values import (
    Document,
    address_of,
    dumps,
    held_of,
    held_value,
    member_of,
    member_value,
    object_in_parts,
    reported_of,
    reported_text,
    service_of,
    service_value,
)


def size_of(event: Event) -> int:
    """Return the number of entries of an event, on which the cost of its record depends."""
    match event:
        case Adopted(held):
            return len(held)
        case Listed(members):
            return len(members)
        case Resolved(addresses):
            return len(addresses)
        case Tried(reports) | Gathered(reports):
            return len(reports)
        case Overdue(hosts):
            return len(hosts)
    return 1


def event_in_parts(event: Event) -> Iterator[str]:
    """Yield the text of the members of an event, without braces; each piece takes little time to make."""
    match event:
        case Adopted(held):
            yield f'"event":"kernel","held":{dumps(held_value(held))}'
        case Listed(members):
            yield '"event":"list","members":'
            # A host that is repeated has its first place and its last value, as in the pool.
            yield from object_in_parts({member.host: member_value(member) for member in members}.items())
        case Resolved(addresses, at):
            yield f'"event":"addresses","looked_up":{at!r},"found":'
            found = ((host, None if where is None else str(where)) for host, where in addresses.items())
            yield from object_in_parts(found)
        case Reported():
            yield from _reports_in_parts("reports", (event,))
        case Gathered(reports):
            yield from _reports_in_parts("reports", reports)
        case Tried(reports):
            yield from _reports_in_parts("tries", reports)
        case Overdue(hosts):
            yield f'"event":"overdue","hosts":{dumps(sorted(hosts))}'
        case Reconfigured(service):
            yield f'"event":"settings","settings":{dumps(service_value(service))}'


def _reports_in_parts(word: str, reports: Iterable[Reported]) -> Iterator[str]:
    yield f'"event":"{word}","reports":'
    mark = "["
    for part in parts(reports):
        yield mark + ",".join(map(reported_text, part))
        mark = ","
    yield "[]" if mark == "[" else "]"


def event_of(record: Document) -> Event:
    """Return the event of a record of a pool; one report is a batch of one.

    Raises the errors of :mod:`pybal.journal.values`.
    """
    return _EVENTS[record["event"]](record)


def is_event(record: Document) -> bool:
    """Return whether a record holds an event."""
    return record.get("event") in _EVENTS


def _reports(values: Sequence[Sequence[Any]]) -> Sequence[Reported]:
    return [reported_of(value) for value in values]


def _found(record: Document) -> Event:
    found = {host: None if where is None else address_of(where) for host, where in record["found"].items()}
    return Resolved(MappingProxyType(found), record["looked_up"])


_EVENTS: Mapping[str, Callable[[Document], Event]] = {
    "kernel": lambda record: Adopted(held_of(record["held"])),
    "list": lambda record: Listed(tuple(member_of(*each) for each in record["members"].items())),
    "addresses": _found,
    "reports": lambda record: Gathered(_reports(record["reports"])),
    "tries": lambda record: Tried(_reports(record["reports"])),
    "overdue": lambda record: Overdue(frozenset(record["hosts"])),
    "settings": lambda record: Reconfigured(service_of(record["settings"])),
}
