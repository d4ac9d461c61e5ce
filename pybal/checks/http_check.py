"""The HTTP and HTTPS check: one request and one response; ends when the response is complete."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.config.errors import shown
from pybal.config.pattern import Pattern, Search
from pybal.core.text import format_duration
from pybal.http import message
from pybal.http.errors import ResponseError
from pybal.runtime.file_values import FileValue


@dataclass(frozen=True, slots=True, eq=False)
class CheckRequest:
    """A request and the wanted response, shared by all checks of a service.

    ``number`` is its index among the requests of its service, ``data`` its bytes. ``statuses`` pass; ``wanted`` is their text in
    failures. With a ``context`` it is HTTPS with the SNI ``server_name``. The ``pattern`` must match the body, which has at most
    ``max_body`` bytes, and none if ``bodiless``.
    """

    url: str
    number: int
    data: bytes
    wanted: int | str
    statuses: frozenset[int]
    context: FileValue[ssl.SSLContext] | None = None
    server_name: str = ""
    bodiless: bool = False
    max_body: int = message.BODY_LIMIT
    pattern: Pattern | None = None

    @property
    def ordinary(self) -> bool:
        """True if only the status and the completeness of the response are checked."""
        return not self.bodiless and self.pattern is None and self.max_body == message.BODY_LIMIT


class HTTPCheck(StreamCheck):
    """A check that passes when a wanted status comes with a complete response."""

    __slots__ = ("_ordinary", "_response", "_search", "request")

    _waiting = Phase.HEADERS
    _answered = Phase.BODY
    _wanted_first = "a response"

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        request: CheckRequest,
    ) -> None:
        super().__init__(engine, target, timeout, done, context=request.context, server_name=request.server_name)
        self.request = request
        self._ordinary = request.ordinary
        self._search: Search | None = None
        self._response: message.Response | None = None

    @override
    def _begin(self) -> None:
        self._unsent = self.request.data

    @override
    def _take(self, data: bytes) -> bool:
        response = self._response
        if response is None:
            status = message.glance(data) if self._ordinary else 0
            if status:
                self._check_status(status)
                return True
            response = self._response = self._new_response()
        try:
            if data:
                response.feed(data)
            else:
                response.close()
        except ResponseError as error:
            raise CheckFailed(Phase(error.part), str(error), error.cause) from None
        if response.status and not self._answered_at:
            self._check_status(response.status)
        return response.complete if self._search is None else self._catch_up()

    @override
    @property
    def _ends_by_reset(self) -> bool:
        # As in PyBal 1.15: a script behind inetd exits without reading the request, and the kernel resets the connection.
        return self._response is not None and self._response.until_closed

    @override
    def _catch_up(self) -> bool:
        """Search some of the body that has arrived; read no more until it was searched."""
        response, search = self._response, self._search
        if response is None or search is None:
            return False
        self._behind = not search.work()
        if self._behind or not response.complete:
            return False
        if not search.end():
            wanted = shown(search.pattern.text)
            compressed = f", content-encoding {response.encoding}" if response.encoding else ""
            raise CheckFailed(Phase.BODY, f"no match for {wanted} in {response.received} bytes{compressed}", "no match")
        return True

    def _new_response(self) -> message.Response:
        request = self.request
        if request.pattern is None:
            return message.Response(request.max_body, bodiless=request.bodiless)
        self._search = request.pattern.search()
        return message.Response(request.max_body, bodiless=request.bodiless, body=self._search.feed)

    def _check_status(self, status: int) -> None:
        self._answered_at = self._last_byte_at
        if status not in self.request.statuses:
            raise CheckFailed(Phase.STATUS, f"HTTP {status}, wanted {self.request.wanted}", f"HTTP {status}")

    @override
    def _release(self) -> None:
        self._tls = self._response = self._search = None

    # -- texts of failures

    @override
    @property
    def _progress(self) -> str:
        response = self._response
        if response is None or not response.arrived:
            return ""
        return response.progress if response.status else f"{response.arrived} bytes"

    @override
    @property
    def _history(self) -> str:
        history = super()._history
        if self._response is None or not self._answered_at:
            return history
        return f"{history}, HTTP {self._response.status} in {format_duration(self._answered_at - self._started_at)}"
