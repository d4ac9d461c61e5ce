"""The TCP check that waits for words: it says something, or nothing, and passes when a text has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck

EXPECT_LIMIT = 64 * 1024
"""Bytes that are searched."""
_SHOWN = 40


class ExpectCheck(StreamCheck):
    """A check that passes when ``expect`` has come; if that is empty, when anything has."""

    __slots__ = ("_expect", "_greeting", "_heard")

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
        self._greeting = send
        self._expect = expect
        self._heard = b""

    def _begin(self) -> None:
        self._heard = b""
        self._unsaid = self._greeting

    def _take(self, data: bytes) -> bool:
        if not data:
            raise self._closed()
        room = EXPECT_LIMIT - len(self._heard)
        # What was searched before is not searched again, but for what may be the beginning of the text.
        start = max(0, len(self._heard) - len(self._expect) + 1)
        self._heard += data[:room]
        if self._heard.find(self._expect, start) >= 0:
            return True
        if len(data) >= room:
            raise CheckFailed(Phase.ANSWER, f"{EXPECT_LIMIT} bytes without {self._wanted}", "not what is expected")
        return False

    @property
    def _progress(self) -> str:
        return f"{self._received} bytes without {self._wanted}" if self._received else ""

    @property
    def _wanted(self) -> str:
        return repr(self._expect[:_SHOWN])[1:] + ("…" if len(self._expect) > _SHOWN else "")
