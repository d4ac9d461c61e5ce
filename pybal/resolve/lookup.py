"""The lookup of this host: its hosts file, then its DNS servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from twisted.names import dns

from pybal.core.model import Address
from pybal.resolve.follow import Lookup, LookupFailed, LookupResult
from pybal.resolve.message import Response
from pybal.resolve.servers import NameServers
from pybal.resolve.system_file import SystemFile
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.reactor import Reactor

#: Time to live of the entries of the hosts file, in seconds.
HOSTS_TTL = 30.0

_TYPES = {4: dns.A, 6: dns.AAAA}
_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
_NAME = re.compile(r"(?=.{1,253}$)[!-\-/-~]{1,63}(?:\.[!-\-/-~]{1,63})*")


def dns_lookup(
    reactor: Reactor,
    *,
    hosts: str = "/etc/hosts",
    resolv_conf: str = "/etc/resolv.conf",
    port: int = 53,
    files: FileValues | None = None,
) -> Lookup:
    """Return the lookup of this host; ``port`` is that of its DNS servers, ``files`` reads the files."""
    return _SystemLookup(reactor, hosts, resolv_conf, port, files or inline(reactor)).look_up


class _SystemLookup:
    def __init__(self, reactor: Reactor, hosts: str, resolv_conf: str, port: int, files: FileValues) -> None:
        self._hosts = SystemFile(files, hosts, _addresses)
        self._servers = NameServers(reactor, resolv_conf, port, files=files)

    async def look_up(self, host: str, version: int) -> LookupResult:
        """Return the addresses of ``host`` in a family, 4 or 6. Raises LookupFailed."""
        name = host.lower().removesuffix(".")
        hosts = await self._hosts.content()
        local = tuple(a for a in hosts.get(name, ()) if a.version == version)
        if not local and (name == "localhost" or name.endswith(".localhost")):
            local = (_LOOPBACK[version],)  # never sent to DNS: RFC 6761 §6.3
        if local:
            return LookupResult(local, HOSTS_TTL)
        if not _NAME.fullmatch(name):
            raise LookupFailed("not a valid DNS name", definite=True)
        kind = _TYPES[version]
        return _answer(await self._servers.ask(dns.Query(name.encode("ascii"), kind)), kind)


def _answer(response: Response, wanted: int) -> LookupResult:
    if response.code == dns.ENAME:
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    found = [record.data for record in response.records if record.kind == wanted and isinstance(record.data, Address)]
    # DNS filters return 0.0.0.0 and ::, which would connect to this host.
    addresses = tuple(address for address in found if not (address.is_unspecified or address.is_multicast))
    if not addresses:
        raise LookupFailed(f"no {dns.QUERY_TYPES[wanted]} record", definite=True)
    return LookupResult(addresses, min(record.ttl for record in response.records))


def _addresses(data: bytes) -> Mapping[str, list[Address]]:
    """Return the addresses of each name (lower case) in a hosts(5) file."""
    found: dict[str, list[Address]] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        address, *names = line.partition("#")[0].lower().split() or [""]
        try:
            parsed = ip_address(address)
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.removesuffix("."), []).append(parsed)
    return found
