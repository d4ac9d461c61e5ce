"""Remembers since when each alert lasts, the only state that alerts have.

Alerts are computed when requested, so this looks at all of them periodically as well: otherwise an alert would begin when somebody
first asks. An alert is identified by its service, kind and subject, because its text contains numbers that change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Alert, AlertKey
from pybal.runtime.activity import Activity
from pybal.runtime.turns import Pace

INTERVAL = 5.0
"""Seconds between two looks at all alerts: the accuracy of the times."""


class AlertTimes:
    """The times at which the present alerts were first seen.

    ``alerts`` computes all, with ``None`` between two parts. ``looked`` receives them after each look, with the monotonic time of its
    beginning.
    """

    def __init__(
        self,
        alerts: Callable[[], Iterable[Alert | None]],
        clock: IReactorTime,
        looked: Callable[[Sequence[Alert], float], None] = lambda _alerts, _began: None,
    ) -> None:
        self._alerts = alerts
        self._looked = looked
        self._clock = clock
        self._first: dict[AlertKey, float] = {}
        self.revision = 0
        """Counts the alerts that began or ended."""
        self._activity = Activity("alerts", lambda: Deferred.fromCoroutine(self._look()), clock, interval=INTERVAL)

    @property
    def number(self) -> int:
        """The number of alerts at the last look."""
        return len(self._first)

    def start(self) -> None:
        """Begin to look."""
        self._activity.start()

    def stop(self) -> None:
        """Stop looking."""
        self._activity.stop()

    def since(self, key: AlertKey) -> float:
        """Return the monotonic time at which a present alert was first seen, in seconds."""
        if key not in self._first:
            self.revision += 1
        return self._first.setdefault(key, self._clock.seconds())

    async def _look(self) -> None:
        """Note new alerts, and forget those that are over."""
        pace, began, present = Pace(self._clock), self._clock.seconds(), list[Alert]()
        over = set(self._first)
        for alert in self._alerts():
            if alert is not None:
                present.append(alert)
                self.since(alert.key)
                over.discard(alert.key)
            await pace.pause()
        for key in over:
            del self._first[key]
        self.revision += len(over)
        self._looked(present, began)
