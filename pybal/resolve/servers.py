"""The DNS servers of this host, from its resolv.conf.

They are queried in order, beginning with the one that responded last; after an error code (SERVFAIL, REFUSED, …) the next
one is queried. Names are absolute: the search list is ignored.
"""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from twisted.names import dns

from pybal.resolve.dns import DNSClient, NoReply
from pybal.resolve.follow import LookupFailed
from pybal.resolve.message import Response
from pybal.resolve.system_file import SystemFile
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.reactor import Reactor

#: Timeout of a query to one server, in seconds.
TIMEOUT = 4.0

#: Maximum number of servers, as in the C library (MAXNS).
MOST_SERVERS = 3

_RCODES = {dns.EFORMAT: "FORMERR", dns.ESERVER: "SERVFAIL", dns.ENOTIMP: "NOTIMP", dns.EREFUSED: "REFUSED"}


class Unanswered(LookupFailed):
    """No server returned an answer; ``silent`` if none returned an error code either."""

    def __init__(self, reason: str, *, silent: bool) -> None:
        self.silent = silent
        super().__init__(reason, definite=False)


class NameServers:
    """The servers in ``resolv_conf``, which ``files`` reads, queried at ``port``."""

    def __init__(
        self,
        reactor: Reactor,
        resolv_conf: str = "/etc/resolv.conf",
        port: int = 53,
        *,
        files: FileValues | None = None,
    ) -> None:
        self._client = DNSClient(reactor, TIMEOUT)
        self._servers = SystemFile(files or inline(reactor), resolv_conf, nameservers)
        self._port = port
        self._best = ""

    async def ask(self, query: dns.Query) -> Response:
        """Return the first response with code NOERROR or NXDOMAIN. Raises :class:`Unanswered`."""
        failures, silent = [], True
        servers = await self._servers.content()
        for server in sorted(servers, key=lambda server: server != self._best):
            try:
                response = await self._client.ask((server, self._port), query)
            except NoReply as no_reply:
                failures.append(f"{no_reply} from {server}")
                continue
            if response.code in (dns.OK, dns.ENAME):
                self._best = server
                return response
            silent = False
            failures.append(f"{_RCODES.get(response.code, f'code {response.code}')} from {server}")
        raise Unanswered(", ".join(failures), silent=silent)


def nameservers(data: bytes) -> tuple[str, ...]:
    """Return the servers of a resolv.conf(5) file, by default the one on this host."""
    found = []
    for line in data.decode("utf-8", "replace").splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                with contextlib.suppress(ValueError):
                    found.append(str(ip_address(address)))
    return tuple(found[:MOST_SERVERS]) or ("127.0.0.1",)
