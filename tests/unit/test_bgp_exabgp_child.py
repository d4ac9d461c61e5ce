"""A child process of the daemon, in a reactor of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from pybal.bgp.exabgp.child import Child
from tests.harness.stepped_reactor import run


def outcome(directory: Path, script: str, *, kill_at: bytes | None = None) -> tuple[list[bytes], str]:
    """Run a shell script until it ends, or kill it when it says that; return its lines and how it ended."""

    async def main(reactor: EPollReactor) -> tuple[list[bytes], str]:
        lines: list[bytes] = []
        ended: Deferred[str] = Deferred()

        def said(line: bytes) -> None:
            lines.append(line)
            if line == kill_at:
                child.kill()

        child = Child(
            reactor,
            ["/bin/sh", "-c", script],
            environ={"PATH": "/usr/bin:/bin", "GIVEN": "yes"},
            directory=directory,
            said=said,
            ended=ended.callback,
        )
        reason = await ended
        child.kill()  # which is nothing any more
        return lines, reason

    return run(main)


def test_its_lines_come_before_its_end_and_the_last_needs_no_newline(tmp_path: Path) -> None:
    assert outcome(tmp_path, "echo one; echo two >&2; printf three; exit 7") == (
        [b"one", b"two", b"three"],
        "exit status 7",
    )


def test_it_is_killed(tmp_path: Path) -> None:
    assert outcome(tmp_path, "echo here; exec sleep 60", kill_at=b"here") == ([b"here"], "killed by SIGKILL")


def test_it_has_our_environment_as_given_its_directory_and_no_descriptor_of_ours(tmp_path: Path) -> None:
    # A shell has none but the three; that of /proc/self/fd is the listing's own.
    with (tmp_path / "open").open("wb") as ours:
        os.set_inheritable(ours.fileno(), True)
        lines, _ = outcome(tmp_path, "echo $GIVEN; pwd; ls /proc/self/fd")
    assert lines == [b"yes", str(tmp_path).encode(), b"0", b"1", b"2", b"3"]


def test_a_grandchild_that_keeps_the_pipe_does_not_hide_the_end(tmp_path: Path) -> None:
    lines, reason = outcome(tmp_path, "sleep 30 & echo $!; exit 0")
    os.kill(int(lines[0]), 9)
    assert reason == "exit status 0"


def test_what_cannot_be_begun_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child(
            EPollReactor(),
            ["/no/such/program"],
            environ={},
            directory=tmp_path,
            said=lambda _line: None,
            ended=lambda _reason: None,
        )
