"""A journal in memory, without a daemon: a test records events and replays the lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pybal.bgp.announcer import Inputs
from pybal.bgp.verdict import Decided
from pybal.core.events import Event
from pybal.core.model import Pool
from pybal.core.policy import serving
from pybal.journal.decisions import Decisions
from pybal.journal.records import Record, event_record, head, header, plain, pool_in_parts
from pybal.journal.replay import Replay, replayed
from pybal.journal.values import placements

TIME = "2026-11-30T08:00:00.000Z"


class JournalLines:
    """Records what a test does; ``text`` are the lines."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self._n = 0
        self._number = 0
        self._pools: dict[str, tuple[int, Pool]] = {}
        """The number and the last state of a pool, by a name of the test."""
        self._decisions = Decisions(self._number_of)
        self.begin()

    def begin(self) -> None:
        """Begin a segment with the state of everything."""
        self._put(plain(pybal="2", host="lvs1", run="1"), begins=True)
        for number, pool in self._pools.values():
            self._put(pool_in_parts(number, pool))
        if state := self._decisions.state():
            self._put(state)

    def follow(self, name: str, pool: Pool) -> int:
        """Return the number of a pool; if the last event did not lead to this state, it is a new pool."""
        number, known = self._pools.get(name, (0, None))
        if known is not pool:
            self._number += 1
            number = self._number
            self._put(pool_in_parts(number, pool))
        self._pools[name] = number, pool
        return number

    def record(self, name: str, event: Event, before: Pool, after: Pool) -> None:
        """Record an event of a pool."""
        number = self.follow(name, before)
        placed = {} if after is before else placements(before, after)
        self._put(event_record(number, before.service.name, event, placed, serving(after)))
        self._pools[name] = number, after

    def decide(self, inputs: Inputs, decided: Decided) -> None:
        """Record a decision on announcements."""
        for record in self._decisions.records(inputs, decided):
            self._put(record, inputs.now)

    def replay(self) -> Replay:
        """Return the replay of all lines."""
        return replayed(self.records())

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Yield the records of all lines."""
        return map(json.loads, "".join(self.text).splitlines())

    def segments(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield the records of each segment."""
        segment: list[Mapping[str, Any]] = []
        for record in self.records():
            if "journal" in record and segment:
                yield segment
                segment = []
            segment.append(record)
        yield segment

    def pools(self) -> dict[int, Pool]:
        """Return the present states by number."""
        return dict(self._pools.values())

    def _number_of(self, pool: Pool) -> int:
        return self.follow(pool.service.name, pool)

    def _put(self, record: Record, at: float = 0.0, *, begins: bool = False) -> None:
        self._n += 1
        start = header if begins else head
        # A record reads the state of its time.
        self.text.append(start(self._n, at, TIME) + "".join(record))
