"""A process that checks with Twisted clients: treq for HTTP and HTTPS, twisted.names for DNS.

``python -m bench.checks.clients KIND SERVERS SECONDS PORT``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle

import treq
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.main import installReactor
from twisted.internet.task import LoopingCall
from twisted.names.client import Resolver
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from bench.checks.load import HOST, NAME, Load

BATCHES = 100
"""Batches per second, at most; the same as the engine."""

IN_FLIGHT = 512
"""Concurrent checks, at most; the same as the engine. More would only be late."""

Ask = Callable[[], Deferred[object]]


@implementer(IPolicyForHTTPS, IOpenSSLClientConnectionCreator)
class AnyCertificate:
    """A TLS policy that accepts any certificate, like all peers here; one context for all connections."""

    def __init__(self) -> None:
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)

    def creatorForNetloc(self, hostname: bytes, port: int) -> AnyCertificate:  # noqa: N802  # Twisted's name
        del hostname, port
        return self

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802  # Twisted's name
        del protocol
        connection = SSL.Connection(self._context, None)
        connection.set_tlsext_host_name(HOST.encode())
        return connection


def fetcher(load: Load, reactor: EPollReactor) -> Ask:
    """Return a function that sends a request to the next server."""
    agent = Agent(reactor, AnyCertificate(), connectTimeout=5.0, pool=HTTPConnectionPool(reactor, persistent=False))
    client = HTTPClient(agent)
    urls = cycle([f"{load.kind}://{address}:{load.port}/check" for address in load.addresses])

    async def fetch() -> None:
        response = await client.get(next(urls), headers=Headers({"Host": [HOST]}), allow_redirects=False)
        await treq.content(response)
        if response.code != 200:
            raise RuntimeError(f"HTTP {response.code}, wanted 200")

    return lambda: Deferred.fromCoroutine(fetch())


def resolver(load: Load, reactor: EPollReactor) -> Ask:
    """Return a function that queries the next server.

    Each server has its own resolver, because one resolver merges equal queries.
    """
    resolvers = cycle([Resolver(servers=[(str(address), load.port)], reactor=reactor) for address in load.addresses])
    return lambda: next(resolvers).lookupAddress(NAME, (5,))


def main() -> None:
    load = Load.of(sys.argv[1:])
    reactor = EPollReactor()
    reactor.seconds = time.monotonic
    installReactor(reactor)  # Twisted's TLS uses the clock of the installed reactor
    ask = (resolver if load.kind == "dns" else fetcher)(load, reactor)
    due, in_flight = 0.0, 0
    failures: set[str] = set()

    def answered(result: object) -> None:
        nonlocal in_flight
        in_flight -= 1
        if isinstance(result, Failure) and (why := type(result.value).__name__) not in failures:
            failures.add(why)
            print(f"client: some checks fail: {result.getErrorMessage()}", file=sys.stderr)

    def turn(times: int) -> None:
        nonlocal due, in_flight
        due = min(due + times * load.servers / load.interval / BATCHES, load.servers)
        while due >= 1 and in_flight < IN_FLIGHT:
            due -= 1
            in_flight += 1
            ask().addBoth(answered)

    turns = LoopingCall.withCount(turn)
    turns.clock = reactor
    turns.start(1 / BATCHES)
    reactor.run()


if __name__ == "__main__":
    main()
