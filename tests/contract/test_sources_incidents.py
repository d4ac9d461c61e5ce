"""Regressions: the incidents under "Pool sources" in incidents.md, for each kind of source.

Tests of one kind cover incidents of its protocol: an expired index, a half-open connection, a truncated response, and the
delay of a change. ``unit/test_resolve_follow.py`` covers names that do not resolve.
"""

from __future__ import annotations

import pytest

from tests.harness.sources.contract import ONE, OTHER, SourceRecorder, UpstreamServer
from tests.harness.sources.file import LinesFile
from tests.harness.sources.http import HTTP


def test_t125397_invalid_value_keeps_its_host_and_updates_others(recorder: SourceRecorder) -> None:
    """The invalid host keeps its last good value."""
    recorder.starts_with(ONE)
    recorder.upstream.write_with_a_bad_entry(ONE, "a")
    recorder.upstream.settle()
    assert {member.host for member in recorder.lists[-1]} == {"a", "b", "c"}
    assert recorder.one[0] in recorder.lists[-1]
    assert len(recorder.errors) == 1
    recorder.upstream.write_with_a_bad_entry(OTHER, "a")
    recorder.upstream.settle()
    # An invalid line may be that of any host, so the hosts that are missing stay.
    others = {"b", "c", "d"} if isinstance(recorder.upstream, LinesFile | HTTP) else {"c", "d"}
    assert {member.host for member in recorder.lists[-1]} == {"a", *others}
    assert recorder.one[0] in recorder.lists[-1]
    recorder.write(OTHER)
    assert recorder.lists[-1] == recorder.other
    assert recorder.source.problem is None


def test_t169893_source_follows_a_restarted_server(served: tuple[SourceRecorder, UpstreamServer]) -> None:
    recorder, server = served
    server.kill()
    server.start()
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]
    assert recorder.source.problem is None


def test_t134893_source_delivers_changes_made_during_an_outage(recorder: SourceRecorder) -> None:
    """A key that was deleted while the watch was down stayed forever."""
    recorder.starts_with(ONE)
    recorder.upstream.vanish()
    recorder.upstream.settle()
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]
    assert recorder.source.problem is None


def test_t169765_source_recovers_from_each_of_many_outages(recorder: SourceRecorder) -> None:
    """An outdated index was retried forever."""
    recorder.starts_with(ONE)
    for members in (OTHER, ONE, OTHER):
        recorder.upstream.garble()
        recorder.upstream.settle()
        recorder.write(members)
        assert recorder.source.problem is None
    assert recorder.lists == [recorder.one, recorder.other, recorder.one, recorder.other]


@pytest.mark.parametrize("end", ["killed", "hung"])
def test_t170847_source_keeps_its_list_when_the_server_is_down(
    served: tuple[SourceRecorder, UpstreamServer], end: str
) -> None:
    recorder, server = served
    (server.kill if end == "killed" else server.hang)()
    server.settle()
    before = recorder.source.last_success
    server.settle()
    assert recorder.lists == [recorder.one]
    assert recorder.errors == [recorder.source.problem]
    assert recorder.source.last_success == before
    (server.start if end == "killed" else server.resume)()
    server.settle()
    assert (recorder.lists, recorder.source.problem) == ([recorder.one], None)
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]


def test_source_reads_a_good_list_after_garbage(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.garble()
    recorder.upstream.settle()
    recorder.write(OTHER)
    assert recorder.lists == [recorder.one, recorder.other]
    assert recorder.source.problem is None


def test_source_keeps_its_list_when_an_empty_list_follows(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.write(())
    assert recorder.lists == [recorder.one]
    assert recorder.errors == [recorder.source.problem]
    assert "refused an empty server list" in recorder.errors[0]


def test_source_keeps_its_list_when_an_html_page_follows(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE)
    recorder.upstream.garble()
    recorder.upstream.settle()
    recorder.upstream.settle()
    assert recorder.lists == [recorder.one]
    assert len(recorder.errors) == 1
    assert recorder.source.problem == recorder.errors[0]


def test_source_keeps_its_list_when_the_upstream_disappears(recorder: SourceRecorder) -> None:
    recorder.starts_with(ONE, allow_empty=True)
    recorder.upstream.vanish()
    recorder.upstream.settle()
    assert recorder.lists == [recorder.one]
    assert recorder.errors == [recorder.source.problem]
