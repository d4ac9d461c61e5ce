"""SRV records (RFC 2782) to members. Pure.

::

    _http._tcp.example.org.  300  IN  SRV  PRIORITY WEIGHT PORT TARGET

=========  ===========================================================================================================
field      use
=========  ===========================================================================================================
priority   only records of the lowest priority are used
weight     the IPVS weight; 0 becomes 1, because 0 means a low share of connections in DNS, but none in IPVS
port       compared with the port of the service, at which servers are reached
target     the host; a single ``.`` means an empty list
=========  ===========================================================================================================
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
    """One record; ``target`` has no trailing dot, so it is empty for ``.``."""

    priority: int
    weight: int
    port: int
    target: str


def listing(records: Sequence[SRVRecord], port: int, last: Sequence[Member] | None) -> Listing:
    """Return the members sorted by host, and the problems; ``port`` is that of the service, 0 if unknown.

    A record with a different port is used and reported, unless the host also has a record with the service's port. Port 0
    matches any. A host with an invalid record stays as in the ``last`` good list.

    Raises :class:`SourceError` if there are no records, or all are invalid.
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
    problems = ["target . in addition to other targets"] if hosts and len(targets) < len(records) else []
    for host in sorted(hosts):
        chosen = _of_port(hosts[host], port)
        try:
            members[host] = _member(host, chosen)
        except Refused as refused:
            problems.append(str(refused))
            if host in known:
                members[host] = known[host]
        else:
            problems += _port_problems(host, chosen, port)
    if problems and not members:
        raise SourceError(summary(problems))
    return Listing(tuple(members.values()), tuple(problems))


def _of_port(records: Sequence[SRVRecord], port: int) -> Sequence[SRVRecord]:
    """Return the records with the service's port, else those with the lowest port."""
    ports = {record.port for record in records}
    wanted = port if port in ports else min(ports)
    return [record for record in records if record.port == wanted]


def _member(host: str, records: Iterable[SRVRecord]) -> Member:
    weights = sorted({record.weight for record in records})
    if len(weights) > 1:
        raise Refused(f"host {host} has weights {' and '.join(map(str, weights))}, wanted one")
    return member(Entry("", host, {"weight": max(weights[0], 1)}, ""), ())


def _port_problems(host: str, records: Sequence[SRVRecord], port: int) -> Iterable[str]:
    found = records[0].port
    if port and found not in (0, port):
        yield f"host {host} has port {found}, wanted {port} (servers are reached at the port of the service)"
