"""The last results of a monitor, packed: about 11,750 monitors keep 50 each.

An entry is 36 bytes and two references, to the reason and to the subject; consecutive equal reasons are one object, and
a long reason is cut. Measured with 11,750 ProxyFetch monitors, as the growth of the process including their checks:
1.4 KB each before the first result, 4.2 KB with 50 passes, 11.5 KB with 50 failures, each with a different reason of
maximum length. Adding a result takes 1.4 µs.

    offset  bytes  field
         0      8  at: monotonic time, seconds
         8      1  verdict
         9      1  phase
        10      1  1 for a follow-up, else 0
        12      4  bytes received
        16     16  steps, seconds
        32      4  duration, seconds
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import inf

from pybal.checks.result import INCONCLUSIVE, NEVER, PASSED, STEPS, CheckOutcome, Phase, Result
from pybal.core.text import ascii_of
from pybal.monitors.base import PastResult

KEPT = 50
"""Results per monitor, including follow-ups."""
LONGEST_REASON = 95
"""ASCII characters; a str with one byte per character then takes 144 bytes."""

_ENTRY = struct.Struct("<dBB?xI5f")
_SIZE = _ENTRY.size
_MAX_BYTES = 2**32 - 1
_LONG_AGO = -inf
_NO_STEPS = (NEVER,) * len(STEPS)
_VERDICTS = tuple(CheckOutcome)
_PHASES = tuple(Phase)
_VERDICT_NUMBERS = {verdict.value: number for number, verdict in enumerate(_VERDICTS)}
_PHASE_NUMBERS = {phase: number for number, phase in enumerate(_PHASES)}


class ResultHistory:
    """The last :data:`KEPT` results of one monitor.

    ``decided_at`` is the monotonic time of the last conclusive result, in seconds, ``-inf`` without any; ``passed_at`` is the same if
    that result passed, else ``-inf``.
    """

    __slots__ = ("_next", "_packed", "_reasons", "_subjects", "decided_at", "passed_at")

    def __init__(self) -> None:
        self.decided_at = self.passed_at = _LONG_AGO
        self._next = 0
        self._packed = bytearray()
        # Most monitors have neither; a list that is not there does not displace others from the caches of the CPU.
        self._reasons: list[str] | None = None
        self._subjects: list[str] | None = None

    def add(self, at: float, result: Result, subject: str = "", *, follow_up: bool = False) -> None:
        """Add a result; it replaces the oldest one if there are already :data:`KEPT`."""
        verdict, duration, phase, reason, _, steps, received = result
        if not follow_up and verdict is not INCONCLUSIVE:
            self.decided_at = at
            self.passed_at = at if verdict is PASSED else _LONG_AGO
        place, packed = self._next, self._packed
        if reason or self._reasons is not None:
            self._set_reason(place, reason)
        if subject or self._subjects is not None:
            if self._subjects is None:
                self._subjects = [""] * KEPT
            self._subjects[place] = subject
        if len(packed) == place * _SIZE:
            packed += bytes(_SIZE)
        connect, tls, first_byte, headers = steps or _NO_STEPS
        _ENTRY.pack_into(
            packed,
            place * _SIZE,
            at,
            _VERDICT_NUMBERS[verdict._value_],
            _PHASE_NUMBERS[phase],
            follow_up,
            received if received < _MAX_BYTES else _MAX_BYTES,  # noqa: FURB136  # min() takes a tenth of all this
            connect,
            tls,
            first_byte,
            headers,
            duration,
        )
        self._next = (place + 1) % KEPT

    def _set_reason(self, place: int, reason: str) -> None:
        if self._reasons is None:
            self._reasons = [""] * KEPT
        reason, last = ascii_of(reason, LONGEST_REASON), self._reasons[place - 1]
        self._reasons[place] = last if last == reason else reason

    def __iter__(self) -> Iterator[PastResult]:
        """Yield the results, oldest first."""
        count = len(self._packed) // _SIZE
        for number in range(count):
            place = (self._next + number) % count if count == KEPT else number
            yield self._past(place)

    def _past(self, place: int) -> PastResult:
        at, verdict, phase, follow_up, received, *steps, duration = _ENTRY.unpack_from(self._packed, place * _SIZE)
        result = Result(
            _VERDICTS[verdict],
            duration,
            _PHASES[phase],
            "" if self._reasons is None else self._reasons[place],
            steps=() if max(steps) == NEVER else tuple(steps),
            received=received,
        )
        return PastResult(at, result, "" if self._subjects is None else self._subjects[place], follow_up)
