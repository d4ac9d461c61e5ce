"""The records of the journal as lines of text. Pure.

Each line is a JSON object with ``n`` (its number in this run of the daemon), ``at`` (monotonic seconds) and ``time`` (UTC):

==============  ==============================================================================
record          further members
==============  ==============================================================================
a header        ``journal``: the version of the format, ``pybal``, ``host``, ``run``, ``first``, ``lost``
``pool``        the state of a pool: ``service``, ``settings``, ``listed``, ``held``, ``servers``
an event        see :mod:`pybal.journal.codec`; ``pool``, ``service``, and its outcome: ``placed``, ``serving``
``end``         ``pool``: the service was removed
``bgp``         see :mod:`pybal.journal.announcements`
``decision``    likewise
``alert``       ``kind``, ``service``, ``subject``; ``text`` and ``since`` (UTC), or ``over``
``note``        ``text``: a fact that is no event of the core
``stop``        the daemon stopped
==============  ==============================================================================

The lines of its servers follow a ``pool``, without ``n``, ``at`` and ``time``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pybal.bgp.verdict import Memory, Verdict
from pybal.core.events import Event
from pybal.core.model import Address, Alert, AlertKey, Pool
from pybal.core.steps import parts
from pybal.journal.announcements import (
    AnnouncementSettings,
    Drains,
    Facts,
    drains_value,
    facts_value,
    memory_value,
    settings_value,
    verdict_value,
)
from pybal.journal.codec import event_in_parts
from pybal.journal.values import dumps, held_value, server_value, service_value

VERSION = 1
HEAD = b'{"journal":'
"""The beginning of a header, and of no other line."""

Record = Iterator[str]
"""The text of a record after its head, in pieces that take little time to make."""


def header(n: int, at: float, time: str) -> str:
    """Return the beginning of a header."""
    return f"{HEAD.decode()}{VERSION},{_head(n, at, time)}"


def head(n: int, at: float, time: str) -> str:
    """Return the beginning of each record."""
    return "{" + _head(n, at, time)


def _head(n: int, at: float, time: str) -> str:
    return f'"n":{n},"at":{at!r},"time":"{time}",'


def plain(**members: Any) -> Record:  # noqa: ANN401  # any JSON
    """Yield a record of these members."""
    yield dumps(members)[1:] + "\n"


def alert_record(alert: Alert, since: str) -> Record:
    """Yield the record of an alert that is present since a time, in UTC."""
    yield from plain(event="alert", **alert.key._asdict(), text=alert.text, since=since)


def alert_end_record(key: AlertKey) -> Record:
    """Yield the record of the end of an alert."""
    yield from plain(event="alert", **key._asdict(), over=True)


def pool_in_parts(number: int, pool: Pool) -> Record:
    """Yield the record of a pool and the lines of its servers."""
    service = pool.service
    members = {
        "event": "pool",
        "pool": number,
        "service": service.name,
        "settings": service_value(service),
        "listed": pool.listed,
        "held": held_value(pool.held),
        "servers": len(pool.servers),
    }
    yield dumps(members)[1:] + "\n"
    for part in parts(pool.servers.values()):
        # A tenth of a part: a server takes ten times as long as a member.
        for start in range(0, len(part), 50):
            yield "".join(dumps(server_value(server)) + "\n" for server in part[start : start + 50])


def event_record(number: int, service: str, event: Event, placed: Mapping[str, str], serving: int) -> Record:
    """Yield the record of an event with its outcome: changed placements, and how many servers serve."""
    yield f'"pool":{number},"service":{dumps(service)},'
    yield from event_in_parts(event)
    yield f',"placed":{dumps(placed)},"serving":{serving}}}\n'


def settings_record(
    settings: AnnouncementSettings,
    facts: Mapping[str, Facts] | None = None,
    drains: Drains | None = None,
    memory: Memory | None = None,
    verdicts: Sequence[Verdict] = (),
) -> Record:
    """Yield the record of the settings of the decisions; with the memory, their whole state."""
    members = {"event": "bgp", **settings_value(settings)}
    if memory is not None:
        members |= {
            "facts": facts_value(facts or {}),
            "drains": drains_value(drains or {}),
            "memory": memory_value(memory),
            "verdicts": list(map(verdict_value, verdicts)),
        }
    yield dumps(members)[1:] + "\n"


def decision_record(
    facts: Mapping[str, Facts],
    drains: Drains | None,
    forgotten: Sequence[str],
    verdicts: Sequence[Verdict],
    gone: Sequence[Address],
) -> Record:
    """Yield the record of a decision: what differs from the one before."""
    members: dict[str, Any] = {"event": "decision"}
    if forgotten:
        members["forgotten"] = list(forgotten)
    if facts:
        members["facts"] = facts_value(facts)
    if drains is not None:
        members["drains"] = drains_value(drains)
    if verdicts:
        members["verdicts"] = list(map(verdict_value, verdicts))
    if gone:
        members["gone"] = list(map(str, gone))
    yield dumps(members)[1:] + "\n"
