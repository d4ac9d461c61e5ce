"""Where the members of an etcd are, and which of them is asked: one at a time, and after a failure the next.

The members are those of the section about the server, or those that SRV records of its domain name, or those of the URL.
Only when all of them have failed in a row are there pauses that grow, and is DNS asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import parse_qs

from twisted.names import dns

from pybal.config.settings import SourceSettings
from pybal.sources.base import SourceError, Trouble

#: The port of an etcd whose URL names none.
PORT = 2379

#: Seconds at most before another member is tried; it is soon, but not for all sources at the same moment.
SOON = 0.1

#: Seconds at most after all members have failed, the first time and in the end.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0

_FACTOR = 1.5
_JITTER = 0.25

#: The services whose SRV records name members that speak TLS, and those that do not; conftool knows the last one only.
SECURE_SERVICES = ("_etcd-client-ssl._tcp", "_etcd._tcp")
PLAIN_SERVICES = ("_etcd-client._tcp", "_etcd._tcp")

Ask = Callable[[dns.Query], Awaitable[dns.Message]]
"""Asks the DNS servers of this host; what it raises says why there is no answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a member listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Directory:
    """What ``etcd://host:port,…/path?api=3`` says: ``path`` begins with a slash and does not end in one."""

    endpoints: tuple[Endpoint, ...]
    path: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def api(self) -> str:
        """The version of the API that is asked for."""
        return dict(self.options).get("api", "2")


def directory(url: str) -> Directory:
    """Return what a URL whose scheme is etcd says; credentials in it count for nothing."""
    rest, _, query = url.partition("://")[2].partition("?")
    authority, _, path = rest.partition("/")
    hosts = authority.rpartition("@")[2].split(",")
    options = tuple((name, values[-1]) for name, values in parse_qs(query, keep_blank_values=True).items())
    return Directory(tuple(map(endpoint, hosts)), "/" + path.strip("/"), options)


def endpoint(text: str) -> Endpoint:
    """Return where ``host:port`` is, or ``host``, which may be an IPv6 address in brackets."""
    bracketed, _, after = text.rpartition("]")
    if bracketed:
        return Endpoint(bracketed[1:], int(after[1:] or PORT))
    host, _, port = text.partition(":")
    return Endpoint(host, int(port or PORT))


class Endpoints:
    """The members in turn, for one source: each begins at a random one. ``ask`` is needed for discovery by DNS only."""

    def __init__(self, settings: SourceSettings, *, ask: Ask, random: Random) -> None:
        access = settings.access
        self._random = random
        self._ask = ask
        self._domain = access.discovery
        self._services = SECURE_SERVICES if access.tls else PLAIN_SERVICES
        self._known: Sequence[Endpoint] = ()
        self._turn = 0
        self._failures = 0
        self._pause = FIRST_PAUSE
        if not self._domain:
            self._take(tuple(map(endpoint, access.endpoints)) or directory(settings.url).endpoints)

    async def current(self) -> Endpoint:
        """Return the member whose turn it is. Raises :class:`SourceError` while DNS names none."""
        if self._domain and self.exhausted:
            try:
                found = await self._discovered()
            except SourceError:
                if not self._known:
                    raise
            else:
                if set(found) != set(self._known):
                    self._take(found)
        return self._known[self._turn % len(self._known)]

    def good(self) -> None:
        """Stay with the member whose turn it is: it has shown that it can be followed."""
        self._failures = 0
        self._pause = FIRST_PAUSE

    def failed(self) -> float:
        """Give the turn to the next; return how many seconds to wait before."""
        self._turn += 1
        self._failures += 1
        if not self.exhausted:
            return SOON * self._random.random()
        pause, self._pause = self._pause, min(self._pause * _FACTOR, LONGEST_PAUSE)
        return pause * (1 - _JITTER * self._random.random())

    @property
    def exhausted(self) -> bool:
        """Whether all members have failed since one was good, or none is known."""
        return not self._known or (self._failures > 0 and self._failures % len(self._known) == 0)

    def _take(self, endpoints: Sequence[Endpoint]) -> None:
        self._known = endpoints
        self._turn = self._random.randrange(len(endpoints))

    async def _discovered(self) -> Sequence[Endpoint]:
        """Return the members that SRV records name: those of the first of the services that has any."""
        why = "no SRV records"
        for service in self._services:
            name = f"{service}.{self._domain}"
            try:
                message = await self._ask(dns.Query(name.encode("ascii"), dns.SRV))
            except Exception as error:  # noqa: BLE001  # whatever asks has its own, and says why
                why = str(error)
                continue
            records: list[Any] = [answer.payload for answer in message.answers if answer.type == dns.SRV]
            found = [Endpoint(str(record.target), record.port) for record in records if str(record.target)]
            if found:
                return sorted(found, key=str)
        names = " or ".join(f"{service}.{self._domain}" for service in self._services)
        raise SourceError(f"{names}: {why}, wanted the members of an etcd", Trouble.UNREACHABLE)
