"""PoolSource: refused lists, the saved list, error counters, replacement by a reload."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.cache import VERSION, CachedList, ListCache
from pybal.sources.pool_source import PATIENCE, SETTLED, PoolSource
from pybal.sources.state_files import StateFiles
from tests.harness.fake_workers import FakeWorkers
from tests.harness.sources.scripted_source import ScriptedSource

URL = "etcd://user:secret@conf/pools/web"
A, B = Member("a", 1), Member("b", 2, enabled=False)
FOUR = tuple(Member(name) for name in "abcd")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class PoolRecorder:
    """Runs a PoolSource of a scripted source and records its reports."""

    def __init__(self, cache: ListCache | None, settings: SourceSettings, former: PoolSource | None = None) -> None:
        self.clock = Clock()
        self.scripted = ScriptedSource()
        self.cache = cache
        state = StateFiles(FakeWorkers(), self.clock)
        self.source = PoolSource(
            self.scripted, settings, cache, clock=self.clock, state=state, wall=lambda: NOON, former=former
        )
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self.source.start(self.lists.append, lambda error: self.errors.append(str(error)))


@pytest.fixture
def recorder(tmp_path: Path) -> PoolRecorder:
    return PoolRecorder(ListCache(tmp_path, "web", URL), SourceSettings(URL))


def test_refused_list_raises_to_the_source_and_is_not_delivered(recorder: PoolRecorder) -> None:
    recorder.scripted.listed(FOUR)
    with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4") as caught:
        recorder.scripted.listed(FOUR[:1])
    assert str(caught.value).startswith("etcd://***@conf/pools/web: ")
    assert recorder.lists == [FOUR]


def test_list_is_delivered_again_when_the_listener_raised(recorder: PoolRecorder) -> None:
    taken: list[tuple[Member, ...]] = []

    def fails_at_first(members: tuple[Member, ...]) -> None:
        taken.append(members)
        if len(taken) == 1:
            raise RuntimeError("a bug")

    recorder.source.start(fails_at_first, lambda _error: None)
    with pytest.raises(RuntimeError):
        recorder.scripted.listed((A, B))
    recorder.scripted.listed((A, B))
    recorder.scripted.listed((A, B))
    assert taken == [(A, B), (A, B)]


def test_errors_are_counted_by_kind(recorder: PoolRecorder) -> None:
    recorder.scripted.failed(SourceError("x", Trouble.DENIED))
    recorder.scripted.failed(SourceError("y", Trouble.DENIED))
    assert recorder.source.errors[Trouble.DENIED] == 2
    assert recorder.source.errors[Trouble.EMPTY] == 0
    assert recorder.errors == ["x", "y"]


def test_old_list_is_a_problem_after_max_age(recorder: PoolRecorder) -> None:
    """T134893: a dead watch was not noticed."""
    recorder.scripted.last_success = 0.0
    recorder.clock.advance(300)
    assert recorder.source.problem is None
    recorder.clock.advance(1)
    assert recorder.source.problem == "etcd://***@conf/pools/web: not confirmed for 301 s, wanted at most 300 s"


def test_saved_list_is_used_at_start_until_the_source_delivers(recorder: PoolRecorder, tmp_path: Path) -> None:
    recorder.scripted.listed((A, B))
    recorder.clock.advance(PATIENCE)
    again = PoolRecorder(ListCache(tmp_path, "web", URL), SourceSettings(URL))
    again.clock.advance(PATIENCE)
    assert again.lists == [(A, B)]
    assert again.source.stale
    expected = "etcd://***@conf/pools/web: no list yet; using the list saved at 2026-11-20 12:00:00 UTC"
    assert again.errors == [expected]
    assert again.source.problem == "etcd://***@conf/pools/web: no list yet; using the saved list"
    again.scripted.listed((A, B))
    assert again.lists == [(A, B)]
    assert not again.source.stale
    assert again.source.problem is None


def test_saved_list_is_unused_when_the_source_delivers_in_time(recorder: PoolRecorder, tmp_path: Path) -> None:
    recorder.scripted.listed((A, B))
    recorder.source.stop()
    again = PoolRecorder(ListCache(tmp_path, "web", URL), SourceSettings(URL))
    again.scripted.listed((A,))
    again.clock.advance(PATIENCE)
    assert again.lists == [(A,)]
    assert not again.source.stale


def test_first_list_is_refused_when_much_smaller_than_the_saved_one(recorder: PoolRecorder, tmp_path: Path) -> None:
    recorder.scripted.listed(FOUR)
    recorder.source.stop()
    again = PoolRecorder(ListCache(tmp_path, "web", URL), SourceSettings(URL))
    again.clock.advance(PATIENCE)
    with pytest.raises(SourceError, match="after one of 4"):
        again.scripted.listed(FOUR[:1])
    assert again.source.stale


def test_saved_list_of_another_source_is_ignored(recorder: PoolRecorder, tmp_path: Path) -> None:
    recorder.scripted.listed((A, B))
    recorder.source.stop()
    assert ListCache(tmp_path, "web", "etcd://other/pools/web").read() is None


def test_saved_list_contains_no_credentials(recorder: PoolRecorder) -> None:
    recorder.scripted.listed((A, B))
    recorder.source.stop()
    assert recorder.cache is not None
    assert "secret" not in recorder.cache.path.read_text()


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
def test_damaged_saved_list_does_not_stop_the_source(text: str, tmp_path: Path) -> None:
    ListCache(tmp_path, "web", URL).path.write_text(text)
    recorder = PoolRecorder(ListCache(tmp_path, "web", URL), SourceSettings(URL))
    recorder.clock.advance(PATIENCE)
    assert recorder.lists == []
    recorder.scripted.listed((A,))
    assert recorder.lists == [(A,)]


def test_saved_list_of_another_version_is_ignored(tmp_path: Path) -> None:
    ListCache(tmp_path, "web", URL).path.write_text('{"version": 2}')
    assert ListCache(tmp_path, "web", URL).read() is None


def test_missing_state_directory_does_not_stop_the_source(tmp_path: Path) -> None:
    recorder = PoolRecorder(ListCache(tmp_path / "missing", "web", URL), SourceSettings(URL))
    recorder.scripted.listed((A,))
    recorder.clock.advance(PATIENCE + SETTLED)
    recorder.scripted.listed((A, B))
    assert recorder.lists == [(A,), (A, B)]


def test_similar_service_names_have_distinct_files(tmp_path: Path) -> None:
    assert ListCache(tmp_path, "a/b", URL).path != ListCache(tmp_path, "a_b", URL).path
    assert ListCache(tmp_path, "../x", URL).path.parent == tmp_path


def test_saved_list_is_read_back_unchanged(tmp_path: Path) -> None:
    cache = ListCache(tmp_path, "web", URL)
    assert cache.read() is None
    cache.write(CachedList((A, B), NOON))
    assert cache.read() == CachedList((A, B), NOON)
    assert [path.name for path in tmp_path.iterdir()] == [cache.path.name]


def test_list_is_not_saved_without_a_state_directory() -> None:
    recorder = PoolRecorder(None, SourceSettings(URL))
    recorder.scripted.listed((A,))
    assert recorder.clock.getDelayedCalls() == []


def test_stopped_source_leaves_nothing_in_the_clock(recorder: PoolRecorder) -> None:
    recorder.source.stop()
    recorder.source.stop()
    assert recorder.clock.getDelayedCalls() == []


def test_source_reports_servers_kept_enabled_by_the_admin_floor() -> None:
    recorder = PoolRecorder(None, SourceSettings(URL, admin_floor=1))
    recorder.scripted.listed((A,))
    recorder.scripted.listed((Member("a", 1, enabled=False),))
    assert recorder.lists == [(A,)]
    assert recorder.errors == ["etcd://***@conf/pools/web: refused to disable a (set admin-floor = 0 to accept it)"]
    assert recorder.source.problem == recorder.errors[0]
    recorder.scripted.listed((A,))
    assert recorder.source.problem is None


def test_burst_of_changes_is_saved_once(recorder: PoolRecorder) -> None:
    assert recorder.cache is not None
    recorder.clock.advance(PATIENCE)
    recorder.scripted.listed((A,))
    recorder.scripted.listed((A, B))
    assert recorder.cache.read() is None
    recorder.clock.advance(SETTLED)
    assert recorder.cache.read() == CachedList((A, B), NOON)


class TestFormer:
    """A source that replaces another after a reload; the servers of the other stay until it delivers."""

    def test_source_of_the_same_url_compares_with_the_last_list(self, recorder: PoolRecorder) -> None:
        recorder.scripted.listed(FOUR)
        next_one = follower(recorder, URL)
        with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4"):
            next_one.scripted.listed(FOUR[:1])
        next_one.scripted.listed(FOUR)
        assert next_one.lists == [FOUR], "the first list is delivered even if unchanged"

    def test_source_of_another_url_accepts_any_first_list(self, recorder: PoolRecorder) -> None:
        recorder.scripted.listed(FOUR)
        next_one = follower(recorder, "etcd://conf/pools/other")
        next_one.scripted.listed(FOUR[:1])
        assert next_one.lists == [FOUR[:1]]

    def test_silent_source_passes_on_the_list_of_its_predecessor(self, recorder: PoolRecorder) -> None:
        recorder.scripted.listed(FOUR)
        silent = follower(recorder, URL)
        with pytest.raises(SourceError, match="refused a list of 1 servers after one of 4"):
            follower(silent, URL).scripted.listed(FOUR[:1])

    def test_source_with_a_predecessor_does_not_use_the_saved_list(self, recorder: PoolRecorder) -> None:
        recorder.scripted.listed(FOUR)
        recorder.clock.advance(SETTLED)
        next_one = follower(recorder, URL)
        next_one.clock.advance(10 * PATIENCE)
        assert (next_one.lists, next_one.source.stale) == ([], False)


def follower(recorder: PoolRecorder, url: str) -> PoolRecorder:
    """Return a recorder whose source replaces that of ``recorder``."""
    return PoolRecorder(recorder.cache, SourceSettings(url), former=recorder.source)
