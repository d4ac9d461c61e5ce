"""A source under guard: refused lists, the copy on disk, what is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.cache import VERSION, CachedList, ListCache
from pybal.sources.pool_source import PATIENCE, SETTLED, PoolSource

URL = "etcd://user:secret@conf/pools/web"
A, B = Member("a", 1), Member("b", 2, enabled=False)
FOUR = tuple(Member(name) for name in "abcd")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Played:
    """A source that says what the test says."""

    problem: str | None = None
    last_success: float | None = None
    differences = 0

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        self.listed, self.failed = listed, failed

    def stop(self) -> None: ...


class Rig:
    """A guarded source and what it has told."""

    def __init__(self, directory: Path | None, settings: SourceSettings) -> None:
        self.clock = Clock()
        self.played = Played()
        self.kept = None if directory is None else ListCache(directory, "web", URL)
        self.source = PoolSource(self.played, settings, self.kept, clock=self.clock, wall=lambda: NOON)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self.source.start(self.lists.append, lambda error: self.errors.append(str(error)))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, SourceSettings(URL))


def test_a_refused_list_is_told_to_the_source_and_not_delivered(rig: Rig) -> None:
    rig.played.listed(FOUR)
    with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4") as caught:
        rig.played.listed(FOUR[:1])
    assert str(caught.value).startswith("etcd://***@conf/pools/web: ")
    assert rig.lists == [FOUR]


def test_a_list_whose_listener_failed_is_delivered_again(rig: Rig) -> None:
    taken: list[tuple[Member, ...]] = []

    def fails_at_first(members: tuple[Member, ...]) -> None:
        taken.append(members)
        if len(taken) == 1:
            raise RuntimeError("a bug")

    rig.source.start(fails_at_first, lambda _error: None)
    with pytest.raises(RuntimeError):
        rig.played.listed((A, B))
    rig.played.listed((A, B))
    rig.played.listed((A, B))
    assert taken == [(A, B), (A, B)]


def test_what_goes_wrong_is_counted_by_its_kind(rig: Rig) -> None:
    rig.played.failed(SourceError("x", Trouble.DENIED))
    rig.played.failed(SourceError("y", Trouble.DENIED))
    assert rig.source.errors[Trouble.DENIED] == 2
    assert rig.source.errors[Trouble.EMPTY] == 0
    assert rig.errors == ["x", "y"]


def test_a_source_that_is_silent_for_too_long_is_a_problem(rig: Rig) -> None:
    """T134893: a dead watch was not noticed."""
    rig.played.last_success = 0.0
    rig.clock.advance(300)
    assert rig.source.problem is None
    rig.clock.advance(1)
    assert rig.source.problem == "etcd://***@conf/pools/web: not confirmed for 301 s, wanted at most 300 s"


def test_a_list_is_kept_and_serves_the_next_start_until_the_source_speaks(rig: Rig, tmp_path: Path) -> None:
    rig.played.listed((A, B))
    rig.clock.advance(PATIENCE)
    again = Rig(tmp_path, SourceSettings(URL))
    again.clock.advance(PATIENCE)
    assert again.lists == [(A, B)]
    assert again.source.stale
    said = "etcd://***@conf/pools/web: no list yet; using the list saved at 2026-11-20 12:00:00 UTC"
    assert again.errors == [said]
    assert again.source.problem == "etcd://***@conf/pools/web: no list yet; using the saved list"
    again.played.listed((A, B))
    assert again.lists == [(A, B)]
    assert not again.source.stale
    assert again.source.problem is None


def test_a_source_that_speaks_in_time_needs_no_copy(rig: Rig, tmp_path: Path) -> None:
    rig.played.listed((A, B))
    rig.source.stop()
    again = Rig(tmp_path, SourceSettings(URL))
    again.played.listed((A,))
    again.clock.advance(PATIENCE)
    assert again.lists == [(A,)]
    assert not again.source.stale


def test_a_first_list_that_lost_most_of_what_was_kept_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.played.listed(FOUR)
    rig.source.stop()
    again = Rig(tmp_path, SourceSettings(URL))
    again.clock.advance(PATIENCE)
    with pytest.raises(SourceError, match="after one of 4"):
        again.played.listed(FOUR[:1])
    assert again.source.stale


def test_a_copy_of_another_source_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    rig.played.listed((A, B))
    rig.source.stop()
    assert ListCache(tmp_path, "web", "etcd://other/pools/web").read() is None


def test_the_copy_holds_no_credentials(rig: Rig) -> None:
    rig.played.listed((A, B))
    rig.source.stop()
    assert rig.kept is not None
    assert "secret" not in rig.kept.path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        "[" * 100_000,
        json.dumps({"version": VERSION, "source": "etcd://***@conf/pools/web", "time": "x", "members": []}),
        json.dumps({"version": VERSION, "source": "etcd://***@conf/pools/web", "time": "2026-11-20", "members": [[1]]}),
        json.dumps(
            {
                "version": VERSION,
                "source": "etcd://***@conf/pools/web",
                "time": "2026-11-20",
                "members": [["a", -1, True]],
            }
        ),
    ],
)
def test_a_damaged_copy_is_an_error_and_nothing_more(text: str, tmp_path: Path) -> None:
    ListCache(tmp_path, "web", URL).path.write_text(text)
    rig = Rig(tmp_path, SourceSettings(URL))
    rig.clock.advance(PATIENCE)
    assert rig.lists == []
    rig.played.listed((A,))
    assert rig.lists == [(A,)]


def test_a_copy_of_another_version_is_left_alone(tmp_path: Path) -> None:
    ListCache(tmp_path, "web", URL).path.write_text('{"version": 2}')
    assert ListCache(tmp_path, "web", URL).read() is None


def test_a_directory_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "missing", SourceSettings(URL))
    rig.played.listed((A,))
    rig.clock.advance(PATIENCE + SETTLED)
    rig.played.listed((A, B))
    assert rig.lists == [(A,), (A, B)]


def test_services_with_names_that_read_alike_have_files_of_their_own(tmp_path: Path) -> None:
    assert ListCache(tmp_path, "a/b", URL).path != ListCache(tmp_path, "a_b", URL).path
    assert ListCache(tmp_path, "../x", URL).path.parent == tmp_path


def test_what_was_kept_is_what_is_read(tmp_path: Path) -> None:
    kept = ListCache(tmp_path, "web", URL)
    assert kept.read() is None
    kept.write(CachedList((A, B), NOON))
    assert kept.read() == CachedList((A, B), NOON)
    assert [path.name for path in tmp_path.iterdir()] == [kept.path.name]


def test_without_a_directory_nothing_is_kept() -> None:
    rig = Rig(None, SourceSettings(URL))
    rig.played.listed((A,))
    assert rig.clock.getDelayedCalls() == []


def test_after_stop_nothing_is_left(rig: Rig) -> None:
    rig.source.stop()
    rig.source.stop()
    assert rig.clock.getDelayedCalls() == []


def test_servers_kept_enabled_by_the_admin_floor_are_a_problem_that_is_told() -> None:
    rig = Rig(None, SourceSettings(URL, admin_floor=1))
    rig.played.listed((A,))
    rig.played.listed((Member("a", 1, enabled=False),))
    assert rig.lists == [(A,)]
    assert rig.errors == ["etcd://***@conf/pools/web: refused to disable a (set admin-floor = 0 to accept it)"]
    assert rig.source.problem == rig.errors[0]
    rig.played.listed((A,))
    assert rig.source.problem is None


def test_a_burst_of_changes_is_written_once_it_is_over(rig: Rig) -> None:
    assert rig.kept is not None
    rig.clock.advance(PATIENCE)
    rig.played.listed((A,))
    rig.played.listed((A, B))
    assert rig.kept.read() is None
    rig.clock.advance(SETTLED)
    assert rig.kept.read() == CachedList((A, B), NOON)


class TestFormer:
    """A source that follows another one, which serves until it delivers."""

    def test_of_the_same_place_it_goes_on_from_the_last_list(self, rig: Rig) -> None:
        rig.played.listed(FOUR)
        next_one = follower(rig, URL)
        with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4"):
            next_one.played.listed(FOUR[:1])
        next_one.played.listed(FOUR)
        assert next_one.lists == [FOUR], "what it lists first is delivered, even if it is the same"

    def test_of_another_place_it_begins_with_nothing(self, rig: Rig) -> None:
        rig.played.listed(FOUR)
        next_one = follower(rig, "etcd://conf/pools/other")
        next_one.played.listed(FOUR[:1])
        assert next_one.lists == [FOUR[:1]]

    def test_one_that_never_spoke_hands_on_what_it_was_handed(self, rig: Rig) -> None:
        rig.played.listed(FOUR)
        silent = follower(rig, URL)
        with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4"):
            follower(silent, URL).played.listed(FOUR[:1])

    def test_no_kept_copy_serves_in_its_place(self, rig: Rig) -> None:
        rig.played.listed(FOUR)
        rig.clock.advance(SETTLED)
        next_one = follower(rig, URL)
        next_one.clock.advance(10 * PATIENCE)
        assert (next_one.lists, next_one.source.stale) == ([], False)


def follower(rig: Rig, url: str) -> Rig:
    made = Rig.__new__(Rig)
    made.clock, made.kept, made.played = Clock(), rig.kept, Played()
    settings = SourceSettings(url)
    made.source = PoolSource(made.played, settings, made.kept, clock=made.clock, wall=lambda: NOON, former=rig.source)
    made.lists, made.errors = [], []
    made.source.start(made.lists.append, lambda error: made.errors.append(str(error)))
    return made
