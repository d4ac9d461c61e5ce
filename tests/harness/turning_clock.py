"""A clock with turns of the loop: advance() of a Clock also runs calls that these calls schedule."""

from __future__ import annotations

from twisted.internet.task import Clock


class TurningClock(Clock):
    """A Clock with :meth:`turn`."""

    def turn(self) -> None:
        """Run the calls that are due now, and none that they schedule, as one turn of a reactor does."""
        for call in [each for each in self.calls if each.getTime() <= self.rightNow]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
