"""The TCP check with an optional request that passes when an expected text arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck

EXPECT_LIMIT = 64 * 1024
"""Bytes that are searched, at most."""
_SHOWN = 40


class ExpectCheck(StreamCheck):
    """A check that passes when ``expect`` arrives, or any data if it is empty."""

    __slots__ = ("_buffer", "_expect", "_request")

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        send: bytes,
        expect: bytes,
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._request = send
        self._expect = expect
        self._buffer = b""

    @override
    def _begin(self) -> None:
        self._buffer = b""
        self._unsent = self._request

    @override
    def _take(self, data: bytes) -> bool:
        if not data:
            raise self._closed()
        room = EXPECT_LIMIT - len(self._buffer)
        # Search new data only, plus a possible beginning of the text at the end of the old data.
        start = max(0, len(self._buffer) - len(self._expect) + 1)
        self._buffer += data[:room]
        if self._buffer.find(self._expect, start) >= 0:
            return True
        if len(data) >= room:
            raise CheckFailed(Phase.ANSWER, f"{EXPECT_LIMIT} bytes without {self._wanted}", "expected text missing")
        return False

    @override
    @property
    def _progress(self) -> str:
        return f"{self._received} bytes without {self._wanted}" if self._received else ""

    @property
    def _wanted(self) -> str:
        return repr(self._expect[:_SHOWN])[1:] + ("…" if len(self._expect) > _SHOWN else "")
