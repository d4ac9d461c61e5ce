"""The nodes of a Kubernetes cluster, listed and then watched.

    list ──────────────▶ watch for 10 s ──▶ list one node ──▶ watch from the last version seen
     ▲ after 5 min          │ version expired or older than before: list again immediately
     └──────────────────────┴ other failure: list again after back-off

- An idle watch and a dead connection look the same. Each watch is therefore short, and aborted if it exceeds its time.
- An API server without a connection to its etcd serves watches from its cache. Listing one node after each watch makes it
  read from etcd.
- A version older than before means that etcd was restored from a backup.
- A node that an event deletes was deleted by an operator or has lost the label: it leaves at any number, but not the last one. Nodes that are only
  absent from a list do not; see :mod:`pybal.sources.safety`.
- Each watch continues from the last version seen, so no change between two watches is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from urllib.parse import parse_qs, urlencode, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import BodyListener, FullResponse
from pybal.http.errors import Fault, ProtocolError
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.runtime.backoff import Backoff
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.lines import LineSplitter
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources.base import READ_ERRORS, SourceError, Trouble, source_error
from pybal.sources.credentials import SecretFile
from pybal.sources.feed import Feed
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.members import NodeMembers
from pybal.sources.kubernetes.wire import Expired, Nodes, Page

#: Longest requested duration of a watch, in seconds, and the time it may exceed that.
WATCH, GRACE = 10.0, 2.0

#: Shortest valid watch, in seconds.
SHORTEST = 1.0

#: Longest time between two full lists, in seconds.
FULL_READ = 300.0

#: Share by which durations are shortened at random, so that sources which started together drift apart.
JITTER = 0.2

#: Nodes per page, and seconds for all pages. Parsing a page takes 9 ms if a node has 12 KiB.
PAGE, LISTING = 50, 60.0

#: Largest page and largest event, in bytes: 120 KiB for each node; etcd limits one to 1.5 MiB. A page takes at most 40 ms.
LARGEST_PAGE, LARGEST_EVENT = 6 * 2**20, 2**21

#: Seconds until a failed read is retried: first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0

_PORT = 443
_OK = 200
_PATH = "/api/v1/nodes"


class KubernetesReader:
    """Reads ``k8s://TOKEN@HOST:PORT/?labelSelector=SELECTOR`` through the ``client`` of that server."""

    def __init__(
        self,
        settings: SourceSettings,
        client: HTTPClient,
        clock: IReactorTime,
        random: Random,
        *,
        turns: Turns,
        files: FileValues,
    ) -> None:
        parts = urlsplit(settings.url)
        self.differences = 0
        # The source is known to be good at the end of each watch: often enough that a quiet one is not an alert.
        self._longest = min(WATCH, max(settings.max_age / 2, 2 * SHORTEST))
        token_file = settings.access.token_file
        self._token_file = SecretFile("token-file", token_file, files) if token_file else None
        self._token_place = token_file or "config"
        self._token = parts.netloc.rpartition("@")[0]
        self._selector = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._client = client
        self._clock = clock
        self._random = random
        self._backoff = Backoff(FIRST_RETRY, LAST_RETRY, random)
        self._turns = turns
        self._members = NodeMembers(settings)
        self._most = settings.max_pool_size
        self._deleted: dict[str, None] = {}
        """The last nodes reported as deleted, or without the labels: decisions of the operator."""
        self._version = ""
        self._watch_problems: tuple[str, ...] = ()
        self._expired = False
        self._watched = False

    async def read(self, feed: Feed) -> float:
        """List all nodes, then watch them until the next full read is due."""
        try:
            await self._list(feed)
            await self._watch_until(feed, self._clock.seconds() + self._jittered(FULL_READ))
        except Expired as expired:
            # The first time is normal: the next list has what was missed.
            if not self._expired:
                self._expired = True
                return 0.0
            self._watch_problems = (str(expired),)
            raise
        except READ_ERRORS as error:
            raise source_error(error) from None
        self._watched = True
        return 0.0

    def retry(self, error: SourceError) -> float:  # noqa: ARG002  # every failure is retried alike
        return self._backoff.pause()

    def close(self) -> None:
        self._client.close()

    async def _list(self, feed: Feed) -> None:
        """Replace all nodes; directly after watches, count the differences that they had not reported."""
        end = self._clock.seconds() + LISTING
        page = await self._page(limit=PAGE)
        found = dict(page.nodes)
        self._check_number(found)
        while page.rest:
            if self._clock.seconds() > end:
                raise SourceError(f"incomplete list after {LISTING:g} s ({len(found)} nodes)", Trouble.SILENT)
            page = await self._page(limit=PAGE, **{"continue": page.rest})
            found.update(page.nodes)
            self._check_number(found)
        steps = self._members.replacing(found, self._version, self._clock.seconds())
        differences = await self._turns.run(steps)
        if self._watched:
            self.differences += differences
        self._watched = False
        self._version = page.version
        self._report(feed)

    async def _watch_until(self, feed: Feed, end: float) -> None:
        while self._clock.seconds() < end:
            try:
                await self._watch(feed)
            except Expired:
                raise
            except READ_ERRORS as error:
                self._watch_problems = (str(source_error(error)),)
                raise
            await self._verify(feed)

    async def _watch(self, feed: Feed) -> None:
        """Apply events until the watch ends, is interrupted, or exceeds its time."""
        began = self._clock.seconds()
        seconds = round(self._jittered(self._longest))
        ended: Deferred[Exception] = Deferred()
        request = await self._request(
            watch="1", allowWatchBookmarks="true", timeoutSeconds=seconds, resourceVersion=self._version
        )
        answer = await self._client.stream(request, BodyListener(self._events(feed, ended), ended.callback))
        if answer.status != _OK:
            raise self._error_response(answer)
        reason = await ended.addTimeout(seconds + GRACE, self._clock, lambda *_: None)
        # An interrupted connection is normal: the next watch continues from the last version.
        interrupted = isinstance(reason, ProtocolError) and reason.fault is Fault.NO_RESPONSE
        if reason is not None and not interrupted:
            raise reason
        if self._clock.seconds() - began < SHORTEST:
            wanted = f"wanted {self._longest * (1 - JITTER):g} to {self._longest:g} s"
            raise SourceError(f"watch ended within {SHORTEST:g} s, {wanted}", Trouble.FAILED)

    def _events(self, feed: Feed, ended: Deferred[Exception]) -> Callable[[bytes], None]:
        """Return a callback that applies the events in a piece of a watch, then reports the nodes.

        It ignores what arrives after the watch has ``ended``: the next one begins with that.
        """
        lines = LineSplitter(LARGEST_EVENT)

        def apply(piece: bytes) -> None:
            if ended.called:
                return
            changed = False
            try:
                for line in lines.feed(piece):
                    event = wire.event(line)
                    changed |= self._members.apply(event, self._clock.seconds())
                    self._version = event.version
                    if event.name and event.node is None:
                        self._note_deleted(event.name)
                    self._check_number(self._members.nodes)
            finally:
                if changed:
                    self._report(feed)

        return apply

    def _note_deleted(self, name: str) -> None:
        self._deleted[name] = None
        if len(self._deleted) > self._most:
            del self._deleted[next(iter(self._deleted))]

    def _check_number(self, nodes: Nodes) -> None:
        """Raise SourceError for more nodes than a list may have."""
        if len(nodes) > self._most:
            text = f"more than max-pool-size = {self._most} nodes (raise max-pool-size, or select nodes by a label)"
            raise SourceError(text, Trouble.GROWN)

    async def _verify(self, feed: Feed) -> None:
        """Have the server read one node from its store, which confirms the watch before."""
        page = await self._page(limit=1)
        if wire.is_older(page.version, self._version):
            raise Expired(f"resource version {page.version} after {self._version}", Trouble.FAILED)
        self._expired = False
        self._watch_problems = ()
        self._backoff.reset()
        self._report(feed)

    async def _page(self, **query: str | int) -> Page:
        answer = await self._client.request(await self._request(**query))
        if answer.status != _OK:
            raise self._error_response(answer)
        return wire.page(answer.body)

    async def _request(self, **query: str | int) -> HTTPRequest:
        if self._token_file:
            self._token = await self._token_file.read()
        fields = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
        return HTTPRequest(f"{_PATH}?{urlencode({**self._selector, **query})}", fields)

    def _error_response(self, answer: FullResponse) -> SourceError:
        error = wire.error_response(answer.status, answer.body)
        if error.trouble is not Trouble.DENIED:
            return error
        return SourceError(f"{error} (token from {self._token_place})", error.trouble)

    def _report(self, feed: Feed) -> None:
        try:
            for name in self._deleted.keys() & self._members.nodes.keys():
                del self._deleted[name]
            found = self._members.listing(self._clock.seconds())
            problems, removed = (
                (*found.problems, *self._watch_problems),
                found.removed | frozenset(self._deleted if found.members else ()),
            )
            feed.list(replace(found, problems=problems, removed=removed))
        except SourceError as error:
            feed.fail(error)

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 - JITTER * self._random.random())


def kubernetes_source(
    settings: SourceSettings,
    *,
    reactor: Reactor,
    random: Random,
    lookup: Lookup | None = None,
    turns: Turns | None = None,
    files: FileValues | None = None,
) -> Feed:
    """Return the source of a ``k8s://`` URL; ``lookup`` defaults to that of this host.

    Lists are made in ``turns``; ``files`` reads secrets and certificates.
    """
    files = files or inline(reactor)
    parts = urlsplit(settings.url)
    client = HTTPClient(
        parts.hostname or "",
        parts.port or _PORT,
        trust=Trust(settings.access, files),
        reactor=reactor,
        lookup=lookup or dns_lookup(reactor, files=files),
        limit=LARGEST_PAGE,
    )
    reader = KubernetesReader(settings, client, reactor, random, turns=turns or Turns(reactor), files=files)
    return Feed(masked(settings.url), reader, reactor, random)
