"""Members of an etcd cluster, with failover: a source uses one member until it fails, then the next.

The members come from the section of the server, from SRV records of its domain name, or from the URL. Retries are
immediate until all members have failed in a row; then exponential back-off applies and DNS is queried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import parse_qs

from twisted.names import dns
from typing_extensions import override

from pybal.config.settings import SourceSettings
from pybal.http.errors import ProtocolError
from pybal.resolve.message import Response, Target
from pybal.runtime.backoff import Backoff
from pybal.runtime.lines import LineTooLong
from pybal.sources.base import SourceError, Trouble, source_error

#: The default port of etcd.
PORT = 2379

#: Longest pause before the next member is tried, in seconds; random, because many sources fail at the same moment.
SOON = 0.1

#: Limits of the back-off after all members have failed, in seconds.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0

#: SRV services of members with TLS, and of those without; the last one of each is the one that conftool uses.
SECURE_SERVICES = ("_etcd-client-ssl._tcp", "_etcd._tcp")
PLAIN_SERVICES = ("_etcd-client._tcp", "_etcd._tcp")

Ask = Callable[[dns.Query], Awaitable[Response]]
"""Queries the DNS servers of this host; raises an exception whose text is the reason for a failure."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The host and port of one member."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Directory:
    """The parts of ``etcd://host:port,…/path?api=3``; ``path`` has a slash at its beginning only."""

    endpoints: tuple[Endpoint, ...]
    path: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def api(self) -> str:
        """The version of the API to use."""
        return dict(self.options).get("api", "2")


def directory(url: str) -> Directory:
    """Return the parts of a URL whose scheme is etcd; credentials in it are ignored."""
    rest, _, query = url.partition("://")[2].partition("?")
    authority, _, path = rest.partition("/")
    hosts = authority.rpartition("@")[2].split(",")
    options = tuple((name, values[-1]) for name, values in parse_qs(query, keep_blank_values=True).items())
    return Directory(tuple(map(endpoint, hosts)), "/" + path.strip("/"), options)


def endpoint(text: str) -> Endpoint:
    """Return the endpoint ``host:port`` or ``host``; the host may be an IPv6 address in brackets."""
    bracketed, _, after = text.rpartition("]")
    if bracketed:
        return Endpoint(bracketed[1:], int(after[1:] or PORT))
    host, _, port = text.partition(":")
    return Endpoint(host, int(port or PORT))


class Endpoints:
    """Round-robin failover for one source, from a random member on; ``ask`` is for DNS discovery only."""

    def __init__(self, settings: SourceSettings, *, ask: Ask, random: Random) -> None:
        access = settings.access
        self._random = random
        self._ask = ask
        self._domain = access.discovery
        self._services = SECURE_SERVICES if access.tls else PLAIN_SERVICES
        self._known: Sequence[Endpoint] = ()
        self._turn = 0
        self._failures = 0
        self._place = ""
        self._errors: dict[str, SourceError] = {}
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, random)
        if not self._domain:
            self._take(tuple(map(endpoint, access.endpoints)) or directory(settings.url).endpoints)

    async def current(self) -> Endpoint:
        """Return the current member. Raises :class:`SourceError` if DNS discovery has never found any."""
        self._place = ""
        if self._domain and self.exhausted:
            try:
                found = await self._discovered()
            except SourceError:
                if not self._known:
                    raise
            else:
                self._errors.pop("", None)
                if set(found) != set(self._known):
                    self._take(found)
        member = self._known[self._turn % len(self._known)]
        self._place = str(member)
        return member

    def confirm(self) -> None:
        """Keep the current member, which works: it can be watched, not only read."""
        self._failures = 0
        self._errors.clear()
        self._backoff.reset()

    def fail(self, error: SourceError | ProtocolError | LineTooLong) -> SourceError:
        """Switch to the next member; return an error with the reasons of all members that failed in a row."""
        failure = source_error(error)
        self._errors[self._place] = failure
        self._turn += 1
        self._failures += 1
        reasons = (f"{place}: {why}" if place else str(why) for place, why in sorted(self._errors.items()))
        return SourceError("; ".join(reasons), failure.trouble)

    def pause(self) -> float:
        """Return the number of seconds to wait before the next member is used."""
        return self._backoff.pause() if self.exhausted else SOON * self._random.random()

    @property
    def exhausted(self) -> bool:
        """True if all members have failed since one was confirmed, or no member is known."""
        return not self._known or (self._failures > 0 and self._failures % len(self._known) == 0)

    def _take(self, endpoints: Sequence[Endpoint]) -> None:
        self._known = endpoints
        self._errors.clear()
        self._turn = self._random.randrange(len(endpoints))

    async def _discovered(self) -> Sequence[Endpoint]:
        """Return the members in the SRV records of the first service that has any."""
        why = "no SRV records"
        for service in self._services:
            name = f"{service}.{self._domain}"
            try:
                response = await self._ask(dns.Query(name.encode("ascii"), dns.SRV))
            except Exception as error:  # noqa: BLE001  # the type depends on the resolver
                why = str(error)
                continue
            targets = [record.data for record in response.records if isinstance(record.data, Target)]
            found = [Endpoint(target.host, target.port) for target in targets if target.host]
            if found:
                return sorted(found, key=str)
        names = " or ".join(f"{service}.{self._domain}" for service in self._services)
        raise SourceError(f"{names}: {why}; no etcd member is known", Trouble.UNREACHABLE)
