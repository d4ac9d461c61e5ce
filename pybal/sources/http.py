"""A pool list on an HTTP server: asked for at every interval, and fetched when it has changed.

Whatever the server answers that is no whole list, or does not answer, keeps the last good one. Its format is that of the
end of the name in the URL; where that says nothing, the Content-Type may say JSON or YAML; else it is lines. An error page
that comes with status 200 is none of the three.

    asked ── 200, a list ───────────▶ delivered if it is new; next after the interval
      ├───── 304 ───────────────────▶ known to be good; next after the interval
      ├───── 200, no list ──────────▶ told; next after the interval, as a whole
      └───── anything else, nothing ▶ told; next after pauses that grow, as a whole
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.config.errors import masked, shown
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import FullResponse
from pybal.http.errors import ProtocolError
from pybal.http.message import Response, host_of, target_of
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.runtime.backoff import Backoff
from pybal.sources.base import SourceError, Trouble, source_error
from pybal.sources.credentials import authorization
from pybal.sources.formats.text import Format, Listing, format_of, parse
from pybal.sources.reports import Reports

#: Seconds after which the whole list is fetched whether it has changed or not: servers and caches make mistakes.
FULL_READ = 60.0

#: Seconds between two attempts, at most, while there is no answer to be had.
LONGEST_PAUSE = 10.0

#: The first requests of many sources are spread over so many seconds.
SPREAD = 1.0

_OK, _NOT_MODIFIED = 200, 304
_TROUBLES = {401: Trouble.DENIED, 403: Trouble.DENIED, 404: Trouble.UNREACHABLE, 410: Trouble.UNREACHABLE}
_REDIRECTS = range(300, 400)
#: A list that was changed so shortly before it was sent may have been changed again without a trace in its validators.
_RIPE = timedelta(seconds=2)
_FIELDS = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
_TYPES = {
    "application/json": Format.JSON,
    "application/yaml": Format.YAML,
    "application/x-yaml": Format.YAML,
    "text/yaml": Format.YAML,
    "text/x-yaml": Format.YAML,
}


class HTTPSource:
    """The source of ``http://`` and ``https://``, whose certificates are verified."""

    log = Logger()
    differences = 0

    def __init__(
        self,
        settings: SourceSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        random: Random,
        lookup: Lookup | None = None,
    ) -> None:
        parts = urlsplit(settings.url)
        secure = settings.scheme == "https"
        self._told = Reports(masked(settings.url), reactor)
        self._settings = settings
        self._form = format_of(parts.path)
        self._reactor = reactor
        self._random = random
        self._client = HTTPClient(
            host_of(settings.url),
            parts.port or (443 if secure else 80),
            trust=Trust(settings.access) if secure else None,
            reactor=reactor,
            lookup=lookup or dns_lookup(reactor),
        )
        self._backoff = Backoff(settings.interval, max(settings.interval, LONGEST_PAUSE), random)
        self._target = target_of(settings.url)
        self._validators: dict[str, str] = {}
        self._known: bytes | None = None
        self._full_at = 0.0
        self._call: IDelayedCall | None = None
        self._running = False

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def last_success(self) -> float | None:
        return self._told.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to ask. See :class:`pybal.sources.base.Source`."""
        self._told.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Ask no more."""
        self._told.end()
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._client.close()

    def _begin(self) -> None:
        self._call = None
        if self._reactor.seconds() - self._full_at >= FULL_READ:
            self._validators = {}
        asking = Deferred.fromCoroutine(self._ask())
        asking.addCallback(self._answered).addErrback(self._failed).addCallback(self._again)

    async def _ask(self) -> FullResponse:
        settings = self._settings
        fields = {**_FIELDS, **self._validators}
        for value in authorization(settings.url, settings.access):
            fields["Authorization"] = value
        return await self._client.ask(HTTPRequest(self._target, fields), heeded=(_OK, _NOT_MODIFIED))

    def _answered(self, answer: FullResponse) -> float:
        _refuse_old(answer.response, self._settings.max_age)
        if answer.status == _NOT_MODIFIED and self._validators:
            self._told.good()
            return self._pause()
        _check(answer)
        if answer.body == self._known:
            self._told.good()
        else:
            self._told.list(self._listing(answer))
        # Only a list that is believed need not be read again.
        self._known = answer.body
        self._validators = _validators(answer.response)
        self._full_at = self._reactor.seconds()
        return self._pause()

    def _listing(self, answer: FullResponse) -> Listing:
        form = self._form or _TYPES.get(_content_type(answer.response), Format.LINES)
        try:
            return parse(answer.body, self._told.name, self._told.members, form)
        except SourceError as error:
            raise SourceError(f"{error}{_origin(answer.response)}", error.trouble) from None

    def _pause(self) -> float:
        self._backoff.reset()
        # A little earlier each time: sources that a busy loop has brought into step would stay so.
        return self._settings.interval * self._random.uniform(0.9, 1.0)

    def _failed(self, failure: Failure) -> float:
        error = failure.value
        self._validators = {}
        self._known = None
        if isinstance(error, CancelledError):
            return 0.0
        if isinstance(error, ProtocolError):
            error = source_error(error)
        if not isinstance(error, SourceError):
            self.log.failure("{source}", failure, source=self._told.name)
            error = SourceError(repr(error), Trouble.FAILED)
        self._told.failure(error)
        if error.trouble in (Trouble.UNREACHABLE, Trouble.SILENT, Trouble.DENIED, Trouble.FAILED):
            return self._backoff.pause()
        return self._pause()

    def _again(self, pause: float) -> None:
        if self._running:
            self._call = self._reactor.callLater(pause, self._begin)


def _check(answer: FullResponse) -> None:
    """Raise SourceError for what cannot be a whole list."""
    status, response = answer.status, answer.response
    if status in _REDIRECTS and (location := response.field("location")):
        text = f"HTTP {status} to {shown(location)}, wanted {_OK}: redirects are not followed"
        raise SourceError(text, Trouble.FAILED)
    if status != _OK:
        raise SourceError(f"HTTP {status}, wanted {_OK}", _TROUBLES.get(status, Trouble.FAILED))
    if response.encoding:
        raise SourceError(f"content-encoding {response.encoding}, wanted none")
    if response.surplus:
        raise SourceError(f"{response.surplus} bytes after the end of the answer, wanted none")


def _refuse_old(response: Response, most: float) -> None:
    """Raise SourceError for what a cache has kept for more than ``most`` seconds (RFC 9111 §5.1)."""
    age = response.field("age")
    if age.isascii() and age.isdigit() and float(age) > most:
        raise SourceError(f"from a cache, {float(age):g} s old, wanted at most {most:g}", Trouble.STALE)


def _content_type(response: Response) -> str:
    return response.field("content-type").partition(";")[0].strip().lower()


def _origin(response: Response) -> str:
    """Say what the server took for a list, where that is a page for people."""
    kind = _content_type(response)
    return f" (content-type {kind})" if kind in ("text/html", "application/xhtml+xml") else ""


def _validators(response: Response) -> dict[str, str]:
    """Return the header lines that ask for the list only if it is not this one, none where one might be taken for another."""
    etag, modified = response.field("etag"), response.field("last-modified")
    found = {"If-None-Match": etag, "If-Modified-Since": modified}
    if modified:
        try:
            ripe = parsedate_to_datetime(response.field("date")) - parsedate_to_datetime(modified) >= _RIPE
        except (ValueError, TypeError, OverflowError, IndexError):  # for what is no date, in some versions of Python
            ripe = False
        # A time of whole seconds says little of a list that is young, and so do ETags that are made of it.
        if not ripe:
            return {}
    return {name: value for name, value in found.items() if value and value.isprintable() and value.isascii()}
