"""What one check came to: a verdict, and for a failure its phase and reason.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import NamedTuple

from pybal.core.text import format_duration


class CheckOutcome(Enum):
    """What a result says of the server."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    """Nothing: the trouble was ours."""


PASSED, FAILED, INCONCLUSIVE = CheckOutcome


class Phase(StrEnum):
    """How far a check had come."""

    START = "start"
    """A command that was not begun."""
    EXIT = "exit"
    CONNECT = "connect"
    TLS = "tls"
    HEADERS = "headers"
    BODY = "body"
    STATUS = "status"
    IDLE = "idle"
    """A connection that was open and held."""
    QUERY = "query"
    """A question that was asked."""
    ANSWER = "answer"
    ICMP = "icmp"
    """Datagrams that were sent."""


STEPS = ("connect", "tls", "first byte", "headers")
"""What a check may wait for before a body, in order; ``first byte`` begins with the request."""
NEVER = -1.0


class Result(NamedTuple):
    """The outcome of one check.

    ``reason`` may hold measured values; ``cause`` is a fixed word or two for the same thing, so that two failures
    can be told to be alike (``timeout``, ``refused``, ``HTTP 500``). ``duration`` is in seconds from the start of the
    check, and so are ``steps``: the moments at which each of :data:`STEPS` was over, :data:`NEVER` for those that it
    did not come to; empty for a check that has no such steps. ``received`` counts the bytes of the answer.
    """

    verdict: CheckOutcome
    duration: float
    phase: Phase = Phase.CONNECT
    reason: str = ""
    cause: str = ""
    steps: Sequence[float] = ()
    received: int = 0

    @property
    def phases(self) -> dict[str, float]:
        """How long each phase took, in seconds and in order; the check ended in the last one."""
        found: dict[str, float] = {}
        reached = 0.0
        for name, moment in zip(STEPS, self.steps, strict=False):
            if moment != NEVER:
                found[name] = moment - reached
                reached = moment
        if self.phase is not Phase.STATUS:  # which is judged at the moment the headers are there
            waited = self.steps and self.phase is Phase.HEADERS and "first byte" not in found
            found["first byte" if waited else str(self.phase)] = max(0.0, self.duration - reached)
        return found

    @property
    def text(self) -> str:
        """Phase and reason, for people: ``status: HTTP 500, wanted 200``."""
        return f"{self.phase}: {self.reason}"


class CheckFailed(Exception):  # noqa: N818  # the word of conventions.md
    """The server did not do what the check wants; see :class:`Result` for the attributes."""

    def __init__(self, phase: Phase, reason: str, cause: str = "") -> None:
        super().__init__(f"{phase}: {reason}")
        self.phase = phase
        self.reason = reason
        self.cause = cause or reason


def too_slow(progress: str, silence: float, connected: float, timeout: float) -> str:
    """Say how an answer ran out of time: ``progress`` is what had come, empty for nothing; the rest are seconds."""
    if not progress:
        return f"{silence:.1f} s without a byte"
    if silence > timeout / 2:
        return f"{progress}, then nothing for {format_duration(silence)}"
    return f"{progress} in {format_duration(connected)}, and slowly more"
