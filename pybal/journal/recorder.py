"""Records what the decision core sees, in the order in which it takes effect.

The caller only appends a reference to a bounded queue. The text is made in later turns of the loop, a little in each: through the GIL a
thread that makes text would hold the loop longer than the text takes. A thread writes it, so a slow disk never holds the loop.

A segment begins with a header and the state of all pools, so that it can be replayed without the ones before. Records that cannot be
written make a gap: the journal goes on with a new segment as soon as it can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.bgp.announcer import Inputs
from pybal.bgp.verdict import Decided
from pybal.core.events import Event
from pybal.core.model import Alert, AlertKey, Pool
from pybal.core.policy import serving
from pybal.core.text import format_age, numbered
from pybal.journal.codec import size_of
from pybal.journal.decisions import Decisions
from pybal.journal.records import (
    Record,
    alert_end_record,
    alert_record,
    event_record,
    head,
    header,
    plain,
    pool_in_parts,
)
from pybal.journal.segments import SegmentFiles
from pybal.journal.values import placements
from pybal.runtime.activity import Activity
from pybal.runtime.clocks import Clocks
from pybal.runtime.log_writer import LogWriter
from pybal.runtime.turns import Turns, Work
from pybal.runtime.workers import Threads

DIRECTORY = "journal"
"""The name of the directory of the journal in the state directory."""
MEGABYTE = 1_000_000
SEGMENTS = 8
"""The journal has at least that many segments, unless their states take half of it."""
LARGEST_SEGMENT = 16 << 20
"""Bytes of a segment, at most, or twice its state.

A restart rebuilds the history from the last 32 MB, and only from whole segments.
"""
MOST_ENTRIES = 200_000
"""Entries of events and pools in the queue; a report, a member or a server is one."""
QUEUE_BYTES = 32 << 20
"""Bytes of text that wait for the disk."""
RETRY = 10.0
"""Seconds from a loss of records to the attempt to begin a new segment."""
SETTLE = 0.5
"""Seconds between looks at whether a new segment is written."""
DERIVED = frozenset(
    (
        *("pooled-down", "no-servers", "down", "too-small", "suspect-check", "disabled", "duplicate"),
        *("unresolved", "unknown", "dns-move", "not-announced", "flapping", "journal"),
    )
)
"""Kinds of alerts that are not recorded: they follow from other records, or each server may have one."""
CLOSE_SECONDS = 2.0
"""Time for the last records at the end of the daemon."""
DISK = "the disk does not respond"
BUSY = "the event loop is too busy"


class _Item(NamedTuple):
    """A record in the queue.

    ``entries`` is its part of the bound, ``states`` the number of records of state after a header.
    """

    n: int
    at: float
    record: Record
    entries: int
    states: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that are lost: since when, why, and how many so far."""

    since: float
    reason: str
    lost: int


class Recorder:
    """The journal of one run of the daemon in ``directory``, of at most ``size`` bytes.

    ``read`` returns the present time of both clocks, ``host`` is the name of this balancer, ``writer`` makes the thread that writes,
    ``threads`` closes the journal. Pools are numbered, because a service may take the name of another one.
    """

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        size: int,
        *,
        clock: IReactorTime,
        turns: Turns,
        threads: Threads,
        read: Callable[[], Clocks],
        host: str,
        version: str,
        writer: Callable[..., LogWriter] = LogWriter,
    ) -> None:
        self._directory = directory
        self._segment = min(size // SEGMENTS, LARGEST_SEGMENT)
        self._clock = clock
        self._turns = turns
        self._threads = threads
        self._read = read
        self._about = {"pybal": version, "host": host, "run": read().iso_time(clock.seconds())}
        self._n = 0
        self._items = deque[_Item]()
        self._entries = 0
        self._stopped = False
        self._working: Deferred[Any] | None = None
        """Fires when the queue is empty."""
        self._pools: dict[int, Pool] = {}
        """The last state of each pool, by its number."""
        self._last_number = 0
        self._announcing = Decisions(self.number_of)
        self._alerts: dict[AlertKey, Alert] = {}
        """The recorded alerts that are present, since the times of their first records."""
        self._written = self._state = 0
        """Bytes of the present segment, and those of the state at its beginning."""
        self._states = 0
        """Records of that state that are still in the queue."""
        self._gap: Gap | None = None
        self._losing = False
        """True from a loss of records until the next segment begins."""
        self._writer = writer(
            SegmentFiles(directory, size).write,
            lambda _trouble, _now: b"",
            limit=QUEUE_BYTES,
            clock=clock.seconds,
            name="journal",
            stalled=DISK,
        )
        self._dropped = 0
        """Records that the thread has dropped and that are counted."""
        self._again = Activity("journal", self._resume, clock)
        self.begin_segment()

    @property
    def run(self) -> str:
        """The name of this run of the daemon: the time of its start."""
        return self._about["run"]

    def tape(self) -> Tape:
        """Return the recorder of one pool."""
        return Tape(self)

    def note(self, text: str) -> None:
        """Record a fact for people."""
        self._put(plain(event="note", text=text))

    def alert(self, alert: Alert) -> None:
        """Record that an alert begins, or has another text."""
        known = self._alerts.get(alert.key)
        if known is None or known.text != alert.text:
            since = self._clock.seconds() if known is None else known.since
            self._alerts[alert.key] = replace(alert, since=since)
            self._put_alert(alert.key)

    def see_alerts(self, alerts: Iterable[Alert], began: float) -> None:
        """Record which alerts have begun and ended at a look at all of them, which began at a monotonic time."""
        present = {alert.key: alert for alert in alerts if alert.kind not in DERIVED}
        for key in [key for key, alert in self._alerts.items() if key not in present and (alert.since or 0.0) < began]:
            del self._alerts[key]
            self._put(alert_end_record(key))
        for key, alert in present.items():
            if key not in self._alerts:
                self.alert(alert)

    def decided(self, inputs: Inputs, decided: Decided) -> None:
        """Record a decision on the announcements."""
        try:
            for record in self._announcing.records(inputs, decided):
                self._put(record, at=inputs.now)
        except Exception:  # noqa: BLE001  # the decision has been made, and must take effect
            self._fail()

    def record(self, pool: int, event: Event, before: Pool, after: Pool) -> None:
        """Record an event of the pool with a number."""
        try:
            self._pools[pool] = after
            placed = placements(before, after) if after is not before else {}
            record = event_record(pool, before.service.name, event, placed, serving(after))
            self._put(record, size_of(event))
        except Exception:  # noqa: BLE001  # the event has been applied, and must take effect
            self._fail()

    def end(self, pool: int) -> None:
        """Record that a service was removed."""
        self._pools.pop(pool, None)
        self._put(plain(event="end", pool=pool))

    def number_of(self, pool: Pool) -> int:
        """Return the number of a pool by its last state.

        An unknown state is that of a new pool, and is recorded.
        """
        for number, known in self._pools.items():
            if known is pool:
                return number
        self._last_number += 1
        self._pools[self._last_number] = pool
        self._put(pool_in_parts(self._last_number, pool), len(pool.servers))
        return self._last_number

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert while records are lost or the disk does not respond."""
        gap, trouble = self._gap, self._writer.trouble
        if gap is None and trouble is not None:
            gap = Gap(trouble.since, trouble.reason, 0)
        if gap is not None:
            lasted = format_age(max(0.0, self._clock.seconds() - gap.since))
            lost = f"{numbered(gap.lost, 'record')} lost, retrying" if gap.lost else "waiting"
            yield Alert("", "journal", f"{self._directory}: {gap.reason} for {lasted}; {lost}", since=gap.since)

    def stop(self) -> Deferred[bool]:
        """Record nothing more, and write what is recorded; the result is false if the disk takes too long."""
        self._put(plain(event="stop"))
        self._stopped = True
        self._again.stop()
        last = self._working or succeed(None)
        return last.addCallback(lambda _: self._threads.run(partial(self._writer.close, CLOSE_SECONDS)))

    def begin_segment(self) -> None:
        """Begin a segment: a header and the state of everything."""
        self._losing = False
        if self._gap is not None:
            self._gap = replace(self._gap, lost=self._gap.lost + self._new_drops())
        bgp = self._announcing.state()
        lost = {} if self._gap is None else {"lost": {"records": self._gap.lost, "reason": self._gap.reason}}
        self._put(plain(**self._about, **lost), states=len(self._pools) + len(self._alerts) + (bgp is not None))
        for number, pool in self._pools.items():
            self._put(pool_in_parts(number, pool), len(pool.servers))
        for key in self._alerts:
            self._put_alert(key)
        if bgp is not None:
            self._put(bgp)

    def _put_alert(self, key: AlertKey) -> None:
        alert = self._alerts[key]
        self._put(alert_record(alert, self._read().iso_time(alert.since or 0.0)))

    def _put(self, record: Record, entries: int = 1, *, at: float | None = None, states: int | None = None) -> None:
        if self._stopped:
            return
        self._n += 1
        if self._losing:
            self._lose(1)
        elif self._entries + entries > MOST_ENTRIES and self._items:
            self._lose(1, BUSY)
        else:
            self._items.append(_Item(self._n, self._clock.seconds() if at is None else at, record, entries, states))
            self._entries += entries
            if self._working is None:
                self._working = self._turns.run(self._work()).addErrback(self._fail)

    def _work(self) -> Work:
        """Make the text of the records in the queue, one piece in each step."""
        while self._items:
            item = self._items.popleft()
            self._entries -= item.entries
            begin = head if item.states is None else header
            text = [begin(item.n, item.at, self._read().iso_time(item.at))]
            for piece in item.record:
                text.append(piece)
                yield
            self._write("".join(text).encode(), item.states)
            yield
        self._working = None
        if not self._losing and not self._stopped:
            self._again.wake(SETTLE)  # the thread may lose the last records

    def _write(self, text: bytes, states: int | None) -> None:
        """Pass a record to the thread; begin a new segment if this one is full."""
        if drops := self._new_drops():
            self._lose(1 + drops, self._writer.drop_reason)
            return
        self._writer.put(text)
        if states is not None:
            self._written, self._states = 0, states + 1
        self._written += len(text)
        if self._states:
            self._states -= 1
            self._state = self._written
        elif self._written > max(self._segment, 2 * self._state):
            self._written = 0
            self.begin_segment()

    def _new_drops(self) -> int:
        """Return the number of records that the thread has dropped since the last call."""
        drops = self._writer.dropped - self._dropped
        self._dropped += drops
        return drops

    def _lose(self, records: int, reason: str = "") -> None:
        """Count lost records, also those in the queue, until the next segment begins."""
        gap = self._gap or Gap(self._clock.seconds(), reason, 0)
        self._gap = replace(gap, lost=gap.lost + records + len(self._items), reason=reason or gap.reason)
        self._items.clear()
        self._entries = 0
        if not self._losing:
            self._losing = True
            self._log.error(
                "{directory}: {reason}; losing records, retrying every {pause:g} s",
                directory=self._directory,
                reason=self._gap.reason,
                pause=RETRY,
                system="journal",
            )
            self._again.wake(RETRY)

    def _resume(self) -> float | None:
        """Begin a new segment after a loss; end the gap when it is written."""
        if self._losing:
            self.begin_segment()
            return SETTLE
        if drops := self._new_drops():
            self._lose(drops, self._writer.drop_reason)
            return RETRY
        if self._items or not self._writer.is_idle or self._writer.trouble:
            return SETTLE
        if self._gap is not None:
            text = "{directory}: writing again; {lost} records are lost"
            self._log.info(text, directory=self._directory, lost=self._gap.lost, system="journal")
        self._gap = None
        return None

    def _fail(self, failure: Failure | None = None) -> None:
        """Go on with a new segment after an unexpected exception, by default the present one."""
        self._log.failure("journal: unexpected exception; losing records", failure, system="journal")
        self._working = self._working if failure is None else None
        self._lose(1, "internal error (see the log)")


class Tape:
    """Records the events of one pool."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._number: int | None = None

    def record(self, event: Event, before: Pool, after: Pool) -> None:
        """Record that an event changed the pool, or left it as it was (the same object)."""
        if self._number is None:
            self._number = self._recorder.number_of(before)
        self._recorder.record(self._number, event, before, after)

    def alert(self, alert: Alert) -> None:
        """Record an alert of the service."""
        self._recorder.alert(alert)

    def end(self) -> None:
        """Record that the service was removed."""
        if self._number is not None:
            self._recorder.end(self._number)
