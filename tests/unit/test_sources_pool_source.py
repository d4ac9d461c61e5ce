"""PoolSource: refused lists, the saved list, error counters, replacement by a reload."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import PoolState, SourceError, Trouble
from pybal.sources.cache import VERSION, CachedList, ListCache
from pybal.sources.pool_source import LOUD, PATIENCE, SETTLED, PoolSource
from pybal.sources.state_files import StateFiles
from tests.harness.fake_workers import FakeWorkers
from tests.harness.sources.scripted_source import ScriptedSource

URL = "etcd://user:secret@conf/pools/web"
NAME = "etcd://***@conf/pools/web"
A, B = Member("a", 1), Member("b", 2, enabled=False)
FOUR = tuple(Member(name) for name in "abcd")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class PoolRecorder:
    """Runs a PoolSource of a scripted source and records its reports.

    All enabled servers of the last list are pooled, except ``out``. ``before`` is the list of the source before this one, which is
    ``replaced``. ``wall`` is the date and time.
    """

    def __init__(
        self,
        cache: ListCache | None,
        settings: SourceSettings,
        before: tuple[Member, ...] | None = None,
        *,
        replaced: PoolRecorder | None = None,
        wall: datetime = NOON,
    ) -> None:
        self.clock = Clock()
        self.scripted = ScriptedSource()
        self.cache = cache
        self.out: set[str] = set()
        state = StateFiles(FakeWorkers(), self.clock)
        self.source = PoolSource(
            self.scripted, settings, cache, service="web", clock=self.clock, state=state, wall=lambda: wall
        )
        if replaced is not None:
            self.source.succeed(replaced.source)
        self.before = before
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self.source.start(self.lists.append, lambda error: self.errors.append(str(error)), self.pool)

    def pool(self) -> PoolState:
        members = self.lists[-1] if self.lists else self.before
        return PoolState(members, frozenset(m.host for m in members or () if m.enabled) - self.out)

    def list(self, *members: Member, removed: str = "", incomplete: bool = False) -> str:
        """Report a list whose key for each letter of ``removed`` says inactive; return the refusal."""
        self.scripted.removed, self.scripted.incomplete = frozenset(removed), incomplete
        try:
            self.scripted.listed(members)
        except SourceError as refused:
            return str(refused)
        return ""

    @property
    def hosts(self) -> str:
        return "".join(member.host for member in self.lists[-1])


@pytest.fixture
def recorder(tmp_path: Path) -> PoolRecorder:
    return PoolRecorder(ListCache(tmp_path, "web"), SourceSettings(URL))


def test_refused_list_raises_to_the_source(recorder: PoolRecorder) -> None:
    recorder.list(*FOUR)
    with pytest.raises(SourceError, match="refused a list of 1 server: it lacks 3 of 4 pooled servers") as caught:
        recorder.scripted.listed(FOUR[:1])
    assert str(caught.value).startswith("etcd://***@conf/pools/web: ")
    assert recorder.lists == [FOUR]


def test_list_is_delivered_again_when_the_listener_raised(recorder: PoolRecorder) -> None:
    taken: list[tuple[Member, ...]] = []

    def fails_at_first(members: tuple[Member, ...]) -> None:
        taken.append(members)
        if len(taken) == 1:
            raise RuntimeError("a bug")

    recorder.source.start(fails_at_first, lambda _error: None, recorder.pool)
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
    again = PoolRecorder(ListCache(tmp_path, "web"), SourceSettings(URL))
    assert again.source.saved == (A, B)
    again.clock.advance(PATIENCE)
    assert again.lists == [(A, B)]
    assert not again.source.saved
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
    again = PoolRecorder(ListCache(tmp_path, "web"), SourceSettings(URL))
    again.scripted.listed((A,))
    again.clock.advance(PATIENCE)
    assert again.lists == [(A,)]
    assert not again.source.stale


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
        *(
            f'{{"version": {VERSION}, "source": "x", "time": "2026-11-20", "members": [["a", 1, true]], "departed": {{"b": {age}}}}}'
            for age in ("NaN", "Infinity", "-1", '"5"')
        ),
    ],
)
def test_damaged_saved_list_does_not_stop_the_source(text: str, tmp_path: Path) -> None:
    ListCache(tmp_path, "web").path.write_text(text)
    recorder = PoolRecorder(ListCache(tmp_path, "web"), SourceSettings(URL))
    recorder.clock.advance(PATIENCE)
    assert recorder.lists == []
    recorder.scripted.listed((A,))
    assert recorder.lists == [(A,)]


def test_saved_list_of_another_version_is_set_aside(tmp_path: Path) -> None:
    cache = ListCache(tmp_path, "web")
    cache.path.write_text('{"version": 2}')
    with pytest.raises(ValueError, match=r"^format version 2 instead of 1 \(written by another PyBal\); kept as "):
        cache.read()
    assert cache.read() is None
    assert cache.path.with_name(f"{cache.path.name}.version-2").read_text() == '{"version": 2}'


def test_missing_state_directory_does_not_stop_the_source(tmp_path: Path) -> None:
    recorder = PoolRecorder(ListCache(tmp_path / "missing", "web"), SourceSettings(URL))
    recorder.scripted.listed((A,))
    recorder.clock.advance(PATIENCE + SETTLED)
    recorder.scripted.listed((A, B))
    assert recorder.lists == [(A,), (A, B)]


def test_similar_service_names_have_distinct_files(tmp_path: Path) -> None:
    assert ListCache(tmp_path, "a/b").path != ListCache(tmp_path, "a_b").path
    assert ListCache(tmp_path, "../x").path.parent == tmp_path


def test_saved_list_is_read_back_unchanged(tmp_path: Path) -> None:
    cache = ListCache(tmp_path, "web")
    assert cache.read() is None
    cache.write(CachedList((A, B), NOON, NAME))
    assert cache.read() == CachedList((A, B), NOON, NAME)
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
    assert (recorder.source.problem, recorder.source.applied) == (recorder.errors[0], "the rest of the list")
    recorder.scripted.listed((A,))
    assert recorder.source.problem is None


def test_source_reports_fewer_enabled_servers_than_the_admin_floor() -> None:
    recorder = PoolRecorder(None, SourceSettings(URL, admin_floor=3))
    recorder.list(*FOUR[:2])
    text = "etcd://***@conf/pools/web: 2 servers enabled, fewer than admin-floor = 3"
    assert (recorder.source.problem, recorder.source.applied, recorder.lists) == (text, "the whole list", [FOUR[:2]])
    recorder.list(*FOUR)
    assert recorder.source.problem is None


def test_burst_of_changes_is_saved_once(recorder: PoolRecorder) -> None:
    assert recorder.cache is not None
    recorder.clock.advance(PATIENCE)
    recorder.scripted.listed((A,))
    recorder.scripted.listed((A, B))
    assert recorder.cache.read() is None
    recorder.clock.advance(SETTLED)
    assert recorder.cache.read() == CachedList((A, B), NOON, NAME)


class TestSuccessor:
    """A source that replaces another after a reload; the servers of the other stay until it delivers."""

    @pytest.mark.parametrize("url", [URL, "etcd://conf/pools/other"])
    def test_first_list_of_a_successor_is_checked_against_the_pool(self, url: str) -> None:
        successor = PoolRecorder(None, SourceSettings(url), FOUR)
        assert "it lacks 3 of 4 pooled servers" in successor.list(FOUR[0])
        assert (successor.hosts, successor.source.stale) == ("abcd", False)

    def test_first_list_of_a_successor_is_delivered_even_if_unchanged(self) -> None:
        successor = PoolRecorder(None, SourceSettings(URL), FOUR)
        successor.list(*FOUR)
        assert successor.lists == [FOUR]

    def test_settings_of_a_successor_are_in_force_before_its_first_list(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        first = PoolRecorder(None, SourceSettings(URL, admin_floor=3), FOUR, replaced=recorder)
        PoolRecorder(None, SourceSettings(URL, admin_floor=4), FOUR, replaced=first)
        recorder.list(*FOUR[:3], replace(FOUR[3], enabled=False))
        assert recorder.lists == [FOUR]
        assert "refused to disable d" in str(recorder.source.problem)

    def test_successor_does_not_use_the_saved_list(self, recorder: PoolRecorder) -> None:
        recorder.scripted.listed(FOUR)
        recorder.clock.advance(SETTLED)
        successor = PoolRecorder(recorder.cache, SourceSettings(URL), FOUR)
        successor.clock.advance(10 * PATIENCE)
        assert (successor.lists, successor.source.stale) == ([], False)


class TestRefusedList:
    """The part of a refused list that counts, and the commands that take all of it."""

    def test_refused_list_counts_for_hosts_that_the_pool_has(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        refusal = recorder.list(Member("a", 7), Member("x"), Member("y"), Member("z"))
        assert "it lacks 3 of 4 pooled servers" in refusal
        assert recorder.lists[-1] == (Member("a", 7), *FOUR[1:])

    def test_refused_list_reports_which_part_of_it_is_applied(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        for members, applied in (((Member("a", 3),), "its weights and states only"), ((), "")):
            with pytest.raises(SourceError) as refused:
                recorder.scripted.listed(members)
            assert refused.value.applied == applied
            recorder.scripted.problem = str(refused.value)
            recorder.scripted.failed(refused.value)
            assert recorder.source.applied == applied
        recorder.scripted.problem = None
        assert recorder.source.applied == ""

    def test_host_declared_inactive_leaves_with_a_refused_list(self, recorder: PoolRecorder) -> None:
        recorder.list(*(Member(name) for name in "abcdefgh"))
        assert "it lacks 6 of 7 pooled servers" in recorder.list(Member("b"), removed="a")
        assert recorder.hosts == "bcdefgh"

    def test_hosts_declared_inactive_leave_at_any_number(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert recorder.list(removed="abcd") == ""
        assert recorder.lists[-1] == ()
        assert recorder.source.removal == f"{NAME}: declares a, b, c, d out of the pool, 0 servers left"
        recorder.list(*FOUR)
        assert recorder.source.removal is None

    def test_vanished_hosts_are_refused_beside_inactive_ones(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert "it lacks 3 of 3 pooled servers" in recorder.list(removed="a")
        assert recorder.hosts == "bcd"

    def test_few_hosts_declared_inactive_are_no_alert(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.list(*FOUR[1:], removed="a")
        assert recorder.source.removal is None

    def test_alert_about_inactive_hosts_ends_after_an_hour(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.list(removed="abcd")
        recorder.clock.advance(LOUD + 1)
        assert recorder.source.removal is None

    def test_servers_that_vanish_one_by_one_are_refused_in_the_window(self, recorder: PoolRecorder) -> None:
        ten = tuple(Member(name) for name in "abcdefghij")
        recorder.list(*ten)
        for left in range(9, 4, -1):
            assert recorder.list(*ten[:left]) == ""
            recorder.clock.advance(1)
        refusal = recorder.list(*ten[:4])
        assert "it lacks 6 of 10 pooled servers (5 of them left within the last 60 s), at most 5 may leave" in refusal
        assert recorder.hosts == "abcde"
        recorder.clock.advance(61)
        assert recorder.list(*ten[:4]) == ""

    def test_server_that_returned_is_not_counted_in_the_window(self, recorder: PoolRecorder) -> None:
        ten = tuple(Member(name) for name in "abcdefghij")
        for absent in range(10):
            assert recorder.list(*ten[:absent], *ten[absent + 1 :]) == ""

    def test_successor_counts_servers_that_vanished_before(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.list(*FOUR[:2])
        successor = PoolRecorder(None, SourceSettings("file:///other"), FOUR[:2], replaced=recorder)
        assert "it lacks 3 of 4 pooled servers (2 of them left within the last 60 s)" in successor.list(FOUR[0])
        successor.clock.advance(61)
        assert successor.list(FOUR[0]) == ""

    def test_changing_subset_is_refused(self, recorder: PoolRecorder) -> None:
        """Consul returns 3 of 10 servers over UDP."""
        recorder.list(Member("a"), Member("b"), Member("c"))
        recorder.list(Member("a"), Member("d"), Member("e"))
        assert "it lacks 4 of 5 pooled servers" in recorder.list(Member("d"), Member("f"), Member("g"))

    def test_refused_list_is_accepted_once_its_hosts_are_not_pooled(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert recorder.list(FOUR[0])
        recorder.out = set("bcd")
        assert recorder.list(FOUR[0]) == ""
        assert recorder.hosts == "a"

    def test_accept_delivers_the_refused_list_once(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.scripted.problem = recorder.list(Member("x"))
        assert "run `pybal accept web --reason TEXT` to accept it once" in recorder.scripted.problem
        assert recorder.source.refused == (Member("x"),)
        assert recorder.source.accept() == (Member("x"),)
        assert recorder.source.refused is None
        assert recorder.hosts == "x"
        assert recorder.source.problem is None
        assert recorder.list(Member("x")) == ""
        assert recorder.list(Member("y"))
        assert recorder.hosts == "x"

    def test_accept_keeps_hosts_with_invalid_values(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.scripted.unsure = frozenset("b")
        assert recorder.list(Member("x"))
        assert recorder.source.accept() == (Member("x"), FOUR[1])
        assert recorder.list(Member("x")) == ""
        assert recorder.hosts == "xb"

    def test_accept_takes_an_empty_list_until_it_changes(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert "run `pybal accept web" in recorder.list()
        assert recorder.source.accept() == ()
        assert recorder.list() == ""
        recorder.list(*FOUR)
        assert recorder.list()

    def test_accept_takes_the_list_of_the_source_that_is_in_use(self, recorder: PoolRecorder) -> None:
        successor = PoolRecorder(None, SourceSettings("file:///other"), FOUR, replaced=recorder)
        recorder.list(*FOUR)
        recorder.list(Member("x"))
        assert successor.source.refused == (Member("x"),)
        assert successor.source.accept() == (Member("x"),)
        assert recorder.hosts == "x"
        recorder.list(Member("y"))
        successor.list(Member("b"))
        assert successor.source.accept() == (Member("b"),)
        successor.list(Member("b"), Member("c"))
        assert successor.source.accept() is None

    def test_accept_does_nothing_without_a_refused_list(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert recorder.source.accept() is None
        recorder.list(Member("x"))
        recorder.list(*FOUR)
        assert recorder.source.accept() is None

    def test_no_host_leaves_with_an_incomplete_list(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        assert recorder.list(Member("a", 3), Member("e"), incomplete=True) == ""
        assert recorder.lists[-1] == (Member("a", 3), Member("e"), *FOUR[1:])
        recorder.list(Member("a", 3), Member("b"), Member("e"))
        assert recorder.hosts == "abe"


class TestRestart:
    """The first list after a restart is checked against the saved one."""

    @pytest.fixture
    def again(self, recorder: PoolRecorder) -> PoolRecorder:
        recorder.list(*FOUR)
        recorder.source.stop()
        return PoolRecorder(recorder.cache, SourceSettings(URL))

    def test_first_list_is_refused_when_much_smaller_than_the_saved_one(self, again: PoolRecorder) -> None:
        assert "it lacks 3 of 4 pooled servers" in again.list(FOUR[0])
        assert again.hosts == "abcd"
        assert again.source.stale
        again.list(*FOUR)
        assert not again.source.stale

    def test_servers_that_vanished_before_a_restart_are_counted(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.list(*FOUR[:2])
        recorder.clock.advance(20)
        recorder.list(Member("a", 3), FOUR[1])
        recorder.source.stop()
        again = PoolRecorder(recorder.cache, SourceSettings(URL))
        assert "it lacks 3 of 4 pooled servers (2 of them left within the last 60 s)" in again.list(FOUR[0])
        again.clock.advance(41)
        assert again.list(FOUR[0]) == ""

    def test_servers_that_vanished_long_before_a_restart_do_not_count(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.list(*FOUR[:2])
        recorder.source.stop()
        later = PoolRecorder(recorder.cache, SourceSettings(URL), wall=NOON + timedelta(seconds=61))
        assert later.list(FOUR[0]) == ""

    def test_empty_first_list_keeps_the_saved_one(self, again: PoolRecorder) -> None:
        assert again.list().startswith(f"{NAME}: refused an empty server list")
        assert again.hosts == "abcd"

    def test_incomplete_first_list_keeps_the_saved_hosts(self, again: PoolRecorder) -> None:
        assert again.list(*FOUR[:2], incomplete=True) == ""
        assert again.hosts == "abcd"

    def test_first_list_of_another_url_is_checked_too(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.source.stop()
        other = PoolRecorder(recorder.cache, SourceSettings("file:///other"))
        assert "it lacks 3 of 4 pooled servers" in other.list(FOUR[0])
        assert other.hosts == "abcd"

    def test_saved_list_of_another_url_is_not_used(self, recorder: PoolRecorder) -> None:
        recorder.list(*FOUR)
        recorder.source.stop()
        other = PoolRecorder(recorder.cache, SourceSettings("file:///other"))
        other.clock.advance(PATIENCE)
        assert (other.lists, other.source.stale) == ([], False)

    def test_disk_that_hangs_delays_the_source_for_a_limited_time(self, tmp_path: Path) -> None:
        clock, scripted = Clock(), ScriptedSource()
        source = PoolSource(
            scripted,
            SourceSettings(URL),
            ListCache(tmp_path, "web"),
            service="web",
            clock=clock,
            state=StateFiles(FakeWorkers(clock, hold=True), clock),
            wall=lambda: NOON,
        )
        lists: list[tuple[Member, ...]] = []
        source.start(lists.append, lambda _: None, PoolState)
        clock.advance(PATIENCE)
        scripted.listed(FOUR)
        assert lists == [FOUR]
