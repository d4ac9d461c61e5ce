"""The conversion of keepalived.conf to pybal.conf and its pool files. Pure.

A part without an equivalent becomes a comment at its place and a remark. PyBal's defaults stay: a server is pooled after its
first passed check, and depool-threshold keeps half of a pool in service even if it fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pybal.config.keepalived import remarks
from pybal.config.keepalived.services import (
    MOST_SERVICES,
    ConvertedService,
    Frontend,
    Pool,
    convert_server,
    frontends,
    protocol_of,
    service_name,
)
from pybal.config.keepalived.syntax import FileReader, Parsed, Place, Remark, Statement, parse
from pybal.config.option import Kinds
from pybal.core.text import first_of, printable

DIRECTORY = "/etc/pybal/pools"
"""The folder of the pool files that pybal.conf names."""
_MOST_PLACES = 5
_MOST_ADDRESSES = 20

_HEAD = """\
# Converted from {file} by `pybal convert`. Check it with: pybal check-config -c FILE
#
# Defaults that differ from keepalived: a server is pooled after its first passed check (initial-state), and at least
# half of the servers of a service stay pooled even if they fail (depool-threshold).

[global]
instrumentation = yes

# VIPs are announced by BGP, docs/bgp-routers.md:
#bgp = yes
#bgp-local-asn = 64600
#bgp-peer-address = 192.0.2.251
#bgp-nexthop-ipv4 = 192.0.2.10"""


@dataclass(slots=True)
class Conversion:
    """The text of pybal.conf, that of each pool file by its name, and the remarks by place."""

    text: str
    pools: Mapping[str, str]
    remarks: tuple[Remark, ...]


@dataclass(slots=True)
class _Part:
    """The services and the remarks of one statement of the file."""

    services: list[ConvertedService] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def note(self, statement: Statement, why: str) -> None:
        """Add a remark about a statement."""
        self.remarks.append(Remark(statement.place, f"{statement}: {why}" if statement.words else why))


def convert(
    name: str, text: str, read: FileReader, kinds: Kinds, directory: str = DIRECTORY, *, with_pools: bool = True
) -> Conversion:
    """Return the conversion of a file; ``read`` reads those it includes.

    ``kinds`` are those of monitors. The pool files are in ``directory``; ``with_pools`` shows them as comments.
    Raises :class:`pybal.config.keepalived.syntax.SyntaxLimitError`.
    """
    parsed = parse(name, text, read)
    parts = list(_Converter(parsed, kinds).parts())
    pools: dict[str, Pool] = {each.pool.name: each.pool for part in parts for each in part.services}
    if not pools:
        parts.append(
            _Part(remarks=[Remark(Place(name, 1), "no service: the file has no virtual server that PyBal can serve")])
        )
    lines = [_HEAD.format(file=printable(name)), *_paragraph(parsed.remarks)]
    written = {pool: _pool_text(pools[pool]) for pool in pools}
    shown_pools = dict(written) if with_pools else {}
    for part in parts:
        lines += _part_lines(part, directory, shown_pools)
    found = [*parsed.remarks, *(remark for part in parts for remark in part.remarks)]
    order = {place: number for number, place in enumerate(dict.fromkeys(each.place.file for each in found))}
    found.sort(key=lambda remark: (order[remark.place.file], remark.place.line))
    return Conversion("".join(f"{line}\n" for line in lines), written, tuple(dict.fromkeys(found)))


class _Converter:
    """Converts the statements of a file one by one."""

    def __init__(self, parsed: Parsed, kinds: Kinds) -> None:
        self._parsed = parsed
        self._kinds = kinds
        self._names = set[str]()
        self._left = MOST_SERVICES
        self._used = {
            each.words[2]
            for each in parsed.statements
            if each.words[:2] == ("virtual_server", "group") and each.words[2:]
        }
        self._groups = {
            each.value: each
            for each in parsed.statements
            if each.name == "virtual_server_group" and each.block is not None
        }

    def parts(self) -> Iterator[_Part]:
        """Yield each statement with its services and remarks."""
        for statement in self._parsed.statements:
            part = _Part()
            if why := statement.unexpanded():
                part.note(statement, why)
            elif statement.name == "virtual_server":
                self._add_services(statement, part)
            elif statement.name == "global_defs":
                for each in statement.statements:
                    if each.name not in remarks.QUIET and not each.name.startswith("vrrp_"):
                        part.note(each, each.unexpanded() or remarks.GLOBAL.get(each.name, "no equivalent"))
            elif statement.name == "virtual_server_group":
                if statement.value not in self._used:
                    part.note(statement, "no virtual server uses it")
            elif statement.name not in remarks.QUIET:
                part.note(statement, _reason(statement))
            yield part

    def _add_services(self, server: Statement, part: _Part) -> None:
        found = list(islice(frontends(server, self._groups, part.note), self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            self._left = 0
            part.note(server, f"more than {MOST_SERVICES} addresses in the file; left out")
            return
        protocol = protocol_of(server)
        fresh: list[Frontend] = []
        for one in dict.fromkeys(found):
            name = service_name(one, protocol)
            if name in self._names:
                part.note(server, f"a second virtual server with protocol, address and port of {name}; it is left out")
            else:
                self._names.add(name)
                fresh.append(one)
        if fresh:
            pool = service_name(fresh[0], protocol)
            part.services += convert_server(server, fresh, pool, self._kinds, part.note)


def _reason(statement: Statement) -> str:
    why = remarks.TOP.get(statement.name, "no equivalent")
    addresses = [
        each.name
        for block in statement.statements
        if block.name.startswith("virtual_ipaddress")
        for each in block.statements
        if each.words
    ]
    return f"{why}; its addresses: {first_of(addresses, _MOST_ADDRESSES)}" if addresses else why


def _part_lines(part: _Part, directory: str, pools: dict[str, str]) -> Iterator[str]:
    if not part.services:
        yield from _paragraph(part.remarks)
    for number, service in enumerate(part.services):
        yield ""
        yield f"[{service.name}]"
        if not number:
            yield from _comments(part.remarks)
        for option in ("protocol", "ip", "port", "scheduler"):
            yield f"{option} = {service.options[option]}"
        yield f"config = file://{directory}/{service.pool.name}"
        if text := pools.pop(service.pool.name, ""):
            yield from (f"#   {line}" for line in text.splitlines())
        for option, value in service.options.items():
            if option not in ("protocol", "ip", "port", "scheduler"):
                yield f"{option} = {value}"


def _paragraph(found: list[Remark]) -> Iterator[str]:
    if found:
        yield ""
        yield from _comments(found)


def _comments(found: list[Remark]) -> Iterator[str]:
    """Yield a comment for each text, with its places."""
    places: dict[str, list[Place]] = {}
    for remark in sorted(found, key=lambda remark: remark.place.line):
        places.setdefault(remark.text, []).append(remark.place)
    for text, where in places.items():
        lines = ", ".join(str(place.line) for place in where[1:_MOST_PLACES])
        more = f" and {len(where) - _MOST_PLACES} more" if len(where) > _MOST_PLACES else ""
        yield f"# {printable(str(where[0]))}{', ' if lines else ''}{lines}{more}: {printable(text)}"


def _pool_text(pool: Pool) -> str:
    return "".join(
        f"{{'host': '{member.host}', 'weight': {member.weight}, 'enabled': True}}\n" for member in pool.members.values()
    )
