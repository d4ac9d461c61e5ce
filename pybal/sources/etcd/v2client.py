"""A client of ``/v2/keys`` of one etcd member, and the cached addresses of its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pybal.core.steps import finish
from pybal.http.client import HTTPClient, HTTPRequest
from pybal.http.connection import FullResponse
from pybal.resolve import Lookup, LookupFailed, LookupResult
from pybal.runtime.turns import Turns
from pybal.sources.etcd.responses import SHORT
from pybal.sources.etcd.v2wire import Change, HistoryLost, Snapshot, parse_change, parsing_directory


class KeysClient:
    """Reads and watches the directory ``path``. Raises :class:`ProtocolError` and :class:`SourceError`.

    Long responses are parsed in ``turns``. Reads and watches share one connection. It is replaced when a watch ends without a change, because HTTP/1.1 has no
    other way to end one.
    """

    def __init__(
        self, client: HTTPClient, path: str, headers: Mapping[str, str], clock: IReactorTime, turns: Turns
    ) -> None:
        self._client = client
        self._path = path
        self._headers = headers
        self._clock = clock
        self._turns = turns
        self._cluster = ""

    async def read(self, within: float) -> Snapshot:
        """Read the directory with a quorum."""
        response = await self._get(within, recursive="true", quorum="true")
        self._cluster = _cluster(response)
        index = response.response.field("x-etcd-index")
        steps = parsing_directory(self._path, response.status, response.body, index)
        if len(response.body) <= SHORT:
            return finish(steps)
        found: Snapshot = await self._turns.run(steps)
        return found

    async def next_change(self, index: int, within: float, patience: float) -> Change | None:
        """Return the first change from ``index`` on, ``None`` if it does not come within ``patience`` seconds.

        ``within`` is the number of seconds for a new connection. Raises :class:`HistoryLost` if changes may be missing.
        """
        request = self._get(patience + within, wait="true", waitIndex=str(index), recursive="true")
        response: FullResponse | None = await request.addTimeout(patience, self._clock, lambda *_: None)
        if response is None:
            return None
        if _cluster(response) != self._cluster:
            raise HistoryLost
        return parse_change(response.status, response.body)

    def close(self) -> None:
        """Cancel all requests and close the connection."""
        self._client.close()

    def _get(self, within: float, **query: str) -> Deferred[Any]:
        path = f"/v2/keys{quote(self._path)}?{urlencode(query)}"
        return self._client.request(HTTPRequest(path, self._headers), within)


class AddressCache:
    """A lookup that queries DNS once per name until :meth:`renew`: watches reconnect every few seconds.

    If a later query fails, the addresses of the last successful one stay in use.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._fresh: dict[tuple[str, int], LookupResult | LookupFailed] = {}
        self._known: dict[tuple[str, int], LookupResult] = {}

    async def look_up(self, host: str, version: int) -> LookupResult:
        """Return the addresses of a host. Raises :class:`LookupFailed`."""
        key = host, version
        if key not in self._fresh:
            try:
                self._fresh[key] = self._known[key] = await self._lookup(host, version)
            except LookupFailed as failed:
                self._fresh[key] = self._known.get(key, failed)
        found = self._fresh[key]
        if isinstance(found, LookupFailed):
            raise found
        return found

    def renew(self) -> None:
        """Query DNS again before the next connection."""
        self._fresh.clear()


def _cluster(response: FullResponse) -> str:
    return response.response.field("x-etcd-cluster-id")
