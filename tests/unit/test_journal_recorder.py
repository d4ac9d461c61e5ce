"""The journal on disk: segments, rotation, and what happens if it cannot be written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pybal.core.events import Gathered
from pybal.core.model import Member, Pool
from pybal.core.policy import step
from pybal.journal.reader import JournalError, Reader
from pybal.journal.recorder import Tape
from pybal.journal.replay import replayed
from tests.harness.journaled_pool import BEGIN, JournaledPool
from tests.harness.pool_events import down, listed, service, up


def segments(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def lines(path: Path) -> Iterator[dict[str, object]]:
    return map(json.loads, path.read_text().splitlines())


def test_journal_records_event_with_time_and_outcome(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.clock.advance(2.5)
    balancer.happen(Gathered([down("a")]))
    balancer.stop()
    (segment,) = segments(balancer.directory)
    *_, last, stop = lines(segment)
    assert last == {
        "n": 9,
        "at": 2.5,
        "time": "2026-11-30T08:00:02.500Z",
        "pool": 1,
        "service": "web",
        "event": "reports",
        "reports": [["a", "ProxyFetch", None, 0.0, "connect: refused", ""]],
        "placed": {"a": "out"},
        "serving": 3,
    }
    assert stop["event"] == "stop"


def test_replay_equals_the_recorded_run(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.happen(down("a"), down("b"), down("c"), up("a"))
    balancer.stop()
    replay = balancer.replay()
    assert (replay.differences, replay.gaps, replay.problems) == ([], [], [])
    assert replay.pool("web") == balancer.pool


def test_replay_shows_a_changed_decision(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.happen(down("a"))
    balancer.stop()
    (segment,) = segments(balancer.directory)
    segment.write_text(segment.read_text().replace('"placed":{"a":"out"}', '"placed":{"a":"forced"}'))
    (difference,) = balancer.replay().differences
    assert difference.service == "web"
    assert difference.n == 9


def test_replay_shows_a_change_of_a_fact_that_no_decision_shows(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path, 80_000)
    balancer.begin()
    for _ in range(200):
        balancer.happen(down("a"), up("a"))
    balancer.stop()
    first, second = segments(balancer.directory)[:2]
    text = second.read_text()
    assert '["b","' not in text.partition('"event":"reports"')[0]
    second.write_text(text.replace('"server":"b","member":10', '"server":"b","member":11', 1))
    assert first.exists()
    (difference, *_) = balancer.replay().differences
    assert "weight=11" in difference.text


def test_journal_stays_within_its_size(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path, 100_000)
    balancer.begin()
    for _ in range(600):
        balancer.happen(down("a"), up("a"))
        balancer.clock.advance(0.01)
    balancer.stop()
    sizes = [path.stat().st_size for path in segments(balancer.directory)]
    assert len(sizes) > 3
    assert sum(sizes) <= 100_000
    assert segments(balancer.directory)[0].name != "00000001.jsonl"


def test_journal_begins_in_the_middle_with_the_state_of_all_pools(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path, 100_000)
    balancer.begin()
    for _ in range(600):
        balancer.happen(down("a"), up("a"))
        balancer.clock.advance(0.01)
    balancer.stop()
    replay = balancer.replay()
    assert (replay.differences, replay.gaps, replay.counts.skipped) == ([], [], 0)
    assert replay.pool("web") == balancer.pool


def test_segment_is_replayed_alone(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path, 80_000)
    balancer.begin()
    for _ in range(200):
        balancer.happen(down("a"), up("a"))
    balancer.stop()
    *_, last = segments(balancer.directory)
    replay = replayed(Reader(last))
    assert (replay.differences, replay.counts.skipped) == ([], 0)
    assert replay.pool("web") == balancer.pool


def test_segments_of_a_large_journal_are_small_enough_for_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybal.journal.recorder.LARGEST_SEGMENT", 10_000)
    balancer = JournaledPool(tmp_path, 1_000_000_000)
    balancer.begin()
    for _ in range(200):
        balancer.happen(down("a"), up("a"))
        balancer.pass_time(0.1)
    balancer.stop()
    assert max(path.stat().st_size for path in segments(balancer.directory)) < 12_000


def test_large_state_is_not_repeated_more_often_than_the_events_need(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path, 80_000)
    hosts = [f"server{number}.example.org" for number in range(500)]
    balancer.happen(listed(*map(Member, hosts)))
    for _ in range(300):
        balancer.happen(down(hosts[0]), up(hosts[0]))
    balancer.stop()
    for path in segments(balancer.directory)[:-1]:
        state = sum(len(json.dumps(line)) for line in lines(path) if "server" in line)
        assert path.stat().st_size > 1.5 * state


def test_torn_last_record_is_cut_with_a_message(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.stop()
    (segment,) = segments(balancer.directory)
    segment.write_bytes(segment.read_bytes()[:-5])
    reader = Reader(balancer.directory)
    replay = replayed(reader)
    (problem,) = reader.problems
    assert problem.startswith("00000001.jsonl:9: cut a torn record of ")
    assert replay.differences == []
    assert replay.pool("web") == balancer.pool


def test_damaged_record_makes_a_gap(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.happen(down("a"))
    balancer.stop()
    (segment,) = segments(balancer.directory)
    text = segment.read_text().splitlines(keepends=True)
    text[4] = "\0" * 40 + "\n"
    segment.write_text("".join(text))
    reader = Reader(balancer.directory)
    replay = replayed(reader)
    assert reader.problems == ["00000001.jsonl:5: left out a damaged record of 41 bytes"]
    assert [gap.records for gap in replay.gaps] == [1]
    assert replay.counts.skipped == 4


@pytest.mark.parametrize("head", ['"n":5', '"n":"5","at":1,"time":"2026-11-30T08:00:00Z"', '"n":5,"at":1,"time":"x"'])
def test_record_without_a_valid_head_is_left_out(tmp_path: Path, head: str) -> None:
    journal = tmp_path / "copy.jsonl"
    journal.write_text('{"journal":1,"n":1,"at":0,"time":"2026-11-30T08:00:00Z"}\n{' + head + ',"event":"stop"}\n')
    reader = Reader(journal)
    assert [record["n"] for record in reader] == [1]
    assert [problem.partition(" record")[0] for problem in reader.problems] == ["copy.jsonl:2: left out a damaged"]


@pytest.mark.parametrize("members", ['"event":"reports","pool":1', '"event":"list"'])
def test_record_of_another_format_makes_a_gap(tmp_path: Path, members: str) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.stop()
    (segment,) = segments(balancer.directory)
    *text, _stop = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join(text) + '{"n":9,"at":0,"time":"2026-11-30T08:00:00Z",' + members + "}\n")
    replay = balancer.replay()
    assert len(replay.problems) == 1
    assert replay.pool("web") is None


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00000001.jsonl").write_text('{"journal":2,"n":1}\n')
    with pytest.raises(JournalError, match=r"not a journal of version 1"):
        replayed(Reader(tmp_path))


def test_restart_begins_a_segment_of_a_new_run(tmp_path: Path) -> None:
    for second in (0, 60):
        balancer = JournaledPool(tmp_path)
        balancer.pass_time(second)
        balancer.begin()
        balancer.stop()
    assert [path.name for path in segments(balancer.directory)] == ["00000001.jsonl", "00000002.jsonl"]
    replay = balancer.replay()
    assert (replay.differences, replay.problems, replay.gaps) == ([], [], [])
    assert replay.pool("web") == balancer.pool


def test_failed_write_is_an_alert_until_a_new_segment_is_written(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.directory.write_text("not a directory")
    balancer.begin()
    balancer.pass_time()
    balancer.wait(lambda: balancer.has_alert("File exists"))
    balancer.happen(down("a"))
    balancer.wait(lambda: balancer.has_alert("lost"))
    (alert,) = balancer.alerts()
    assert alert.kind == "journal"
    assert "File exists" in alert.text
    assert alert.since is not None
    balancer.directory.unlink()
    balancer.wait(lambda: not balancer.alerts())
    balancer.happen(up("a"), down("b"))
    balancer.stop()
    replay = balancer.replay()
    assert (replay.differences, replay.counts.skipped) == ([], 0)
    assert replay.pool("web") == balancer.pool
    (segment,) = segments(balancer.directory)
    header, *_ = lines(segment)
    lost = header["lost"]
    assert isinstance(lost, dict)
    assert lost["reason"] == "File exists"
    assert lost["records"] >= 8


def test_gap_is_reported_with_its_reason_and_length(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    balancer.wait(
        lambda: len(segments(tmp_path)) == 1 and any("web" in each.read_text() for each in segments(balancer.directory))
    )
    balancer.wait(lambda: balancer.is_written)
    # The thread keeps the first segment open; a second one cannot be created.
    moved = balancer.directory.rename(tmp_path / "first")
    balancer.directory.write_text("not a directory")
    balancer.recorder.begin_segment()
    balancer.wait(lambda: balancer.has_alert("File exists"))
    balancer.happen(down("a"), down("b"))
    balancer.pass_time(5)
    balancer.directory.unlink()
    balancer.wait(lambda: not balancer.alerts())
    balancer.happen(up("a"))
    balancer.stop()
    for path in segments(balancer.directory):
        path.rename(moved / f"0000000{2 + int(path.stem)}.jsonl")
    replay = replayed(Reader(moved))
    (gap,) = replay.gaps
    assert gap.reason == "File exists"
    assert gap.records is not None
    assert gap.records >= 2
    assert replay.differences == []
    assert replay.pool("web") == balancer.pool


def test_gap_at_a_start_is_reported_with_its_reason(tmp_path: Path) -> None:
    before = JournaledPool(tmp_path)
    before.begin()
    before.stop()
    moved = before.directory.rename(tmp_path / "first")
    before.directory.write_text("not a directory")
    balancer = JournaledPool(tmp_path, begin=BEGIN + timedelta(hours=1))
    balancer.pass_time()
    balancer.wait(lambda: balancer.has_alert("File exists"))
    balancer.directory.unlink()
    moved.rename(balancer.directory)
    balancer.wait(lambda: not balancer.alerts())
    balancer.stop()
    (gap,) = balancer.replay().gaps
    assert (gap.records, gap.reason) == (None, "File exists")


def test_tape_is_bound_to_the_service_and_not_to_its_name(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    other: Tape = balancer.recorder.tape()
    pool = Pool(service())
    other.record(listed("xy"), pool, step(pool, listed("xy")))
    balancer.tape.end()
    balancer.stop()
    replay = balancer.replay()
    found = replay.pool("web")
    assert found is not None
    assert list(found.servers) == ["x", "y"]


def test_journal_continues_after_an_exception_with_an_alert(tmp_path: Path) -> None:
    balancer = JournaledPool(tmp_path)
    balancer.begin()
    no_text: Any = object()
    balancer.recorder.note(no_text)
    balancer.pass_time()
    (alert,) = balancer.alerts()
    assert "internal error (see the log)" in alert.text
    balancer.happen(down("a"))
    balancer.wait(lambda: not balancer.alerts())
    balancer.happen(down("b"))
    balancer.stop()
    replay = balancer.replay()
    assert replay.differences == []
    assert replay.pool("web") == balancer.pool
