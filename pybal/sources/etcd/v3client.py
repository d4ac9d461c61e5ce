"""What is asked of one member of an etcd through its JSON gateway, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pybal.config.settings import AccessSettings
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import BodyListener, FullResponse
from pybal.http.trust import Trust
from pybal.resolve import Lookup
from pybal.runtime.lines import LineSplitter
from pybal.sources.credentials import secret
from pybal.sources.etcd import v3wire
from pybal.sources.etcd.endpoints import Endpoint
from pybal.sources.etcd.v3wire import Reading, TokenInvalid, Watched

#: An answer, or a message of a watch, of more bytes is none.
LARGEST = 16 * 2**20

#: Seconds for a call, with all that goes before it.
TIMEOUT = 5.0

_OK = 200


@dataclass(slots=True)
class Token:
    """What etcd knows us by; empty while it has not asked who we are."""

    text: str = field(default="", repr=False)


class Gateway:
    """The gateway of the member at ``endpoint``; ``token`` may be shared with those of others. What fails raises ProtocolError or SourceError."""

    def __init__(
        self,
        endpoint: Endpoint,
        access: AccessSettings,
        token: Token,
        *,
        trust: Trust | None,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        lookup: Lookup,
    ) -> None:
        self._access = access
        self._token = token
        self._client = HTTPClient(
            endpoint.host, endpoint.port, trust=trust, reactor=reactor, lookup=lookup, limit=LARGEST
        )

    async def read(self, prefix: bytes, since: int = 0, within: float = TIMEOUT) -> Reading:
        """Return all keys with a prefix; with ``since`` without values, and only those written at it or later."""
        body = v3wire.range_request(prefix, since)
        try:
            answer = await self._ask("/v3/kv/range", body, within)
        except TokenInvalid:
            if not self._access.user:
                raise
            await self._log_in(within)
            answer = await self._ask("/v3/kv/range", body, within)
        return v3wire.reading(answer)

    async def watch(
        self, prefix: bytes, start: int, heard: Callable[[Watched], None], lost: Callable[[Exception], None]
    ) -> None:
        """Begin to watch all keys with a prefix; ``heard`` is told what becomes of them, and ``lost`` why that has ended.

        What ``heard`` raises ends it.
        """
        lines = LineSplitter(LARGEST)

        def take(piece: bytes) -> None:
            for line in lines.feed(piece):
                heard(v3wire.watched(line))

        request = self._request("/v3/watch", v3wire.watch_request(prefix, start), {"Grpc-Metadata-hasleader": "true"})
        _checked(await self._client.stream(request, BodyListener(take, lost), TIMEOUT))

    def close(self) -> None:
        """End everything."""
        self._client.close()

    async def _log_in(self, within: float) -> None:
        self._token.text = ""
        body = v3wire.authenticate_request(self._access.user, secret("password-file", self._access.password_file))
        self._token.text = v3wire.token(await self._ask("/v3/auth/authenticate", body, within))

    async def _ask(self, path: str, body: bytes, within: float) -> bytes:
        return _checked(await self._client.request(self._request(path, body, {}), within)).body

    def _request(self, path: str, body: bytes, fields: dict[str, str]) -> HTTPRequest:
        named = {"Authorization": self._token.text} if self._token.text else {}
        return HTTPRequest(path, {"Content-Type": "application/json", **fields, **named}, "POST", body)


def _checked(answer: FullResponse) -> FullResponse:
    if answer.status != _OK:
        raise v3wire.refused(answer.status, answer.body)
    return answer
