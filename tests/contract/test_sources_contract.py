"""The contract of every kind of pool source; UPSTREAMS has an upstream for each kind."""

from __future__ import annotations

from tests.harness.sources.contract import ONE, OTHER, SourceRecorder


def test_source_delivers_a_good_list_once_in_its_order(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.settle()
    assert recorder.lists == [recorder.one]
    assert recorder.errors == []
    assert recorder.source.problem is None


def test_source_reports_nothing_within_start(recorder: SourceRecorder) -> None:
    recorder.start()
    assert (recorder.lists, recorder.errors) == ([], [])
    recorder.source.stop()
    recorder.upstream.write(ONE)
    recorder.start()
    assert (recorder.lists, recorder.errors) == ([], [])


def test_source_delivers_changes_as_a_complete_list(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]
    assert recorder.errors == []


def test_source_does_not_repeat_an_unchanged_list(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.write(ONE)
    assert recorder.lists == [recorder.one]


def test_same_list_after_garbage_only_clears_the_problem(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.garble()
    recorder.upstream.settle()
    recorder.write(ONE)
    assert recorder.lists == [recorder.one]
    assert recorder.source.problem is None


def test_source_refuses_an_empty_first_list(recorder: SourceRecorder) -> None:
    recorder.starts_with(())
    assert recorder.lists == []
    assert len(recorder.errors) == 1


def test_source_accepts_an_empty_list_when_allowed(recorder: SourceRecorder) -> None:
    recorder.starts_with((), allow_empty=True)
    recorder.write(ONE)
    recorder.write(())
    assert recorder.lists == [(), recorder.one, ()]
    assert recorder.errors == []


def test_source_follows_an_upstream_that_comes_back(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.vanish()
    recorder.upstream.settle()
    recorder.write(ONE)
    assert recorder.source.problem is None
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]


def test_source_finds_an_upstream_that_appears_later(recorder: SourceRecorder) -> None:
    recorder.start()
    recorder.upstream.settle()
    assert (recorder.lists, len(recorder.errors)) == ([], 1)
    assert recorder.source.last_success is None
    recorder.write(ONE)
    assert recorder.lists == [recorder.one]
    assert recorder.source.problem is None


def test_source_reports_each_new_problem(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.garble()
    recorder.upstream.settle()
    recorder.upstream.vanish()
    recorder.upstream.settle()
    assert len(recorder.errors) == 2
    recorder.upstream.garble()
    recorder.upstream.settle()
    assert len(recorder.errors) == 3
    assert recorder.source.problem == recorder.errors[0] == recorder.errors[2]


def test_source_delivers_other_hosts_when_one_first_entry_is_invalid(recorder: SourceRecorder) -> None:
    recorder.upstream.write_with_a_bad_entry(ONE, "a")
    recorder.start()
    recorder.upstream.settle()
    assert [member.host for member in recorder.lists[-1]] == ["b", "c"]
    assert recorder.errors == [recorder.source.problem]
    assert "host a" in recorder.errors[0]


def test_last_success_is_recent_until_a_problem_occurs(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.clock.advance(100)
    assert recorder.source.last_success is not None
    assert recorder.upstream.clock.seconds() - recorder.source.last_success < 6
    recorder.upstream.garble()
    recorder.upstream.settle()
    before = recorder.source.last_success
    recorder.upstream.settle()
    assert recorder.source.last_success == before


def test_stopped_source_reports_nothing_and_leaves_nothing(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.source.stop()
    recorder.source.stop()
    recorder.upstream.clock.advance(0)  # connections close in the next reactor iteration
    assert recorder.upstream.clock.getDelayedCalls() == []
    recorder.write(OTHER)
    recorder.upstream.vanish()
    recorder.upstream.settle()
    assert (recorder.lists, recorder.errors) == ([recorder.one], [])


def test_stopped_source_delivers_nothing_when_not_yet_read(recorder: SourceRecorder) -> None:
    recorder.upstream.write(ONE)
    recorder.start()
    recorder.source.stop()
    recorder.upstream.clock.advance(0)
    assert recorder.upstream.clock.getDelayedCalls() == []
    recorder.upstream.settle()
    assert recorder.lists == []


def test_listener_may_stop_the_source(recorder: SourceRecorder) -> None:
    recorder.upstream.write_with_a_bad_entry(ONE, "a")
    source = recorder.upstream.source(allow_empty=False)
    source.start(lambda _: source.stop(), recorder.record_problem, recorder.pool)
    recorder.upstream.settle()
    assert recorder.errors == []
    assert recorder.upstream.clock.getDelayedCalls() == []
