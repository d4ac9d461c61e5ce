"""Names of users, looked up in a thread: a name service that hangs never holds the loop."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pybal.core.model import Alert
from pybal.runtime.workers import Threads

#: Number of threads.
THREADS = 2

#: Seconds to wait for a name.
PATIENCE = 1.0

#: Seconds for which a name is used again.
FRESH = 300.0

#: Seconds without a result after which a look-up is an alert.
SLOW = 5.0


class UserNames:
    """The names of users by number.

    A user without a name is its number, and so is one whose name is not known while the name service hangs.
    """

    def __init__(self, threads: Threads, clock: IReactorTime, look_up: Callable[[int], str] | None = None) -> None:
        self._threads = threads
        self._clock = clock
        self._look_up = look_up or _name
        self._known: dict[int, tuple[str, float]] = {}
        self._pending: dict[int, float] = {}

    def name(self, user: int) -> Deferred[str]:
        """Return the name of a user within :data:`PATIENCE` seconds. Does not fail."""
        name, since = self._known.get(user, (str(user), float("-inf")))
        if user in self._pending or self._clock.seconds() - since < FRESH:
            return succeed(name)
        self._pending[user] = self._clock.seconds()
        waiting: Deferred[str] = Deferred()
        self._threads.run(partial(self._look_up, user)).addBoth(self._found, user, waiting)
        return waiting.addTimeout(PATIENCE, self._clock, lambda *_: name)

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert while a look-up does not end."""
        now = self._clock.seconds()
        for user, since in self._pending.items():
            if now - since > SLOW:
                text = f"no response from the name service for {now - since:.0f} s (user {user}); using numbers"
                yield Alert("", "names", text)
                return

    def _found(self, result: str | Failure, user: int, waiting: Deferred[str]) -> None:
        del self._pending[user]
        name = str(user) if isinstance(result, Failure) else result
        self._known[user] = name, self._clock.seconds()
        if not waiting.called:
            waiting.callback(name)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except (KeyError, OSError):
        return str(user)
