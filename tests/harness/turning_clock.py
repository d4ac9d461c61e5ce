"""A clock that runs one turn of the loop at a time and measures its CPU time."""

from __future__ import annotations

import time

from twisted.internet.task import Clock


class TurningClock(Clock):
    """Runs calls as a reactor does: one made with ``callLater(0)`` during a turn waits for the next one.

    ``longest`` is the CPU time of the longest turn, in seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0

    def turn(self) -> float:
        """Run the calls that are due now, and return the CPU time in seconds."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        begun = time.thread_time()
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        held = time.thread_time() - begun
        self.longest = max(self.longest, held)
        return held

    def settle(self, most: int = 100_000) -> int:
        """Run turns until no call is due; return their number."""
        for turns in range(most):
            if not any(call.getTime() <= self.seconds() for call in self.calls):
                return turns
            self.turn()
        raise AssertionError(f"calls are still due after {most} turns")
