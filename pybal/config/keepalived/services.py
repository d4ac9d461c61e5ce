"""The virtual servers of keepalived.conf as services of PyBal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import islice

from pybal.config.convert import SCHEDULER_FLAGS, SCHEDULERS
from pybal.config.keepalived import checks, remarks
from pybal.config.keepalived.checks import Monitor, Note, RealServer
from pybal.config.keepalived.syntax import Statement
from pybal.config.option import Kinds
from pybal.core.model import Address, Member

MOST_ADDRESSES = 256
"""Addresses of one line of a virtual_server_group."""
MOST_SERVICES = 10_000
_HIGHEST_PORT = 65535
_HIGHEST_WEIGHT = 2**31 - 1
_DEFAULT_SCHEDULER = "wlc"
_SYNONYMS = {"lvs_sched": "lb_algo", "lvs_method": "lb_kind"}
_FLAGS = ("flag-1", "flag-2", "sh-port", "sh-fallback", "mh-port", "mh-fallback")
_PROTOCOLS = ("TCP", "UDP")
_READ = (
    {"lb_algo", "lb_kind", "protocol", "quorum", "ops", "real_server", "ip_family", *_FLAGS}
    | checks.INHERITED
    | remarks.QUIET
)


@dataclass(slots=True)
class Pool:
    """The pool file of one virtual server."""

    name: str
    members: dict[str, Member] = field(default_factory=dict)


@dataclass(slots=True)
class ConvertedService:
    """A section of pybal.conf; ``options`` are in order and without ``config``."""

    name: str
    pool: Pool
    statement: Statement
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frontend:
    """An address and a port of a virtual server."""

    vip: Address
    port: int


def frontends(server: Statement, groups: Mapping[str, Statement], note: Note) -> Iterator[Frontend]:
    """Yield the addresses and ports of a virtual server; note those that PyBal cannot serve."""
    match server.words[1:]:
        case ("group", name, *_) if name in groups:
            for line in groups[name].statements:
                yield from _frontends_of(line, line.words, note)
        case ("group", *_):
            note(server, "no virtual_server_group of this name")
        case words:
            yield from _frontends_of(server, words, note)


def _frontends_of(line: Statement, words: Sequence[str], note: Note) -> Iterator[Frontend]:
    if why := line.unexpanded():
        note(line, why)
        return
    if not words or words[0] == "fwmark":
        note(line, "firewall marks are not used (write a service for each address and port that has the mark)")
        return
    port = _port(words[1]) if len(words) > 1 else 0
    if not port:
        note(line, "a service has one port (write a service for each port)")
        return
    addresses = _addresses(words[0])
    if not addresses:
        note(line, f"no address, or a range of more than {MOST_ADDRESSES}")
    for address in addresses:
        if address.is_multicast or address.is_unspecified or getattr(address, "scope_id", None):
            note(line, "not the address of one host")
        else:
            yield Frontend(address, port)


def convert_server(
    server: Statement, found: Sequence[Frontend], name: str, kinds: Kinds, note: Note
) -> Iterator[ConvertedService]:
    """Yield a service for each frontend of a virtual server; all have the pool ``name``."""
    given: dict[str, Statement] = {}
    for each in server.statements:
        if why := each.unexpanded():
            note(each, why)
        elif each.words:
            given[_SYNONYMS.get(each.name, each.name)] = each
            if _SYNONYMS.get(each.name, each.name) not in _READ:
                note(each, remarks.SERVICE.get(each.name, "no equivalent"))
    options = _options(server, given, note)
    if options is None:
        return
    pool = Pool(name)
    defaults = {each: given[each] for each in given if each in checks.INHERITED}
    watching = _real_servers(server, found[0], defaults, pool, kinds=kinds, note=note)
    quorum = _quorum(given.get("quorum"), pool, note)
    for one in found:
        common = {"protocol": options["protocol"], "ip": str(one.vip), "port": str(one.port), **options, **quorum}
        monitors = {"monitors": checks.literal([each.kind for each in watching])} if watching else {}
        shared = {"share-checks": "yes"} if watching and len(found) > 1 else {}
        own = {name: text for each in watching for name, text in each.options.items()}
        yield ConvertedService(service_name(one, options["protocol"]), pool, server, common | monitors | shared | own)


def service_name(one: Frontend, protocol: str) -> str:
    """Return the name of a section, such as ``192.0.2.1_80`` and ``2001-db8--1_53_udp``."""
    return f"{one.vip}_{one.port}".replace(":", "-") + ("" if protocol == "tcp" else f"_{protocol}")


def protocol_of(server: Statement) -> str:
    """Return the protocol of a virtual server in lower case; the default is that of keepalived."""
    stated = _stated_protocol(server)
    return "udp" if stated is None else stated.value.lower()


def _stated_protocol(server: Statement) -> Statement | None:
    return next((each for each in reversed(server.statements) if each.name == "protocol"), None)


def _options(server: Statement, given: Mapping[str, Statement], note: Note) -> dict[str, str] | None:
    """Return the options that all services of a virtual server share, ``None`` for another protocol."""
    protocol, stated = protocol_of(server).upper(), _stated_protocol(server)
    if stated is None:
        note(server, "no protocol; converted as UDP, as keepalived 2 reads it (set protocol = tcp otherwise)")
    elif protocol not in _PROTOCOLS:
        note(stated, "a service is TCP or UDP; the virtual server is left out")
        return None
    options = {"protocol": protocol.lower()}
    scheduler = given["lb_algo"].value if "lb_algo" in given else _DEFAULT_SCHEDULER
    if scheduler not in SCHEDULERS:
        note(given["lb_algo"], f"not a scheduler of PyBal; using {_DEFAULT_SCHEDULER}")
        scheduler = _DEFAULT_SCHEDULER
    options["scheduler"] = scheduler
    wanted = [flag for flag in _FLAGS if flag in given]
    known = SCHEDULER_FLAGS.get(scheduler, ())
    if flags := [flag for flag in wanted if flag in known]:
        options["scheduler-flag"] = ", ".join(flags)
    for flag in wanted:
        if flag not in known:
            note(given[flag], f"not a flag of the scheduler {scheduler}")
    if "ops" in given and protocol == "UDP":
        options["ops"] = "yes"
    elif "ops" in given:
        note(given["ops"], "one-packet scheduling is for UDP only")
    if _forwarding(server, given.get("lb_kind"), note) == "TUN":
        options["tunneling"] = "yes"
    return options


def _forwarding(server: Statement, kind: Statement | None, note: Note) -> str:
    """Return the forwarding method, and note that NAT, which is keepalived's default, needs other servers."""
    method = kind.value.upper() if kind else "NAT"
    if method == "TUN" and kind and kind.words[2:] not in ((), ("type", "ipip")):
        note(kind, "tunnels are IPIP")
    elif method == "NAT":
        note(
            kind or server,
            "PyBal forwards directly or by tunnels instead of NAT (the servers need the VIP, see docs/real-servers.md)",
        )
    elif method not in ("DR", "TUN") and kind:
        note(kind, "not a method of forwarding")
    return method


def _real_servers(
    server: Statement,
    one: Frontend,
    defaults: Mapping[str, Statement],
    pool: Pool,
    *,
    kinds: Kinds,
    note: Note,
) -> tuple[Monitor, ...]:
    """Add the real servers to the pool; return the monitors of the first one."""
    first: tuple[Monitor, ...] | None = None
    for each in server.statements:
        if each.name != "real_server" or each.unexpanded():
            continue
        facts = _facts(each, one, note)
        if facts is None:
            continue
        own = {found.name: found for found in each.statements if found.words and not found.unexpanded()}
        _remark_options(each, own, note)
        if str(facts.address) in pool.members:
            note(each, "the address is in the pool already; a pool has one port")
            continue
        pool.members[str(facts.address)] = Member(str(facts.address), _weight(own.get("weight"), note))
        inherited = {**defaults, **{name: own[name] for name in own if name in checks.INHERITED}}
        watching = tuple(checks.monitors(each, facts, inherited, kinds, note))
        if first is None:
            first = watching
        elif watching != first:
            note(each, "its checks differ from those of the first server; PyBal checks all servers of a service alike")
    if not pool.members:
        note(server, "no real server; the pool file is empty")
    return first or ()


def _facts(server: Statement, one: Frontend, note: Note) -> RealServer | None:
    try:
        address = ip_address(server.value)
    except ValueError:
        note(server, "not an address")
        return None
    if address.version != one.vip.version or getattr(address, "scope_id", None):
        note(server, "its address is not of the family of the VIP; it is left out")
        return None
    port = _port(server.words[2]) if len(server.words) > 2 else 0  # noqa: PLR2004  real_server ADDRESS PORT
    if port not in (0, one.port):
        note(server, f"PyBal does not translate ports (the server must listen on the port of the VIP, {one.port})")
    return RealServer(address, port, one.vip, one.port)


def _remark_options(server: Statement, own: Mapping[str, Statement], note: Note) -> None:
    known = checks.INHERITED | remarks.QUIET | checks.MONITORS.keys() | checks.WITHOUT_MONITOR.keys() | {"weight"}
    for name, statement in own.items():
        if name in ("lvs_method", "lb_kind"):
            note(statement, "all servers of a service have one method of forwarding (tunneling)")
        elif name not in known:
            note(statement, remarks.SERVICE.get(name, "no equivalent"))
    for statement in server.statements:
        if why := statement.unexpanded():
            note(statement, why)


def _weight(statement: Statement | None, note: Note) -> int:
    if statement is None:
        return 1
    text = statement.value
    if text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_WEIGHT)) and int(text) <= _HIGHEST_WEIGHT:
        return int(text)
    note(statement, "not a weight; using 1")
    return 1


def _quorum(statement: Statement | None, pool: Pool, note: Note) -> dict[str, str]:
    """Return a quorum of weights as a number of servers."""
    weights = {member.weight for member in pool.members.values()}
    if statement is None or statement.value == "1":
        return {}
    digits = statement.value
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9 or not int(digits) or len(weights) != 1:  # noqa: PLR2004
        note(
            statement, "a quorum of different weights has no equivalent (set bgp-withdraw-below to a number of servers)"
        )
        return {}
    least = -(-int(digits) // max(1, *weights, 1))
    if least > len(pool.members):
        note(statement, "more than the weight of all servers (set bgp-withdraw-below to a number of servers)")
        return {}
    return {"bgp-withdraw-below": str(least)}


def _addresses(text: str) -> list[Address]:
    """Return the addresses of a range such as 192.0.2.1-9, a network, or one address; empty if invalid."""
    low, dash, high = text.partition("-")
    try:
        if "/" in text:
            network = ip_network(text, strict=False)
            return list(islice(network, MOST_ADDRESSES)) if network.num_addresses <= MOST_ADDRESSES else []
        first = ip_address(low)
        last = _last(low, high) if dash else first
        count = int(last) - int(first) + 1
    except ValueError:
        return []
    if last.version != first.version or not 0 < count <= MOST_ADDRESSES:
        return []
    return [type(first)(int(first) + step) for step in range(count)] if dash else [first]


def _last(low: str, high: str) -> Address:
    """Return the last address of a range, written whole or as its last part."""
    if "." in high or ":" in high:
        return ip_address(high)
    separator = ":" if ":" in low else "."
    return ip_address(f"{low.rpartition(separator)[0]}{separator}{high}")


def _port(text: str) -> int:
    """Return a port, 0 for an invalid one."""
    valid = text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_PORT))
    return int(text) if valid and int(text) <= _HIGHEST_PORT else 0
