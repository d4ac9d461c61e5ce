"""The result of one check: an outcome, and for a failure its phase and reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import NamedTuple

from pybal.core.text import format_duration


class CheckOutcome(Enum):
    """The outcomes of a check."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    """A local problem prevented a result."""


PASSED, FAILED, INCONCLUSIVE = CheckOutcome


class Phase(StrEnum):
    """The phases of checks."""

    START = "start"
    """A command that could not be started."""
    EXIT = "exit"
    CONNECT = "connect"
    TLS = "tls"
    HEADERS = "headers"
    BODY = "body"
    STATUS = "status"
    IDLE = "idle"
    """A held connection."""
    QUERY = "query"
    """A query that was sent."""
    ANSWER = "answer"
    ICMP = "icmp"
    """Datagrams that were sent."""


STEPS = ("connect", "tls", "first byte", "headers")
"""The steps of a check before a body, in order; ``first byte`` begins with the request."""
NEVER = -1.0


class Result(NamedTuple):
    """The outcome of one check.

    ``reason`` may hold measured values; ``cause`` is a fixed term for the same failure, to compare failures (``timeout``,
    ``refused``, ``HTTP 500``). ``duration`` is in seconds from the start of the check. ``steps`` are the times at which each of
    :data:`STEPS` ended, in the same unit; :data:`NEVER` if it was not reached; empty for checks without these steps. ``received``
    counts the bytes of the response.
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
        """The duration of each phase in seconds, in order; the check ended in the last one."""
        found: dict[str, float] = {}
        reached = 0.0
        for name, moment in zip(STEPS, self.steps, strict=False):
            if moment != NEVER:
                found[name] = moment - reached
                reached = moment
        if self.phase is not Phase.STATUS:  # which is decided when the headers are complete
            waited = self.steps and self.phase is Phase.HEADERS and "first byte" not in found
            found["first byte" if waited else str(self.phase)] = max(0.0, self.duration - reached)
        return found

    @property
    def text(self) -> str:
        """Phase and reason, for people: ``status: HTTP 500, wanted 200``."""
        return f"{self.phase}: {self.reason}"


class CheckFailed(Exception):  # noqa: N818  # the word of conventions.md
    """A failed check; the attributes are those of :class:`Result`."""

    def __init__(self, phase: Phase, reason: str, cause: str = "") -> None:
        super().__init__(f"{phase}: {reason}")
        self.phase = phase
        self.reason = reason
        self.cause = cause or reason


def timeout_text(progress: str, silence: float, connected: float, timeout: float) -> str:
    """Return the text of a timeout: ``progress`` is the received part, the rest are seconds."""
    if not progress:
        return f"{silence:.1f} s without a byte"
    if silence > timeout / 2:
        return f"{progress}, then nothing for {format_duration(silence)}"
    return f"{progress} in {format_duration(connected)}, still arriving"
