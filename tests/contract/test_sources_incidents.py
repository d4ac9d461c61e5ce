"""What went wrong before, and must be impossible now: the rows of "Pool sources" in incidents.md, for each kind of source.

What depends on how a source is read is in the tests of its kind: an index that is gone, a connection half open, half an
answer, and how soon a change is in the table. Names that do not resolve are in ``unit/test_resolve_follow.py``.
"""

from __future__ import annotations

import pytest

from tests.harness.sources.contract import ONE, OTHER, Rig, Served
from tests.harness.sources.file import LinesFile
from tests.harness.sources.http import HTTP


def test_t125397_one_invalid_value_stops_no_update_and_drops_nobody(rig: Rig) -> None:
    """The host keeps its last good value."""
    rig.starts_with(ONE)
    rig.harness.write_with_a_bad_entry(ONE, "a")
    rig.harness.settle()
    assert {member.host for member in rig.lists[-1]} == {"a", "b", "c"}
    assert rig.one[0] in rig.lists[-1]
    assert len(rig.errors) == 1
    rig.harness.write_with_a_bad_entry(OTHER, "a")
    rig.harness.settle()
    # A list of lines is refused as a whole for one line that is wrong.
    others = {"b", "c"} if isinstance(rig.harness, LinesFile | HTTP) else {"c", "d"}
    assert {member.host for member in rig.lists[-1]} == {"a", *others}
    assert rig.one[0] in rig.lists[-1]
    rig.write(OTHER)
    assert rig.lists[-1] == rig.other
    assert rig.source.problem is None


def test_t169893_a_server_that_was_restarted_is_followed_on(served: tuple[Rig, Served]) -> None:
    rig, server = served
    server.kill()
    server.start()
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.source.problem is None


def test_t134893_what_was_depooled_while_nothing_was_heard_is_heard_of_when_it_is(rig: Rig) -> None:
    """Also: a key deleted while the watch was down stayed for ever."""
    rig.starts_with(ONE)
    rig.harness.vanish()
    rig.harness.settle()
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.source.problem is None


def test_t169765_lists_that_come_again_and_again_are_all_heard(rig: Rig) -> None:
    """An outdated index was retried for ever: here each of many outages ends."""
    rig.starts_with(ONE)
    for members in (OTHER, ONE, OTHER):
        rig.harness.garble()
        rig.harness.settle()
        rig.write(members)
        assert rig.source.problem is None
    assert rig.lists == [rig.one, rig.other, rig.one, rig.other]


@pytest.mark.parametrize("end", ["killed", "hung"])
def test_t170847_a_server_that_is_not_heard_keeps_the_list_until_it_is_back(
    served: tuple[Rig, Served], end: str
) -> None:
    rig, server = served
    (server.kill if end == "killed" else server.hang)()
    server.settle()
    before = rig.source.last_success
    server.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]
    assert rig.source.last_success == before
    (server.start if end == "killed" else server.resume)()
    server.settle()
    assert (rig.lists, rig.source.problem) == ([rig.one], None)
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]


def test_a_syntax_error_does_not_stop_later_reads(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.source.problem is None


def test_an_empty_answer_does_not_empty_the_pool(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(())
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]
    assert "refused an empty server list" in rig.errors[0]


def test_a_page_of_html_does_not_empty_the_pool(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert len(rig.errors) == 1
    assert rig.source.problem == rig.errors[0]


def test_a_source_that_vanishes_does_not_empty_the_pool(rig: Rig) -> None:
    rig.starts_with(ONE, allow_empty=True)
    rig.harness.vanish()
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]
