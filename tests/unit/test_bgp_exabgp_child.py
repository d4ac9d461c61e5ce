"""A child process of the daemon, in a real reactor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from pybal.bgp.exabgp.child import Child
from tests.harness.stepped_reactor import close, run


def outcome(directory: Path, script: str, *, kill_at: bytes | None = None) -> tuple[list[bytes], str]:
    """Run a shell script to its end, or kill it at a line of its output; return its lines and its end."""

    async def main(reactor: EPollReactor) -> tuple[list[bytes], str]:
        lines: list[bytes] = []
        ended: Deferred[str] = Deferred()

        def received(line: bytes) -> None:
            lines.append(line)
            if line == kill_at:
                child.kill()

        child = Child(
            reactor,
            ["/bin/sh", "-c", script],
            environ={"PATH": "/usr/bin:/bin", "GIVEN": "yes"},
            directory=directory,
            received=received,
            ended=ended.callback,
        )
        reason = await ended
        child.kill()  # has no effect after the end
        return lines, reason

    return run(main)


def test_child_reports_all_lines_before_its_end(tmp_path: Path) -> None:
    assert outcome(tmp_path, "echo one; echo two >&2; printf three; exit 7") == (
        [b"one", b"two", b"three"],
        "exit status 7",
    )


def test_kill_ends_the_child(tmp_path: Path) -> None:
    assert outcome(tmp_path, "echo here; exec sleep 60", kill_at=b"here") == ([b"here"], "killed by SIGKILL")


def test_child_gets_the_given_environment_and_directory_only(tmp_path: Path) -> None:
    # A shell has three descriptors; the fourth is the listing's own.
    with (tmp_path / "open").open("wb") as ours:
        os.set_inheritable(ours.fileno(), True)
        lines, _ = outcome(tmp_path, "echo $GIVEN; pwd; ls /proc/self/fd")
    assert lines == [b"yes", str(tmp_path).encode(), b"0", b"1", b"2", b"3"]


def test_child_end_is_reported_while_a_grandchild_holds_the_pipe(tmp_path: Path) -> None:
    lines, reason = outcome(tmp_path, "sleep 30 & echo $!; exit 0")
    os.kill(int(lines[0]), 9)
    assert reason == "exit status 0"


def test_missing_program_raises(tmp_path: Path) -> None:
    reactor = EPollReactor()
    with pytest.raises(FileNotFoundError):
        Child(
            reactor,
            ["/no/such/program"],
            environ={},
            directory=tmp_path,
            received=lambda _line: None,
            ended=lambda _reason: None,
        )
    close(reactor)
