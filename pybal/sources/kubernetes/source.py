"""The nodes of a Kubernetes cluster: listed, and watched from there on.

    list ──────────────▶ watch, for 10 s ──▶ ask for one node ──▶ watch on from the last version seen
     ▲ 5 min later, or      │ no such version any more, or a version of the past: at once
     └──────────────────────┴ anything else that fails: after pauses that grow

A watch that has nothing to say is silent, and so is one that is dead: so each is short, and what goes on longer than it was
asked for is given up. An API server that is cut off from its etcd answers watches from memory: so after each one it is
asked for a node, which it must read. A version that has gone back means a store that was restored. Since a watch goes on
from the last version seen, nothing is missed in between.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import BodyListener, FullResponse
from pybal.http.errors import ProtocolError
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.runtime.backoff import Backoff
from pybal.runtime.lines import LineSplitter
from pybal.sources.base import SourceError, Trouble, source_error
from pybal.sources.credentials import secret
from pybal.sources.formats.text import Listing
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.wire import Expired, Nodes, Page
from pybal.sources.reports import Reports

#: Seconds for which a watch is asked, at most, and that it may take longer.
WATCH, GRACE = 10.0, 2.0

#: A watch that ends sooner is none.
SHORTEST = 1.0

#: Seconds after which all is listed again, at most, whatever the watches have said.
FULL_READ = 300.0

#: What may be shorter is so by up to this share, lest sources that began together stay in step.
JITTER = 0.2

#: Nodes of a page, and seconds for all pages. To parse a page takes 9 ms where a node has 12 KiB.
PAGE, LISTING = 50, 60.0

#: More bytes are no page, and no event: etcd holds no node of more than 1.5 MiB.
LARGEST_PAGE, LARGEST_EVENT = 2**24, 2**21

#: Seconds until the next attempt: first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0

#: The first requests of many sources are spread over so many seconds.
SPREAD = 1.0

_PORT = 443
_SHORTEST_SECRET = 6
_OK = 200
_PATH = "/api/v1/nodes"
_T = TypeVar("_T")


class KubernetesSource:
    """The source of ``k8s://TOKEN@HOST:PORT/?labelSelector=SELECTOR``, whose certificate is verified.

    ``reactor`` as in :mod:`pybal.daemon.app`; ``random`` spreads starts and pauses; ``lookup`` is that of this host
    unless it is given.
    """

    log = Logger()

    def __init__(
        self,
        settings: SourceSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        random: Random,
        lookup: Lookup | None = None,
    ) -> None:
        parts = urlsplit(settings.url)
        self.differences = 0
        self._told = Reports(masked(settings.url), reactor)
        # At the end of each watch the source is known to be good, which must not be an alert in between.
        self._longest = min(WATCH, max(settings.max_age / 2, 2 * SHORTEST))
        self._token_file = settings.access.token_file
        self._token = parts.netloc.rpartition("@")[0]
        self._selector = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._reactor = reactor
        self._random = random
        self._client = HTTPClient(
            parts.hostname or "",
            parts.port or _PORT,
            trust=Trust(settings.access),
            reactor=reactor,
            lookup=lookup or dns_lookup(reactor),
            limit=LARGEST_PAGE,
        )
        self._backoff = Backoff(FIRST_RETRY, LAST_RETRY, random)
        self._nodes: Nodes = {}
        self._version = ""
        self._unwatched: tuple[str, ...] = ()
        self._expired = False
        self._running = False
        self._call: IDelayedCall | None = None
        self._awaited: Deferred[Any] | None = None

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def last_success(self) -> float | None:
        return self._told.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to list and watch. See :class:`pybal.sources.base.Source`."""
        self._told.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Watch no more."""
        self._told.end()
        self._running = False
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        if self._awaited is not None:
            self._awaited.cancel()
        self._client.close()

    def _begin(self) -> None:
        self._call = None
        Deferred.fromCoroutine(self._follow()).addErrback(self._over)

    def _over(self, failure: Failure) -> None:
        if not self._running:
            return
        self.log.failure("{source}", failure, source=self._told.name)
        self._fail(SourceError(f"cannot be read: {type(failure.value).__name__}", Trouble.FAILED))
        if self._running:
            self._call = self._reactor.callLater(self._backoff.pause(), self._begin)

    async def _follow(self) -> None:
        watched = False
        while True:
            try:
                await self._list(counted=watched)
                watched = False
                await self._watch_until(self._reactor.seconds() + self._jittered(FULL_READ))
                watched = True
            except Expired as expired:
                # Once it is no failure: what was missed is listed.
                if self._expired:
                    self._unwatched = (self._shown(expired),)
                    await self._failed(expired)
                self._expired = True
            except SourceError as error:
                await self._failed(error)

    async def _list(self, *, counted: bool) -> None:
        """Replace all that is known; where it is ``counted``, what is other than watches have said is a difference."""
        end = self._reactor.seconds() + LISTING
        page = await self._page(limit=PAGE)
        found = dict(page.nodes)
        while page.rest:
            if self._reactor.seconds() > end:
                raise SourceError(f"no whole list within {LISTING:g} s, {len(found)} nodes of it", Trouble.SILENT)
            page = await self._page(limit=PAGE, **{"continue": page.rest})
            found.update(page.nodes)
        if counted:
            self.differences += wire.differences(self._nodes, found, self._version)
        self._nodes, self._version = wire.relisted(self._nodes, found), page.version
        self._tell()

    async def _watch_until(self, end: float) -> None:
        while self._reactor.seconds() < end:
            try:
                await self._watch()
            except Expired:
                raise
            except SourceError as error:
                self._unwatched = (self._shown(error),)
                raise
            await self._prove()

    async def _watch(self) -> None:
        """Hear what happens, until the watch is over, or is cut off, or should be over."""
        began = self._reactor.seconds()
        lasting = round(self._jittered(self._longest))
        ended: Deferred[Exception] = Deferred()
        lines = LineSplitter(LARGEST_EVENT)

        def heard(data: bytes) -> None:
            before = self._nodes
            try:
                for line in lines.feed(data):
                    event = wire.event(line)
                    self._nodes, self._version = wire.applied(self._nodes, event), event.version
            finally:
                if self._nodes is not before:
                    self._tell()

        def begin() -> Deferred[FullResponse]:
            request = self._request(
                watch="1", allowWatchBookmarks="true", timeoutSeconds=lasting, resourceVersion=self._version
            )
            return self._client.follow(request, BodyListener(heard, lambda error: ended.callback(source_error(error))))

        answer = await self._wait(begin)
        if answer.status != _OK:
            raise self._refused(answer)
        why = await self._wait(lambda: ended.addTimeout(lasting + GRACE, self._reactor, lambda *_: None))
        # To be cut off is no matter: the next goes on where this one ended.
        cut_off = isinstance(why, SourceError) and why.trouble is Trouble.SILENT
        if why is not None and not cut_off:
            raise why
        if self._reactor.seconds() - began < SHORTEST:
            wanted = f"wanted {self._longest * (1 - JITTER):g} to {self._longest:g}"
            raise SourceError(f"a watch has ended within {SHORTEST:g} s, {wanted}", Trouble.FAILED)

    async def _prove(self) -> None:
        """Have the server read something. What it said until now is then true, and it can be watched."""
        page = await self._page(limit=1)
        if wire.is_older(page.version, self._version):
            raise Expired(f"version {page.version} after version {self._version}", Trouble.FAILED)
        self._expired = False
        self._unwatched = ()
        self._backoff.reset()
        self._tell()

    async def _page(self, **query: str | int) -> Page:
        answer = await self._wait(lambda: self._client.ask(self._request(**query)))
        if answer.status != _OK:
            raise self._refused(answer)
        return wire.page(answer.body)

    def _request(self, **query: str | int) -> HTTPRequest:
        if self._token_file:
            self._token = secret("token-file", self._token_file)
        fields = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
        return HTTPRequest(f"{_PATH}?{urlencode({**self._selector, **query})}", fields)

    def _refused(self, answer: FullResponse) -> SourceError:
        error = wire.refused(answer.status, answer.body)
        if error.trouble is not Trouble.DENIED:
            return error
        return SourceError(f"{error}, with the token of {self._token_file or 'config'}", error.trouble)

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 - JITTER * self._random.random())

    async def _wait(self, begin: Callable[[], Deferred[_T]]) -> _T:
        """Return what comes of what is begun, unless all has been stopped: CancelledError."""
        if not self._running:
            raise CancelledError
        try:
            awaited = self._awaited = begin()
            return await awaited
        except ProtocolError as error:
            raise source_error(error) from None
        finally:
            self._awaited = None

    async def _failed(self, error: SourceError) -> None:
        self._fail(error)
        await self._wait(lambda: deferLater(self._reactor, self._backoff.pause(), lambda: None))

    def _tell(self) -> None:
        try:
            listing = wire.listing(self._nodes)
            self._told.list(Listing(listing.members, (*listing.problems, *self._unwatched)))
        except SourceError as error:
            self._fail(error)

    def _fail(self, error: SourceError) -> None:
        self._told.failure(SourceError(self._shown(error), error.trouble))

    def _shown(self, error: SourceError) -> str:
        """Return what is wrong, without our token: a server may say it back."""
        # One that is so short may be a part of any word, and is no secret.
        return str(error).replace(self._token, "***") if len(self._token) >= _SHORTEST_SECRET else str(error)
