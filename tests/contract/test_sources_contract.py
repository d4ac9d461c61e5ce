"""What every pool source keeps to, whatever it reads: each kind has its harness in HARNESSES."""

from __future__ import annotations

from tests.harness.sources.contract import ONE, OTHER, Rig


def test_a_good_list_is_delivered_once_in_its_order(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == []
    assert rig.source.problem is None


def test_nothing_is_told_from_within_start(rig: Rig) -> None:
    rig.start()
    assert (rig.lists, rig.errors) == ([], [])
    rig.source.stop()
    rig.harness.write(ONE)
    rig.start()
    assert (rig.lists, rig.errors) == ([], [])


def test_changes_additions_and_removals_come_as_a_whole_list(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.errors == []


def test_a_list_that_says_the_same_is_not_delivered_again(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(ONE)
    assert rig.lists == [rig.one]


def test_the_same_list_after_garbage_ends_the_problem_and_is_no_news(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.write(ONE)
    assert rig.lists == [rig.one]
    assert rig.source.problem is None


def test_an_empty_list_is_refused_at_the_start(rig: Rig) -> None:
    rig.starts_with(())
    assert rig.lists == []
    assert len(rig.errors) == 1


def test_an_empty_list_is_believed_where_the_operator_allows_it(rig: Rig) -> None:
    rig.starts_with((), allow_empty=True)
    rig.write(ONE)
    rig.write(())
    assert rig.lists == [(), rig.one, ()]
    assert rig.errors == []


def test_a_source_that_comes_back_is_followed_again(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.vanish()
    rig.harness.settle()
    rig.write(ONE)
    assert rig.source.problem is None
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]


def test_a_source_that_is_not_there_at_the_start_is_found_later(rig: Rig) -> None:
    rig.start()
    rig.harness.settle()
    assert (rig.lists, len(rig.errors)) == ([], 1)
    assert rig.source.last_success is None
    rig.write(ONE)
    assert rig.lists == [rig.one]
    assert rig.source.problem is None


def test_each_new_trouble_is_told(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.harness.vanish()
    rig.harness.settle()
    assert len(rig.errors) == 2
    rig.harness.garble()
    rig.harness.settle()
    assert len(rig.errors) == 3
    assert rig.source.problem == rig.errors[0] == rig.errors[2]


def test_one_bad_entry_at_the_start_costs_no_other_host(rig: Rig) -> None:
    rig.harness.write_with_a_bad_entry(ONE, "a")
    rig.start()
    rig.harness.settle()
    assert [member.host for member in rig.lists[-1]] == ["b", "c"]
    assert rig.errors == [rig.source.problem]
    assert "host a" in rig.errors[0]


def test_the_last_success_is_recent_while_all_is_well_and_ages_in_trouble(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.clock.advance(100)
    assert rig.source.last_success is not None
    assert rig.harness.clock.seconds() - rig.source.last_success < 6
    rig.harness.garble()
    rig.harness.settle()
    before = rig.source.last_success
    rig.harness.settle()
    assert rig.source.last_success == before


def test_after_stop_nothing_is_told_and_nothing_is_left(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.source.stop()
    rig.source.stop()
    rig.harness.clock.advance(0)  # connections end in the next turn of the reactor
    assert rig.harness.clock.getDelayedCalls() == []
    rig.write(OTHER)
    rig.harness.vanish()
    rig.harness.settle()
    assert (rig.lists, rig.errors) == ([rig.one], [])


def test_a_source_stopped_before_its_first_look_tells_nothing(rig: Rig) -> None:
    rig.harness.write(ONE)
    rig.start()
    rig.source.stop()
    rig.harness.clock.advance(0)
    assert rig.harness.clock.getDelayedCalls() == []
    rig.harness.settle()
    assert rig.lists == []


def test_a_listener_may_stop_the_source(rig: Rig) -> None:
    rig.harness.write_with_a_bad_entry(ONE, "a")
    source = rig.harness.source(allow_empty=False)
    source.start(lambda _: source.stop(), rig._failed)
    rig.harness.settle()
    assert rig.errors == []
    assert rig.harness.clock.getDelayedCalls() == []
