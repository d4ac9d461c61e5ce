"""A pool list on an HTTP server, requested at every interval and transferred when it has changed.

The file name extension in the URL selects the format, else a Content-Type of JSON or YAML, else the format is lines. An
error page with status 200 is invalid in all three. The last good list is kept after every failure.

    request ── 200, a valid list ─────▶ report the list; next request after the interval
      ├─────── 304 ───────────────────▶ the list is up to date; next request after the interval
      ├─────── 200, an invalid list ──▶ report a problem; next request after the interval, unconditional
      └─────── other, or no response ─▶ report a problem; next request after back-off, unconditional
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from random import Random
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime

from pybal.config.errors import masked, shown
from pybal.config.settings import SourceSettings
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import FullResponse
from pybal.http.message import Response, host_of, target_of
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.runtime.backoff import Backoff
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError, Trouble
from pybal.sources.credentials import Authorization
from pybal.sources.feed import Feed, shortened
from pybal.sources.formats.text import Format, Listing, format_of
from pybal.sources.list_parser import ListParser

#: Seconds after which a request is unconditional: servers and caches report changed lists as unchanged.
FULL_READ = 60.0

#: Longest back-off, in seconds.
LONGEST_PAUSE = 10.0

_OK, _NOT_MODIFIED = 200, 304
_BACK_OFF = frozenset((Trouble.UNREACHABLE, Trouble.SILENT, Trouble.DENIED, Trouble.FAILED))
_TROUBLES = {401: Trouble.DENIED, 403: Trouble.DENIED, 404: Trouble.UNREACHABLE, 410: Trouble.UNREACHABLE}
_REDIRECTS = range(300, 400)
#: Smallest age of a list whose validators are used: a second change within the same second leaves them unchanged.
_RIPE = timedelta(seconds=2)
_FIELDS = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
_TYPES = {
    "application/json": Format.JSON,
    "application/yaml": Format.YAML,
    "application/x-yaml": Format.YAML,
    "text/yaml": Format.YAML,
    "text/x-yaml": Format.YAML,
}


class HTTPReader:
    """Reads ``http://`` and ``https://`` URLs; ``client`` talks to the server of the URL."""

    differences = 0

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
        self._settings = settings
        self._authorization = Authorization(settings.url, settings.access, files)
        self._client = client
        self._clock = clock
        self._random = random
        self._parser = ListParser(turns)
        self._format = format_of(urlsplit(settings.url).path)
        self._target = target_of(settings.url)
        self._backoff = Backoff(settings.interval, max(settings.interval, LONGEST_PAUSE), random)
        self._validators: dict[str, str] = {}
        self._known: bytes | None = None
        self._full_at = 0.0

    async def read(self, feed: Feed) -> float:
        if self._clock.seconds() - self._full_at >= FULL_READ:
            self._validators = {}
        answer = await self._client.request(await self._request(), body_statuses=(_OK, _NOT_MODIFIED))
        refuse_old(answer.response, self._settings.max_age)
        if answer.status == _NOT_MODIFIED and self._validators:
            feed.good()
            return self._pause()
        _check(answer)
        if answer.body == self._known:
            feed.good()
        else:
            feed.list(await self._listing(answer, feed))
            self._parser.forget()
        # After the report: a list that was refused must be read in full again.
        self._known = answer.body
        self._validators = validators(answer.response)
        self._full_at = self._clock.seconds()
        return self._pause()

    def retry(self, error: SourceError) -> float:
        self._validators = {}
        self._known = None
        return self._backoff.pause() if error.trouble in _BACK_OFF else self._pause()

    def close(self) -> None:
        self._client.close()

    async def _request(self) -> HTTPRequest:
        return HTTPRequest(self._target, {**_FIELDS, **self._validators, **await self._authorization.fields()})

    async def _listing(self, answer: FullResponse, feed: Feed) -> Listing:
        form = self._format or _TYPES.get(_content_type(answer.response), Format.LINES)
        try:
            return await self._parser.parse(answer.body, feed.name, feed.members, form)
        except SourceError as error:
            raise SourceError(f"{error}{_html_note(answer.response)}", error.trouble) from None

    def _pause(self) -> float:
        self._backoff.reset()
        return shortened(self._settings.interval, self._random)


def http_source(
    settings: SourceSettings,
    *,
    reactor: Reactor,
    random: Random,
    lookup: Lookup | None = None,
    turns: Turns | None = None,
    files: FileValues | None = None,
) -> Feed:
    """Return the source of an ``http://`` or ``https://`` URL; ``lookup`` defaults to that of this host.

    Lists are parsed in ``turns``; ``files`` reads secrets and certificates.
    """
    files = files or inline(reactor)
    parts, secure = urlsplit(settings.url), settings.scheme == "https"
    client = HTTPClient(
        host_of(settings.url),
        parts.port or (443 if secure else 80),
        trust=Trust(settings.access, files) if secure else None,
        reactor=reactor,
        lookup=lookup or dns_lookup(reactor, files=files),
    )
    reader = HTTPReader(settings, client, reactor, random, turns=turns or Turns(reactor), files=files)
    return Feed(masked(settings.url), reader, reactor, random)


def _check(answer: FullResponse) -> None:
    """Raise SourceError unless the response is a complete list."""
    status, response = answer.status, answer.response
    if status in _REDIRECTS and (location := response.field("location")):
        text = f"HTTP {status} to {shown(location)}, wanted {_OK}: redirects are not followed"
        raise SourceError(text, Trouble.FAILED)
    if status != _OK:
        raise SourceError(f"HTTP {status}, wanted {_OK}", _TROUBLES.get(status, Trouble.FAILED))
    if response.encoding:
        raise SourceError(f"content-encoding {response.encoding}, wanted none")
    if response.surplus:
        raise SourceError(f"{response.surplus} bytes after the end of the response, wanted none")


def refuse_old(response: Response, most: float) -> None:
    """Raise SourceError if a cached response is older than ``most`` seconds (RFC 9111 §5.1)."""
    age = response.field("age")
    if age.isascii() and age.isdigit() and float(age) > most:
        raise SourceError(f"cached response is {float(age):g} s old, wanted at most {most:g} s", Trouble.STALE)


def _content_type(response: Response) -> str:
    return response.field("content-type").partition(";")[0].strip().lower()


def _html_note(response: Response) -> str:
    """Return the Content-Type of an HTML page in parentheses, else an empty string."""
    kind = _content_type(response)
    return f" (content-type {kind})" if kind in ("text/html", "application/xhtml+xml") else ""


def validators(response: Response) -> dict[str, str]:
    """Return the header fields that make the next request conditional.

    Empty if two different lists could have the same validators.
    """
    etag, modified = response.field("etag"), response.field("last-modified")
    found = {"If-None-Match": etag, "If-Modified-Since": modified}
    if modified:
        try:
            ripe = parsedate_to_datetime(response.field("date")) - parsedate_to_datetime(modified) >= _RIPE
        except (ValueError, TypeError, OverflowError, IndexError):  # each for some invalid date in some Python version
            ripe = False
        # The resolution is one second, also of ETags that are derived from the time.
        if not ripe:
            return {}
    return {name: value for name, value in found.items() if value and value.isprintable() and value.isascii()}
