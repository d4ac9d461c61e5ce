"""When a member of an etcd that is watched counts as lost, and what it is found to have missed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.v3watch import FULL, LAG, PROBE, KeyWatcher
from pybal.sources.etcd.v3wire import Keys, Reading, Watched, Written

A, B = Written(2, b"1"), Written(3, b"1")
FOUND = Reading("7", 3, 2, {b"/a": A, b"/b": B})


class Member:
    """A member of an etcd: ``now`` is what is in it, and ``asked`` since when each read has asked."""

    def __init__(self) -> None:
        self.now = FOUND
        self.asked: list[int] = []
        self.start = 0
        self.says: Callable[[Watched], None]
        self.ends: Callable[[SourceError], None]

    async def read(self, prefix: bytes, since: int = 0, within: float = 0) -> Reading:
        assert prefix == b"/"
        self.asked.append(since)
        if self.now.cluster == "":
            raise SourceError("no answer within 4 s", Trouble.SILENT)
        keys = {key: written for key, written in self.now.keys.items() if written.revision >= since}
        return Reading(self.now.cluster, self.now.revision, self.now.count, keys)

    async def watch(
        self, prefix: bytes, start: int, heard: Callable[[Watched], None], lost: Callable[[SourceError], None]
    ) -> None:
        self.start, self.says, self.ends = start, heard, lost


class Rig:
    """A member that is followed from :data:`FOUND` on."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.member = Member()
        self.heard: list[Keys] = []
        self.good = 0
        self.ended: BaseException | None = None
        self.hear: Callable[[Keys], None] = self.heard.append
        self.following = KeyWatcher(
            self.member,  # type: ignore[arg-type]  # it has what is needed
            b"/",
            FOUND,
            clock=self.clock,
            random=Random(1),
            heard=self._hear,
            good=self._good,
        )
        self.run = Deferred.fromCoroutine(self.following.run())
        self.run.addErrback(lambda failure: setattr(self, "ended", failure.value))

    def _hear(self, keys: Keys) -> None:
        self.hear(keys)

    def _good(self) -> None:
        self.good += 1

    def probe(self) -> None:
        """Let time go by until the next probe has been made."""
        before = len(self.member.asked)
        while len(self.member.asked) == before:
            assert self.ended is None
            self.clock.advance(0.1)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_it_is_watched_from_the_revision_after_what_was_found(rig: Rig) -> None:
    assert rig.member.start == 4
    c = Written(4, b"2")
    rig.member.says(Watched({b"/c": c}))
    rig.member.says(Watched({b"/a": Written(5, None)}))
    rig.member.says(Watched({}))
    assert rig.heard == [{b"/a": A, b"/b": B, b"/c": c}, {b"/a": Written(5, None), b"/b": B, b"/c": c}]


def test_each_probe_asks_for_what_was_written_since_the_one_before(rig: Rig) -> None:
    rig.probe()
    rig.member.says(Watched({b"/c": Written(6, b"")}))
    rig.member.now = Reading("7", 6, 3, {**FOUND.keys, b"/c": Written(6, b"")})
    rig.probe()
    rig.probe()
    assert rig.member.asked == [4, 4, 7]
    assert (rig.good, rig.ended) == (3, None)


def test_the_probes_are_a_few_seconds_apart_and_the_first_is_sooner(rig: Rig) -> None:
    rig.clock.advance(0.9)
    assert rig.good == 0
    rig.clock.advance(0.2)
    assert rig.good == 1
    for _ in range(600):
        rig.clock.advance(0.1)
    assert 60 / PROBE <= rig.good - 1 <= 60 / PROBE / 0.9


def test_what_the_watch_tells_a_moment_later_was_not_missed(rig: Rig) -> None:
    rig.member.now = Reading("7", 4, 3, {**FOUND.keys, b"/c": Written(4, b"")})
    rig.probe()
    assert rig.good == 0
    rig.member.says(Watched({b"/c": Written(4, b"")}))
    rig.clock.advance(LAG)
    assert (rig.good, rig.ended, rig.following.missed) == (1, None, 0)


def test_what_the_watch_does_not_tell_is_counted_and_ends_it(rig: Rig) -> None:
    rig.member.now = Reading("7", 6, 2, {b"/b": Written(5, b""), b"/c": Written(4, b"")})
    rig.probe()
    rig.clock.advance(LAG)
    assert str(rig.ended) == "the watch has missed 3 changes"
    assert (rig.following.missed, rig.good) == (3, 0)
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (Reading("8", 9, 2, FOUND.keys), "revision 9 of cluster 8, wanted 3 or later of 7"),
        (Reading("7", 2, 2, FOUND.keys), "revision 2 of cluster 7, wanted 3 or later of 7"),
        (Reading("", 3, 2, FOUND.keys), "no answer within 4 s"),
    ],
)
def test_another_etcd_an_older_one_and_a_silent_one_are_no_longer_followed(rig: Rig, now: Reading, said: str) -> None:
    rig.member.now = now
    rig.probe()
    assert (str(rig.ended), rig.following.missed) == (said, 0)
    assert rig.clock.getDelayedCalls() == []


def test_every_five_minutes_all_is_read(rig: Rig) -> None:
    while rig.clock.seconds() < FULL - PROBE:
        rig.probe()
    assert 0 not in rig.member.asked
    for _ in range(3):
        rig.probe()
    assert rig.member.asked.count(0) == 1
    while rig.clock.seconds() < 2 * FULL + PROBE:
        rig.probe()
    assert rig.member.asked.count(0) == 2


def test_what_was_deleted_is_forgotten_once_a_read_has_seen_it(rig: Rig) -> None:
    rig.member.says(Watched({b"/a": Written(5, None)}))
    rig.probe()
    # That read was of a time before.
    assert (rig.good, rig.ended) == (1, None)
    rig.member.now = Reading("7", 5, 1, {b"/b": B})
    rig.probe()
    assert (rig.good, rig.ended) == (2, None)
    rig.member.says(Watched({b"/b": Written(6, b"2")}))
    assert rig.heard[-1] == {b"/b": Written(6, b"2")}


def test_a_full_read_finds_what_is_wrong_since_long(rig: Rig) -> None:
    """As if a change had been lost that no probe had found."""
    while rig.clock.seconds() < FULL - PROBE:
        rig.probe()
    rig.following._keys = {b"/a": A, b"/b": Written(1, b"old")}
    while 0 not in rig.member.asked:
        rig.probe()
    rig.clock.advance(LAG)
    assert (str(rig.ended), rig.following.missed) == ("the watch has missed 1 changes", 1)


def test_a_watch_that_ends_ends_it_with_its_reason(rig: Rig) -> None:
    rig.probe()
    rig.member.ends(SourceError("connection lost"))
    assert str(rig.ended) == "connection lost"
    assert rig.clock.getDelayedCalls() == []


def test_a_watch_that_etcd_cancels_is_refused(rig: Rig) -> None:
    with pytest.raises(SourceError, match="the watch has ended: no leader"):
        rig.member.says(Watched({}, "no leader"))


def test_who_hears_may_stop_it(rig: Rig) -> None:
    def stop(_: Keys) -> None:
        raise CancelledError

    rig.hear = stop
    rig.member.says(Watched({b"/c": Written(4, b"")}))
    assert isinstance(rig.ended, CancelledError)
    assert rig.clock.getDelayedCalls() == []
