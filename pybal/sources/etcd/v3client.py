"""A client of the JSON gateway of one etcd member, with login."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pybal.config.settings import AccessSettings
from pybal.core.steps import finish
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import BodyListener, FullResponse
from pybal.http.trust import Trust
from pybal.resolve import Lookup
from pybal.runtime.file_values import FileValues
from pybal.runtime.lines import LineSplitter
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources.credentials import SecretFile
from pybal.sources.etcd import v3wire
from pybal.sources.etcd.endpoints import Endpoint
from pybal.sources.etcd.responses import LARGEST, OK, SHORT
from pybal.sources.etcd.v3wire import RangeResponse, TokenInvalid, WatchResponse

#: Deadline of a call, including the connection, in seconds.
TIMEOUT = 5.0


@dataclass(slots=True)
class Token:
    """The authentication token; empty until etcd requires a login."""

    text: str = field(default="", repr=False)


class Gateway:
    """The gateway of the member at ``endpoint``. ``token`` may be shared with other gateways.

    Long responses are parsed in ``turns``. All methods raise :class:`ProtocolError` and :class:`SourceError`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        access: AccessSettings,
        token: Token,
        *,
        trust: Trust | None,
        files: FileValues,
        reactor: Reactor,
        lookup: Lookup,
        turns: Turns,
    ) -> None:
        self._user = access.user
        self._password = SecretFile("password-file", access.password_file, files) if access.user else None
        self._token = token
        self._turns = turns
        self._client = HTTPClient(
            endpoint.host, endpoint.port, trust=trust, reactor=reactor, lookup=lookup, limit=LARGEST
        )

    async def read(self, prefix: bytes, since: int = 0, within: float = TIMEOUT) -> RangeResponse:
        """Return all keys with a prefix; with ``since`` only names, of keys written at this revision or later."""
        body = v3wire.range_request(prefix, since)
        try:
            response = await self._post("/v3/kv/range", body, within)
        except TokenInvalid:
            if self._password is None:
                raise
            await self._log_in(self._password, within)
            response = await self._post("/v3/kv/range", body, within)
        steps = v3wire.parsing_range(response)
        return finish(steps) if len(response) <= SHORT else await self._turns.run(steps)

    async def watch(
        self, prefix: bytes, start: int, received: Callable[[WatchResponse], None], lost: Callable[[Exception], None]
    ) -> None:
        """Start to watch all keys with a prefix from revision ``start`` on.

        ``received`` gets the messages that arrive together as one, and may raise an exception to end the watch; ``lost`` gets the
        reason of the end.
        """
        lines = LineSplitter(LARGEST)

        def take(piece: bytes) -> None:
            # One report copies the list, so it is not made for each of a hundred changes.
            if messages := [v3wire.parse_watch(line) for line in lines.feed(piece)]:
                received(v3wire.merged(messages))

        request = self._request("/v3/watch", v3wire.watch_request(prefix, start), {"Grpc-Metadata-hasleader": "true"})
        _checked(await self._client.stream(request, BodyListener(take, lost), TIMEOUT))

    def close(self) -> None:
        """Cancel all calls and close all connections."""
        self._client.close()

    async def _log_in(self, password: SecretFile, within: float) -> None:
        self._token.text = ""
        secret = await password.read()
        body = v3wire.authenticate_request(self._user, secret)
        self._token.text = v3wire.parse_token(await self._post("/v3/auth/authenticate", body, within, secret))

    async def _post(self, path: str, body: bytes, within: float, *secrets: str) -> bytes:
        request = replace(self._request(path, body, {}), secrets=secrets)
        return _checked(await self._client.request(request, within)).body

    def _request(self, path: str, body: bytes, fields: dict[str, str]) -> HTTPRequest:
        credentials = {"Authorization": self._token.text} if self._token.text else {}
        return HTTPRequest(path, {"Content-Type": "application/json", **fields, **credentials}, "POST", body)


def _checked(response: FullResponse) -> FullResponse:
    if response.status != OK:
        raise v3wire.parse_error(response.status, response.body)
    return response
