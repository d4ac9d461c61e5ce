"""What is tried when a server fails after a success, to learn more of why: a few other checks, one after the other.

Their results are remembered and count for nothing. No more servers are looked into at once than the engine has places
for in the whole daemon; one that fails while all are taken goes without, so that a mass failure costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pybal.checks.check import Check
from pybal.checks.places import Places
from pybal.checks.result import Result


class Diagnosis:
    """Checks to be made in turn. ``noted`` is told the name and the result of each.

    Each is made with :meth:`told` for its ``done``, added with a name, and owned from then on.
    """

    __slots__ = ("_checks", "_noted", "_places", "running")

    def __init__(self, places: Places, noted: Callable[[str, Result], None]) -> None:
        self.running = False
        self._checks: deque[tuple[str, Check]] = deque()
        self._noted = noted
        self._places = places

    def add(self, name: str, check: Check) -> None:
        """Append a check, before :meth:`start`."""
        self._checks.append((name, check))

    def start(self) -> None:
        """Begin if there is a place. To be called from the ``done`` of a check."""
        if self._places.taken < self._places.most:
            self.running = True
            self._places.enter(self._proceed)

    def stop(self) -> None:
        """End for good, wherever it is."""
        if self.running:
            self._checks[0][1].cancel()
            self._checks.clear()
            self._proceed()

    def told(self, check: Check, result: Result) -> None:
        """Take what the check in turn came to, and go on to the next."""
        del check
        name, _ = self._checks.popleft()
        self._noted(name, result)
        self._proceed()

    def _proceed(self) -> None:
        if self._checks:
            self._checks[0][1].start()
        else:
            self.running = False
            self._places.leave()
