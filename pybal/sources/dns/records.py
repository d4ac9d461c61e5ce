"""SRV records (RFC 2782) to members. Pure.

::

    _http._tcp.example.org.  300  IN  SRV  PRIORITY WEIGHT PORT TARGET

What becomes of each field: only the records of the lowest priority count; the weight is that of IPVS, but 1 for 0, which
here means *little* and there *none*; the port is compared with the service's, for no server is reached at another one; the
target is the host. A target of ``.`` alone says that there is nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.entry import Entry, Refused, member
from pybal.sources.formats.text import Listing, summary


@dataclass(frozen=True, slots=True)
class SRVRecord:
    """One record; the target is without its last dot, so empty for ``.``."""

    priority: int
    weight: int
    port: int
    target: str


def listing(records: Sequence[SRVRecord], port: int, last: Sequence[Member] | None) -> Listing:
    """Return the members by host, and what is wrong; ``port`` is the service's, 0 if it is not known.

    A record of another port counts, and is a problem, unless there is one of the service's for the same host. A record of
    port 0 says nothing of it. An entry that is wrong leaves its host as it was in the ``last`` good list.

    Raises :class:`SourceError` for no records at all, and where all are wrong.
    """
    if not records:
        raise SourceError("no SRV record", Trouble.EMPTY)
    known = {member.host: member for member in last or ()}
    targets = [record for record in records if record.target]
    lowest = min((record.priority for record in targets), default=0)
    hosts: dict[str, list[SRVRecord]] = {}
    for record in targets:
        if record.priority == lowest:
            hosts.setdefault(record.target.lower(), []).append(record)
    members: dict[str, Member] = {}
    problems = ["a target of . beside others"] if hosts and len(targets) < len(records) else []
    for host in sorted(hosts):
        chosen = _of_port(hosts[host], port)
        try:
            members[host] = _member(host, chosen)
        except Refused as refused:
            problems.append(str(refused))
            if host in known:
                members[host] = known[host]
        else:
            problems += _doubts(host, chosen, port)
    if problems and not members:
        raise SourceError(summary(problems))
    return Listing(tuple(members.values()), tuple(problems))


def _of_port(records: Sequence[SRVRecord], port: int) -> Sequence[SRVRecord]:
    """Return those of the service's port, or else those of the lowest."""
    ports = {record.port for record in records}
    wanted = port if port in ports else min(ports)
    return [record for record in records if record.port == wanted]


def _member(host: str, records: Iterable[SRVRecord]) -> Member:
    weights = sorted({record.weight for record in records})
    if len(weights) > 1:
        raise Refused(f"host {host} has weights {' and '.join(map(str, weights))}, wanted one")
    return member(Entry("", host, {"weight": max(weights[0], 1)}, ""), ())


def _doubts(host: str, records: Sequence[SRVRecord], port: int) -> Iterable[str]:
    found = records[0].port
    if port and found not in (0, port):
        yield f"host {host} has port {found}, wanted {port}: servers are reached at the port of the service"
