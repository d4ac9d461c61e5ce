"""A directory of etcd, followed through version 2 of its API with python-etcd.

That library blocks, so a thread follows one member at a time over one connection; see :mod:`pybal.sources.etcd.v2watch`. All
that the thread hears is handed to the reactor, where it becomes a list. After any trouble it is the next member's turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.http import trust
from pybal.http.errors import ProtocolError
from pybal.resolve import LookupFailed, dns_lookup
from pybal.resolve.servers import NameServers
from pybal.sources.base import SourceError, Trouble, source_error
from pybal.sources.credentials import authorization
from pybal.sources.etcd.blocking import BlockingConnection, Turn
from pybal.sources.etcd.conftool import Values
from pybal.sources.etcd.endpoints import Endpoint, Endpoints, directory
from pybal.sources.etcd.v2watch import Heard, Times, Watch
from pybal.sources.reports import Reports

#: The first reads of many sources are spread over so many seconds.
SPREAD = 1.0

#: The name of the threads.
THREAD = "pybal-etcd2"

#: Of all threads of all sources; like the lock of Python that it spares, there is one.
_TURN = Turn()

_Inbox = deque[Heard | SourceError]


class Etcd2Source:
    """The source of ``etcd://host:port/path``; ``reactor`` as in :mod:`pybal.daemon.app`.

    ``differences`` counts the values that a full read found other than the changes before it had said.
    """

    log = Logger()

    def __init__(
        self,
        settings: SourceSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        random: Random,
        times: Times = Times(),  # noqa: B008  # it is frozen
        resolv_conf: str = "/etc/resolv.conf",
        port: int = 53,
    ) -> None:
        self.differences = 0
        self._settings = settings
        self._path = directory(settings.url).path
        self._reactor = reactor
        self._random = random
        self._lookup = dns_lookup(reactor, resolv_conf=resolv_conf, port=port)
        self._times = times
        self._endpoints = Endpoints(settings, ask=NameServers(reactor, resolv_conf, port).ask, random=random)
        self._addresses: dict[str, Sequence[str]] = {}
        self._told = Reports(masked(settings.url), reactor)
        self._values = Values(self._path)
        self._failures: dict[str, SourceError] = {}
        self._call: IDelayedCall | None = None
        self._preparing: Deferred[None] | None = None
        self._watch: Watch | None = None
        self._running = False

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def last_success(self) -> float | None:
        return self._told.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to follow. See :class:`pybal.sources.base.Source`."""
        self._told.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Follow no more; the thread ends by itself, soon."""
        self._told.end()
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._preparing is not None:
            self._preparing.cancel()
        self._end_watch()

    def _begin(self) -> None:
        self._call = None
        self._preparing = Deferred.fromCoroutine(self._prepare())
        self._preparing.addErrback(lambda failure: failure.trap(CancelledError))

    async def _prepare(self) -> None:
        """Have a thread follow the member whose turn it is."""
        place = ""
        try:
            endpoint = await self._endpoints.current()
            place = str(endpoint)
            addresses = await self._addresses_of(endpoint.host)
            self._follow(endpoint, addresses)
        except SourceError as error:
            self._lost(place, error)
        except ProtocolError as error:
            self._lost(place, source_error(error))
        except Exception as error:
            if not self._running:
                raise
            self.log.failure("{source}", source=self._told.name)
            self._lost(place, SourceError(f"{type(error).__name__} in PyBal", Trouble.FAILED))

    async def _addresses_of(self, host: str) -> Sequence[str]:
        """Return where a host is, or was when DNS last knew. Raises :class:`SourceError`."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            found: list[str] = []
        why = ""
        for version in (4, 6):
            asking = Deferred.fromCoroutine(self._lookup(host, version)).addTimeout(self._times.answer, self._reactor)
            try:
                found += map(str, (await asking).addresses)
            except LookupFailed as failed:
                why = why or str(failed)
            except defer.TimeoutError:
                why = why or f"no answer within {self._times.answer:g} s"
        if found:
            self._addresses[host] = found
        if host not in self._addresses:
            raise SourceError(f"address of {host}: {why}", Trouble.UNREACHABLE)
        return self._addresses[host]

    def _follow(self, endpoint: Endpoint, addresses: Sequence[str]) -> None:
        settings = self._settings
        headers = [("Authorization", value) for value in authorization(settings.url, settings.access)]
        tls = partial(trust.context, settings.access) if settings.access.tls else None
        inbox: _Inbox = deque()

        def tell(message: Heard | SourceError) -> None:
            inbox.append(message)
            self._reactor.callFromThread(self._take, watch, str(endpoint), inbox)

        connection = BlockingConnection(endpoint, addresses, tls, dict(headers), _TURN)
        watch = self._watch = Watch(connection, self._path, self._times, tell)
        threading.Thread(target=watch.run, name=THREAD, daemon=True).start()

    def _take(self, watch: Watch, place: str, inbox: _Inbox) -> None:
        """Take all that a thread has told: of lists that have come one after the other only the last one counts."""
        heard: Heard | None = None
        while inbox and watch is self._watch:
            message = inbox.popleft()
            if isinstance(message, SourceError):
                self._hear(heard)
                self._lost(place, message)
                return
            self.differences += message.missed
            heard = message
        self._hear(heard)

    def _hear(self, heard: Heard | None) -> None:
        if heard is None:
            return
        if heard.proven:
            self._endpoints.confirm()
        self._failures.clear()
        if heard.texts is None:
            self._told.failure(SourceError(f"no directory {self._path}", Trouble.UNREACHABLE))
            return
        try:
            self._told.list(self._values.listing(heard.texts))
        except SourceError as error:
            self._told.failure(error)

    def _lost(self, place: str, error: SourceError) -> None:
        """Tell what is wrong with the members that have failed in a row, and turn to the next."""
        self._end_watch()
        if not self._running:
            return
        self._failures[place] = error
        text = "; ".join(f"{place}: {error}" if place else str(error) for place, error in self._failures.items())
        self._told.failure(SourceError(text, error.trouble))
        if self._running:
            self._call = self._reactor.callLater(self._endpoints.rotate(), self._begin)

    def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()
