"""The history of pools after a restart, from the journal; no journal can harm a start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from pybal.core.events import Reported
from pybal.core.history import PoolHistory
from pybal.core.model import Report
from pybal.ipvs.model import key_of
from pybal.journal import rebuild
from pybal.journal.rebuild import Rebuild
from pybal.runtime.clocks import Clocks
from tests.harness.app_on_clock import app_on_clock
from tests.harness.fake_workers import FakeWorkers
from tests.harness.journaled_pool import BEGIN, JournaledPool
from tests.harness.pool_events import service


class Restarted:
    """The history of the service web after a restart, 60 s after the begin of the earlier run.

    The clock has ``seconds`` then.
    """

    def __init__(
        self,
        directory: Path,
        seconds: float = 60.0,
        *,
        clock: Clock | None = None,
        workers: FakeWorkers | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.clock.advance(seconds)
        self.history = PoolHistory()
        self.rebuild = Rebuild(
            directory,
            run="the present one",
            histories=lambda: {key_of(service()): self.history},
            clock=self.clock,
            threads=workers or FakeWorkers(self.clock),
            read=lambda: Clocks(self.clock.seconds(), BEGIN + timedelta(seconds=60 + self.clock.seconds() - seconds)),
        )
        self.rebuild.start()
        self.turns = 0

    def wait(self) -> None:
        """Pass time until the history is rebuilt."""
        while self.clock.getDelayedCalls():
            self.clock.advance(rebuild.PAUSE)
            self.turns += 1

    def decisions(self) -> list[str]:
        self.wait()
        return [f"{one.at:g} {', '.join(one.hosts)} {one.verb}" for one in self.history.decisions]

    def transitions(self, host: str) -> list[str]:
        self.wait()
        log = self.history.transitions(host).get("ProxyFetch", ())
        return [f"{one.at:g} {'up' if one.up else one.reason}" for one in log]


@contextmanager
def earlier_run(directory: Path, size: int = 10_000_000) -> Iterator[JournaledPool]:
    balancer = JournaledPool(directory, size)
    balancer.begin()
    yield balancer
    balancer.stop()


def fail_and_recover(balancer: JournaledPool) -> None:
    """Server a fails 11 s after the begin and recovers 10 s later."""
    for report in (Report(False, "connect: refused", 11.0), Report(True, at=21.0)):
        balancer.pass_time(10)
        balancer.happen(Reported("a", "ProxyFetch", report))


HISTORY = ["0 a, b pooled", "0 c pooled", "0 d pooled", "10 a depooled", "20 a pooled"]


def test_history_is_rebuilt_with_times_and_reasons(tmp_path: Path) -> None:
    with earlier_run(tmp_path) as balancer:
        fail_and_recover(balancer)
    restarted = Restarted(balancer.directory)
    assert restarted.decisions() == HISTORY
    assert restarted.transitions("a") == ["11 connect: refused", "21 up"]
    depooled = list(restarted.history.decisions)[-2]
    assert depooled.reason_of("a") == "down: ProxyFetch connect: refused"
    assert depooled.arithmetic == "serving 3 of 4, floor 2, 0 forced"


def test_times_are_those_of_the_wall_clock_after_a_reboot(tmp_path: Path) -> None:
    with earlier_run(tmp_path) as balancer:
        fail_and_recover(balancer)
    restarted = Restarted(balancer.directory, 5.0)
    # 60 s after the begin on the wall clock, 5 s on the monotonic one.
    assert restarted.transitions("a") == ["-44 connect: refused", "-34 up"]


def test_segments_are_joined_with_those_of_earlier_runs(tmp_path: Path) -> None:
    with earlier_run(tmp_path, 40_000) as balancer:
        for number in range(20):
            balancer.happen(Reported("a", "ProxyFetch", Report(False, "connect: refused", number + 0.25)))
            balancer.happen(Reported("a", "ProxyFetch", Report(True, at=number + 0.5)))
    with earlier_run(tmp_path, 40_000) as balancer:
        pass
    assert len(list(balancer.directory.iterdir())) >= 3
    restarted = Restarted(balancer.directory)
    expected = [
        text for number in range(20) for text in (f"{number + 0.25:g} connect: refused", f"{number + 0.5:g} up")
    ]
    assert restarted.transitions("a") == expected


def test_segments_of_the_present_run_are_left_out(tmp_path: Path) -> None:
    with earlier_run(tmp_path) as balancer:
        pass
    (segment,) = balancer.directory.iterdir()
    header, *others = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join([json.dumps({**json.loads(header), "run": "the present one"}) + "\n", *others]))
    assert Restarted(balancer.directory).decisions() == []


def test_newest_segments_are_rebuilt_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with earlier_run(tmp_path) as balancer:
        fail_and_recover(balancer)
    newest = max(balancer.directory.iterdir())
    older = balancer.directory / "00000000.jsonl"
    older.write_bytes(newest.read_bytes())
    monkeypatch.setattr(rebuild, "MOST_BYTES", newest.stat().st_size)
    assert Restarted(balancer.directory).decisions() == HISTORY


def test_damaged_journal_is_logged_and_the_rest_is_used(tmp_path: Path) -> None:
    with earlier_run(tmp_path) as balancer:
        fail_and_recover(balancer)
    (segment,) = balancer.directory.iterdir()
    segment.write_text(segment.read_text().replace('"event":"stop"', '"event":"stop') + "torn")
    with capturedLogs() as logs:
        assert Restarted(balancer.directory).decisions() == HISTORY
    assert "2 problems while rebuilding the history of pools; the first: 00000001.jsonl: damaged record" in text(logs)


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        ('{"journal":2,"n":1}\n', "not a journal of version 1"),
        ("x" * 10_000, "a record of more than 1000 bytes"),
    ],
)
def test_foreign_journal_is_logged(tmp_path: Path, journal: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "LONGEST_LINE", 1000)
    (tmp_path / "00000001.jsonl").write_text(journal)
    with capturedLogs() as logs:
        assert Restarted(tmp_path).decisions() == []
    assert f"00000001.jsonl: {reason}; not rebuilding the history of pools before" in text(logs)


def test_unreadable_journal_is_logged(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("not a directory")
    with capturedLogs() as logs:
        assert Restarted(tmp_path / "journal").decisions() == []
    assert "Not a directory" in text(logs)


def test_absent_journal_is_not_logged(tmp_path: Path) -> None:
    with capturedLogs() as logs:
        assert Restarted(tmp_path / "journal").decisions() == []
    assert text(logs) == ""


def test_rebuild_pauses_while_it_computes(tmp_path: Path) -> None:
    class Busy(Clock):
        """A clock that takes 1 ms for each reading."""

        def seconds(self) -> float:
            self.rightNow += 0.001
            return float(self.rightNow)

    with earlier_run(tmp_path) as balancer:
        fail_and_recover(balancer)
    restarted = Restarted(balancer.directory, clock=Busy())
    assert list(restarted.history.decisions) == []
    restarted.wait()
    assert restarted.turns > 3
    assert len(restarted.decisions()) == len(HISTORY)


def test_stop_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    with earlier_run(tmp_path) as balancer:
        pass
    workers = FakeWorkers(hold=True)
    restarted = Restarted(balancer.directory, workers=workers)
    restarted.rebuild.stop()
    workers.release()
    assert restarted.decisions() == []


def test_daemon_shows_the_decisions_of_its_earlier_run(tmp_path: Path) -> None:
    for runs in (1, 2):
        with app_on_clock(tmp_path) as app:
            app.wait(lambda: len(app.get("/v1/pools/web/history")["decisions"]) == runs, 60.0)  # noqa: B023
            history = app.get("/v1/pools/web/history")
    assert [each["decision"] for each in history["decisions"]] == ["pooled", "pooled"]


def text(logs: Sequence[LogEvent]) -> str:
    return "\n".join(formatEvent(event) for event in logs)
