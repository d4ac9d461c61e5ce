"""A reactor on a Clock, for an engine whose time the test advances."""

from __future__ import annotations

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock


class ClockReactor(Clock):
    """A clock that accepts readers and never runs calls late."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:  # noqa: N802  # Twisted's name
        self.readers.remove(reader)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock without making a call late."""
        end = self.seconds() + seconds
        while self.calls and self.calls[0].getTime() <= end:
            self.advance(max(0.0, self.calls[0].getTime() - self.seconds()))
        self.advance(max(0.0, end - self.seconds()))
