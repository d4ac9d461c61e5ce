"""The DNS servers of this host: those of its resolv.conf, read again when it changes.

They are asked one after the other, beginning with the one that answered last; a server that says it cannot tell
(SERVFAIL, REFUSED, …) leaves the word to the next. Names are asked for as they are, without a search list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.names import dns

from pybal.resolve.dns import DNSClient, NoReply
from pybal.resolve.follow import LookupFailed

#: Each server has so many seconds to answer.
TIMEOUT = 4.0

#: As many servers of resolv.conf are used as by the C library.
MOST_SERVERS = 3

_RCODES = {dns.EFORMAT: "FORMERR", dns.ESERVER: "SERVFAIL", dns.ENOTIMP: "NOTIMP", dns.EREFUSED: "REFUSED"}

T = TypeVar("T")


class Unanswered(LookupFailed):
    """No server answered; ``silent`` tells that none of them said anything, not even that it cannot tell."""

    def __init__(self, reason: str, *, silent: bool) -> None:
        self.silent = silent
        super().__init__(reason, definite=False)


class NameServers:
    """The servers that ``resolv_conf`` names, asked at ``port``."""

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        resolv_conf: str = "/etc/resolv.conf",
        port: int = 53,
    ) -> None:
        self._client = DNSClient(reactor, TIMEOUT)
        self._servers = ParsedFile(resolv_conf, _nameservers)
        self._port = port
        self._best = ""

    async def ask(self, query: dns.Query) -> dns.Message:
        """Return the first answer that there are records, or that there is no such name. Raises :class:`Unanswered`."""
        failures, silent = [], True
        for server in sorted(self._servers.value(), key=lambda server: server != self._best):
            try:
                message = await self._client.ask((server, self._port), query)
            except NoReply as no_reply:
                failures.append(f"{no_reply} from {server}")
                continue
            if message.rCode in (dns.OK, dns.ENAME):
                self._best = server
                return message
            silent = False
            failures.append(f"{_RCODES.get(message.rCode, f'code {message.rCode}')} from {server}")
        raise Unanswered(", ".join(failures), silent=silent)


class ParsedFile(Generic[T]):
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


def _nameservers(text: str) -> tuple[str, ...]:
    """Return the servers of a resolv.conf(5) file; without any that is the one on this host."""
    found = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                with contextlib.suppress(ValueError):
                    found.append(str(ip_address(address)))
    return tuple(found[:MOST_SERVERS]) or ("127.0.0.1",)
