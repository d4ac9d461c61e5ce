"""Overrides of operators: expiry, alerts, and their file."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed  # noqa: A004  # Twisted's
from twisted.internet.task import Clock

from pybal.control.overrides import FILE, PATIENCE, RETRY, Override, Overrides
from pybal.runtime.clocks import Clocks

T = TypeVar("T")
WALL = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Here:
    """Makes calls immediately; ``error`` fails the next ones."""

    error: Exception | None = None

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        if self.error is not None:
            return fail(self.error)
        try:
            return succeed(call())
        except (OSError, ValueError) as error:
            return fail(error)


class Balancer:
    """Overrides in a directory, on a clock; a restart keeps the wall clock and resets the monotonic one."""

    def __init__(self, directory: Path | None, wall: datetime = WALL, error: Exception | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.threads = Here()
        self.threads.error = error
        self.changes: list[str] = []
        self._started = wall
        self.overrides = Overrides(directory, self.threads, self.clock, self.read, self.changes.append)
        self.done(self.overrides.load())

    def read(self) -> Clocks:
        now = self.clock.seconds()
        return Clocks(now, self._started + timedelta(seconds=now - 1000))

    def done(self, coroutine: object) -> object:
        result: list[object] = []
        Deferred.fromCoroutine(coroutine).addCallback(result.append)  # type: ignore[arg-type]
        assert result
        return result[0]

    def depool(self, host: str = "a", seconds: float = 600, service: str = "web") -> object:
        now = self.clock.seconds()
        return self.done(self.overrides.depool(Override(service, host, "alice", "new disk", now, now + seconds)))

    def alerts(self) -> list[str]:
        return [f"{alert.service} {alert.kind}: {alert.text}" for alert in self.overrides.alerts()]


def test_override_ends_after_its_duration_and_clears_its_alert() -> None:
    balancer = Balancer(None)
    assert balancer.depool() == ""
    balancer.depool("b", 300)
    assert balancer.overrides.hosts("web") == {"a", "b"}
    assert balancer.overrides.hosts("api") == frozenset()
    balancer.clock.advance(120)
    assert balancer.alerts()[0] == (
        "web depooled: a depooled by alice for another 8 min, until 2026-11-29T12:10:00.000Z: new disk;"
        " this balancer only; use the pool source for all"
    )
    balancer.clock.advance(180)
    assert balancer.overrides.hosts("web") == {"a"}
    assert balancer.changes == ["web", "web", "web"]
    balancer.clock.advance(300)
    assert balancer.overrides.hosts("web") == frozenset()
    assert balancer.alerts() == []
    assert [call for call in balancer.clock.getDelayedCalls() if call.active()] == []


def test_override_survives_a_restart_for_the_rest_of_its_time(tmp_path: Path) -> None:
    balancer = Balancer(tmp_path)
    balancer.depool("a", 600)
    balancer.depool("b", 60)
    again = Balancer(tmp_path, WALL + timedelta(seconds=100))
    assert again.overrides.hosts("web") == {"a"}
    assert [alert.since for alert in again.overrides.alerts()] == [again.clock.seconds() - 100]
    again.clock.advance(499)
    assert again.overrides.hosts("web") == {"a"}
    again.clock.advance(1)
    assert again.overrides.hosts("web") == frozenset()
    assert Balancer(tmp_path, WALL).overrides.hosts("web") == frozenset()


def test_ended_override_stays_ended_after_a_restart(tmp_path: Path) -> None:
    balancer = Balancer(tmp_path)
    balancer.depool()
    assert balancer.done(balancer.overrides.repool("web", "a")) == ""
    assert Balancer(tmp_path).overrides.hosts("web") == frozenset()


def test_wall_clock_set_back_prolongs_an_override_by_a_day_at_most(tmp_path: Path) -> None:
    Balancer(tmp_path).depool()
    again = Balancer(tmp_path, WALL - timedelta(days=400))
    again.clock.advance(86399)
    assert again.overrides.hosts("web") == {"a"}
    again.clock.advance(1)
    assert again.overrides.hosts("web") == frozenset()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2}', '{"version": 1, "overrides": [{"host": "a"}]}', "\x00" * 9]
)
def test_damaged_file_raises_an_alert_until_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    balancer = Balancer(tmp_path)
    (alert,) = balancer.alerts()
    assert alert.startswith(f" state: cannot read {tmp_path / FILE}: ")
    assert alert.endswith("; depooled servers may take traffic (depool them again)")
    assert balancer.depool() == ""
    assert [alert.split(":")[0] for alert in balancer.alerts()] == ["web depooled"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (TimeoutError(PATIENCE), "no response for 5 s"),
    ],
)
def test_file_that_does_not_respond_at_the_start_is_read_again(tmp_path: Path, error: Exception, reason: str) -> None:
    Balancer(tmp_path).depool()
    balancer = Balancer(tmp_path, error=error)
    problem = (
        f"cannot read {tmp_path / FILE}: {reason}; depooled servers may take traffic until it can be read; retrying"
    )
    assert balancer.alerts() == [f" state: {problem}"]
    balancer.clock.advance(RETRY)
    assert balancer.overrides.hosts("web") == frozenset()
    balancer.threads.error = None
    balancer.clock.advance(RETRY)
    assert balancer.overrides.hosts("web") == {"a"}
    assert balancer.changes == ["web"]
    assert [alert.partition(":")[0] for alert in balancer.alerts()] == ["web depooled"]


def test_damaged_file_that_responds_late_stays_an_alert(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    balancer = Balancer(tmp_path, error=TimeoutError(PATIENCE))
    balancer.threads.error = None
    balancer.clock.advance(RETRY)
    balancer.clock.advance(RETRY)
    (alert,) = balancer.alerts()
    assert alert.endswith("; depooled servers may take traffic (depool them again)")
    assert (tmp_path / FILE).read_text() == "{"


def test_commands_before_the_file_responds_leave_its_other_overrides(tmp_path: Path) -> None:
    for host in "ab":
        Balancer(tmp_path).depool(host)
    balancer = Balancer(tmp_path, error=OSError(errno.EIO, "Input/output error"))
    assert "Input/output error" in str(balancer.depool("c"))
    assert "Input/output error" in str(balancer.done(balancer.overrides.repool("web", "a")))
    assert balancer.overrides.hosts("web") == {"c"}
    balancer.threads.error = None
    balancer.clock.advance(RETRY)
    assert balancer.overrides.hosts("web") == {"b", "c"}
    assert Balancer(tmp_path).overrides.hosts("web") == {"b", "c"}


def test_file_of_another_version_is_set_aside_with_an_alert(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"version": 2}')
    balancer = Balancer(tmp_path)
    (alert,) = balancer.alerts()
    assert alert == (
        f" state: cannot read {tmp_path / FILE}: format version 2 instead of 1 (written by another PyBal); kept as "
        f"{tmp_path / FILE}.version-2; depooled servers may take traffic (depool them again)"
    )
    assert balancer.depool() == ""
    assert [alert.split(":")[0] for alert in balancer.alerts()] == ["web depooled"]
    assert (tmp_path / f"{FILE}.version-2").read_text() == '{"version": 2}'


def test_failed_write_is_an_alert_and_is_tried_again(tmp_path: Path) -> None:
    balancer = Balancer(tmp_path)
    balancer.threads.error = OSError(28, "No space left on device")
    problem = balancer.depool()
    assert problem == (
        f"cannot write {tmp_path / FILE}: No space left on device; a restart may lose or repeat overrides; retrying"
    )
    assert f" state: {problem}" in balancer.alerts()
    balancer.threads.error = None
    balancer.clock.advance(10)
    assert len(balancer.alerts()) == 1
    assert Balancer(tmp_path).overrides.hosts("web") == {"a"}
