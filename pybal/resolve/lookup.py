"""The lookup of this host: its hosts file first, then the servers of its resolv.conf.

Both files are read again when they change. Of resolv.conf only ``nameserver`` counts: names are asked for as they are
written, without a search list. Servers are asked one after the other, beginning with the one that answered last; a
server that says it cannot tell (SERVFAIL, REFUSED, …) leaves the word to the next.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.names import dns

from pybal.model import Address
from pybal.resolve.dns import Client, NoReply
from pybal.resolve.follow import Answer, Lookup, LookupFailed

#: Each server has so many seconds to answer.
TIMEOUT = 4.0

#: What the hosts file says is good for so many seconds.
HOSTS_TTL = 30.0

#: As many servers of resolv.conf are used as by the C library.
MOST_SERVERS = 3

_TYPES = {4: dns.A, 6: dns.AAAA}
_RCODES = {dns.EFORMAT: "FORMERR", dns.ESERVER: "SERVFAIL", dns.ENOTIMP: "NOTIMP", dns.EREFUSED: "REFUSED"}
_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
_NAME = re.compile(r"(?=.{1,253}$)[!-\-/-~]{1,63}(?:\.[!-\-/-~]{1,63})*")

T = TypeVar("T")


def dns_lookup(
    reactor: Any,  # noqa: ANN401  # as in pybal.app
    *,
    hosts: str = "/etc/hosts",
    resolv_conf: str = "/etc/resolv.conf",
    port: int = 53,
) -> Lookup:
    """Return the lookup of this host; its DNS servers are asked at ``port``."""
    return _SystemLookup(reactor, hosts, resolv_conf, port).look_up


class _SystemLookup:
    def __init__(self, reactor: Any, hosts: str, resolv_conf: str, port: int) -> None:  # noqa: ANN401  # as above
        self._client = Client(reactor, TIMEOUT)
        self._hosts = _Parsed(hosts, _addresses)
        self._servers = _Parsed(resolv_conf, _nameservers)
        self._port = port
        self._best = ""

    async def look_up(self, host: str, version: int) -> Answer:
        """Return the addresses of ``host`` in a family, 4 or 6. Raises LookupFailed."""
        name = host.lower().removesuffix(".")
        local = tuple(a for a in self._hosts.value().get(name, ()) if a.version == version)
        if not local and (name == "localhost" or name.endswith(".localhost")):
            local = (_LOOPBACK[version],)  # never asked of DNS: RFC 6761 §6.3
        if local:
            return Answer(local, HOSTS_TTL)
        if not _NAME.fullmatch(name):
            raise LookupFailed("not a name that DNS could know", definite=True)
        return await self._ask(dns.Query(name.encode("ascii"), _TYPES[version]))

    async def _ask(self, query: dns.Query) -> Answer:
        failures = []
        for server in sorted(self._servers.value(), key=lambda server: server != self._best):
            try:
                message = await self._client.ask((server, self._port), query)
            except NoReply as silent:
                failures.append(f"{silent} from {server}")
                continue
            if message.rCode in (dns.OK, dns.ENAME):
                self._best = server
                return _answer(message, query.type)
            failures.append(f"{_RCODES.get(message.rCode, f'code {message.rCode}')} from {server}")
        raise LookupFailed(", ".join(failures), definite=False)


def _answer(message: dns.Message, wanted: int) -> Answer:
    if message.rCode == dns.ENAME:
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    payloads: list[Any] = [record.payload for record in message.answers if record.type == wanted]
    found = [ip_address(payload.address) for payload in payloads]
    # 0.0.0.0 and :: are what filters answer with, and would be this host.
    addresses = tuple(address for address in found if not (address.is_unspecified or address.is_multicast))
    if not addresses:
        raise LookupFailed(f"no {dns.QUERY_TYPES[wanted]} record", definite=True)
    return Answer(addresses, min(record.ttl for record in message.answers))


class _Parsed(Generic[T]):
    """What a small file says, read again when its stat changes; like an empty file where it cannot be read."""

    def __init__(self, path: str, parse: Callable[[str], T]) -> None:
        self._path = Path(path)
        self._parse = parse
        self._stat: tuple[int, ...] | None = None
        self._value = parse("")

    def value(self) -> T:
        try:
            stat = self._path.stat()
            seen: tuple[int, ...] | None = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            text = self._path.read_text("utf-8", "replace") if seen != self._stat else None
        except OSError:
            seen, text = None, ""
        if text is not None:
            self._stat, self._value = seen, self._parse(text)
        return self._value


def _addresses(text: str) -> Mapping[str, list[Address]]:
    """Return the addresses of each name in a hosts(5) file, in lower case."""
    found: dict[str, list[Address]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].lower().split() or [""]
        try:
            parsed = ip_address(address)
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.removesuffix("."), []).append(parsed)
    return found


def _nameservers(text: str) -> tuple[str, ...]:
    """Return the servers of a resolv.conf(5) file; without any that is the one on this host."""
    found = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                with contextlib.suppress(ValueError):
                    found.append(str(ip_address(address)))
    return tuple(found[:MOST_SERVERS]) or ("127.0.0.1",)
