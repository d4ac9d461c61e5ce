"""Verification of a watch: when the member counts as lost, and which changes were missed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.responses import LARGEST
from pybal.sources.etcd.v3watch import FULL, LAG, PROBE, KeyWatcher
from pybal.sources.etcd.v3wire import Keys, KeyState, RangeResponse, WatchResponse

A, B = KeyState(2, b"1"), KeyState(3, b"1")
FOUND = RangeResponse("7", 3, 2, {b"/a": A, b"/b": B})


class FakeGateway:
    """The gateway of a member with the keys ``now``; ``asked`` has the ``since`` of each read."""

    def __init__(self) -> None:
        self.now = FOUND
        self.asked: list[int] = []
        self.start = 0
        self.send: Callable[[WatchResponse], None]
        self.end: Callable[[SourceError], None]

    async def read(self, prefix: bytes, since: int = 0, within: float = 0) -> RangeResponse:
        assert prefix == b"/"
        self.asked.append(since)
        if self.now.cluster == "":
            raise SourceError("no answer within 4 s", Trouble.SILENT)
        keys = {key: written for key, written in self.now.keys.items() if written.revision >= since}
        return RangeResponse(self.now.cluster, self.now.revision, self.now.count, keys)

    async def watch(
        self, prefix: bytes, start: int, received: Callable[[WatchResponse], None], lost: Callable[[SourceError], None]
    ) -> None:
        self.start, self.send, self.end = start, received, lost


class RunningWatcher:
    """A running watcher that has started with :data:`FOUND`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.member = FakeGateway()
        self.changes: list[Keys] = []
        self.verified = 0
        self.ended: BaseException | None = None
        self.listener: Callable[[Keys], None] = self.changes.append
        self.watcher = KeyWatcher(
            self.member,  # type: ignore[arg-type]  # it has the two methods in use
            b"/",
            FOUND,
            clock=self.clock,
            random=Random(1),
            changed=self._change,
            verified=self._verify,
        )
        self.run = Deferred.fromCoroutine(self.watcher.run())
        self.run.addErrback(lambda failure: setattr(self, "ended", failure.value))

    def _change(self, keys: Keys) -> None:
        self.listener(keys)

    def _verify(self) -> None:
        self.verified += 1

    def probe(self) -> None:
        """Advance the clock until the next probe."""
        before = len(self.member.asked)
        while len(self.member.asked) == before:
            assert self.ended is None
            self.clock.advance(0.1)


@pytest.fixture
def running() -> RunningWatcher:
    return RunningWatcher()


def test_watch_starts_at_the_revision_after_the_read(running: RunningWatcher) -> None:
    assert running.member.start == 4
    c = KeyState(4, b"2")
    running.member.send(WatchResponse({b"/c": c}))
    running.member.send(WatchResponse({b"/a": KeyState(5, None)}))
    running.member.send(WatchResponse({}))
    assert running.changes == [{b"/c": c}, {b"/a": KeyState(5, None)}]


def test_probe_reads_keys_written_since_the_last_one(running: RunningWatcher) -> None:
    running.probe()
    running.member.send(WatchResponse({b"/c": KeyState(6, b"")}))
    running.member.now = RangeResponse("7", 6, 3, {**FOUND.keys, b"/c": KeyState(6, b"")})
    running.probe()
    running.probe()
    assert running.member.asked == [4, 4, 7]
    assert (running.verified, running.ended) == (3, None)


def test_probes_keep_their_interval_and_the_first_is_sooner(running: RunningWatcher) -> None:
    running.clock.advance(0.9)
    assert running.verified == 0
    running.clock.advance(0.2)
    assert running.verified == 1
    for _ in range(600):
        running.clock.advance(0.1)
    assert 60 / PROBE <= running.verified - 1 <= 60 / PROBE / 0.9


def test_late_change_does_not_count_as_missed(running: RunningWatcher) -> None:
    running.member.now = RangeResponse("7", 4, 3, {**FOUND.keys, b"/c": KeyState(4, b"")})
    running.probe()
    assert running.verified == 0
    running.member.send(WatchResponse({b"/c": KeyState(4, b"")}))
    running.clock.advance(LAG)
    assert (running.verified, running.ended, running.watcher.missed) == (1, None, 0)


def test_missed_changes_are_counted_and_end_the_watch(running: RunningWatcher) -> None:
    running.member.now = RangeResponse("7", 6, 2, {b"/b": KeyState(5, b""), b"/c": KeyState(4, b"")})
    running.probe()
    running.clock.advance(LAG)
    assert str(running.ended) == "watch missed 3 changes"
    assert (running.watcher.missed, running.verified) == (3, 0)
    assert running.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (RangeResponse("8", 9, 2, FOUND.keys), "revision 9 of cluster 8, wanted 3 or later of 7"),
        (RangeResponse("7", 2, 2, FOUND.keys), "revision 2 of cluster 7, wanted 3 or later of 7"),
        (RangeResponse("", 3, 2, FOUND.keys), "no answer within 4 s"),
    ],
)
def test_watch_ends_when_probe_shows_another_cluster_or_times_out(
    running: RunningWatcher, now: RangeResponse, reason: str
) -> None:
    running.member.now = now
    running.probe()
    assert (str(running.ended), running.watcher.missed) == (reason, 0)
    assert running.clock.getDelayedCalls() == []


def test_probe_reads_everything_every_five_minutes(running: RunningWatcher) -> None:
    while running.clock.seconds() < FULL - PROBE:
        running.probe()
    assert 0 not in running.member.asked
    for _ in range(3):
        running.probe()
    assert running.member.asked.count(0) == 1
    while running.clock.seconds() < 2 * FULL + PROBE:
        running.probe()
    assert running.member.asked.count(0) == 2


def test_deleted_key_is_forgotten_after_a_later_probe(running: RunningWatcher) -> None:
    running.member.send(WatchResponse({b"/a": KeyState(5, None)}))
    running.probe()
    # That probe preceded the deletion.
    assert (running.verified, running.ended) == (1, None)
    running.member.now = RangeResponse("7", 5, 1, {b"/b": B})
    running.probe()
    assert (running.verified, running.ended) == (2, None)
    running.member.send(WatchResponse({b"/b": KeyState(6, b"2")}))
    assert running.changes[-1] == {b"/b": KeyState(6, b"2")}


def test_full_probe_finds_changes_missed_by_all_other_probes(running: RunningWatcher) -> None:
    """The key /c replaced /b before the first revision that the other probes ask for."""
    running.member.now = RangeResponse("7", 3, 2, {b"/a": A, b"/c": B})
    while 0 not in running.member.asked:
        running.probe()
    running.clock.advance(LAG)
    assert (str(running.ended), running.watcher.missed) == ("watch missed 2 changes", 2)


def test_watcher_ends_with_the_reason_of_its_watch(running: RunningWatcher) -> None:
    running.probe()
    running.member.end(SourceError("connection lost"))
    assert str(running.ended) == "connection lost"
    assert running.clock.getDelayedCalls() == []


def test_canceled_watch_raises_its_reason(running: RunningWatcher) -> None:
    with pytest.raises(SourceError, match="watch ended: no leader"):
        running.member.send(WatchResponse({}, "no leader"))


def test_watch_ends_when_its_keys_exceed_the_size_of_a_response(running: RunningWatcher) -> None:
    half = bytes(LARGEST // 2)
    running.member.send(WatchResponse({b"/c": KeyState(4, half)}))
    running.member.send(WatchResponse({b"/c": KeyState(5, half)}))
    with pytest.raises(SourceError, match="more than 6 MiB of keys, or 12,000"):
        running.member.send(WatchResponse({b"/d": KeyState(6, half)}))
    assert len(running.changes) == 2


def test_deleted_keys_count_until_the_next_probe(running: RunningWatcher) -> None:
    half = bytes(LARGEST // 2)
    for revision, key in enumerate((b"/c", b"/d", b"/e"), 4):
        running.member.send(WatchResponse({key: KeyState(revision, half)}))
        running.member.send(WatchResponse({key: KeyState(revision, None)}))
        running.probe()
    assert running.ended is None


def test_listener_stops_the_watcher(running: RunningWatcher) -> None:
    def stop(_: Keys) -> None:
        raise CancelledError

    running.listener = stop
    running.member.send(WatchResponse({b"/c": KeyState(4, b"")}))
    assert isinstance(running.ended, CancelledError)
    assert running.clock.getDelayedCalls() == []
