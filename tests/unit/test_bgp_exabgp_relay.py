"""The launcher and the relay as the processes that they are."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pybal.bgp.exabgp

HERE = Path(pybal.bgp.exabgp.__file__).parent
PYTHON = (sys.executable, "-I", "-S")
PATIENCE = 20.0


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class TestLauncher:
    def test_it_becomes_the_program(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), str(os.getpid()), "/bin/echo", "here", "it is"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"here it is\n"

    def test_it_does_not_begin_when_somebody_else_is_its_parent(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), "1", "/bin/echo"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr == b"the daemon ended before its child began\n"

    def test_a_program_that_is_not_there_is_named(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), str(os.getpid()), "/no/such/program"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert ended.stderr == b"/no/such/program: No such file or directory\n"

    def test_the_program_dies_with_the_daemon(self) -> None:
        # The daemon's place is taken by one that only begins the launcher and tells its number.
        source = (
            "import os, subprocess, sys, time\n"
            f"p = subprocess.Popen([*{PYTHON!r}, {str(HERE / 'launcher.py')!r}, str(os.getpid()), '/bin/sleep', '60'])\n"
            "print(p.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        daemon = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
        assert daemon.stdout is not None
        with daemon:
            child = int(daemon.stdout.readline())
            wait_for(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
            daemon.kill()
        wait_for(lambda: not running(child))


class Rig:
    """The relay between a socket of ours and an "ExaBGP": a shell that begins it, so that it has a parent to end."""

    def __init__(self, directory: Path, timeout: float) -> None:
        path = directory / "socket"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(PATIENCE)
        self.listener.bind(str(path))
        self.listener.listen()
        source = (
            "import os, signal, subprocess, sys\n"
            "relay = subprocess.Popen(sys.argv[1:])\n"
            "print(relay.pid, file=sys.stderr, flush=True)\n"
            "os.close(0); os.close(1)\n"
            "relay.wait()\n"
            "signal.pause()\n"
        )
        self.exabgp = subprocess.Popen(
            [sys.executable, "-c", source, *PYTHON, str(HERE / "relay.py"), str(path), f"{timeout:g}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.exabgp.stdin is not None
        assert self.exabgp.stdout is not None
        assert self.exabgp.stderr is not None
        self.stdin, self.stdout, self.stderr = self.exabgp.stdin, self.exabgp.stdout, self.exabgp.stderr
        self.relay = int(self.stderr.readline())
        self.daemon = self.listener.accept()[0]
        self.daemon.settimeout(PATIENCE)
        self.lines = self.daemon.makefile("rb")
        assert self.lines.readline() == b"!hello %d\n" % self.relay

    def close(self) -> None:
        for file in (self.lines, self.daemon, self.listener):
            file.close()
        self.exabgp.kill()
        with self.exabgp:
            pass
        wait_for(lambda: not running(self.relay))


@contextlib.contextmanager
def rig(directory: Path, timeout: float = PATIENCE) -> Iterator[Rig]:
    made = Rig(directory, timeout)
    try:
        yield made
    finally:
        made.close()


class TestRelay:
    def test_lines_go_both_ways_and_heartbeats_come_back(self, tmp_path: Path) -> None:
        with rig(tmp_path) as at:
            at.daemon.sendall(b"version\n!beat 7\nannou")
            assert at.stdout.readline() == b"version\n"
            assert at.lines.readline() == b"!beat 7\n"
            at.daemon.sendall(b"nce\n")
            assert at.stdout.readline() == b"announce\n"
            at.stdin.write(b"done\n")
            at.stdin.flush()
            assert at.lines.readline() == b"done\n"

    def test_without_a_heartbeat_exabgp_is_told_to_shut_down_and_then_killed(self, tmp_path: Path) -> None:
        with rig(tmp_path, timeout=0.3) as at:
            assert at.stdout.read() == b"\nshutdown\n"
            assert at.exabgp.wait(PATIENCE) == -signal.SIGKILL
            assert at.stderr.read() == b"relay: no heartbeat from the daemon for 0.3 s: closing all sessions\n"

    def test_at_the_end_of_the_daemon_exabgp_is_ended(self, tmp_path: Path) -> None:
        with rig(tmp_path) as at:
            at.lines.close()
            at.daemon.close()
            assert at.stdout.read() == b"\nshutdown\n"
            assert at.exabgp.wait(PATIENCE) == -signal.SIGKILL
            assert at.stderr.read() == b"relay: the daemon has ended: closing all sessions\n"

    def test_an_exabgp_that_has_stopped_reading_is_killed_all_the_same(self, tmp_path: Path) -> None:
        with rig(tmp_path, timeout=1.0) as at:
            at.daemon.sendall(b"x" * 100 + b"\n")
            with contextlib.suppress(OSError):  # it gives up while we still write
                for _ in range(4000):
                    at.daemon.sendall(b"x" * 999 + b"\n")
            assert at.exabgp.wait(PATIENCE) == -signal.SIGKILL

    def test_an_exabgp_that_takes_the_hint_is_not_killed(self, tmp_path: Path) -> None:
        with rig(tmp_path, timeout=0.3) as at:
            assert at.stdout.readline() == b"\n"
            at.stdin.close()
            wait_for(lambda: not running(at.relay))
            assert at.exabgp.poll() is None

    def test_it_dies_with_exabgp(self, tmp_path: Path) -> None:
        with rig(tmp_path) as at:
            at.exabgp.kill()
            wait_for(lambda: not running(at.relay))
            assert at.lines.read() == b""

    def test_the_last_words_of_exabgp_are_passed_on_when_it_ends_the_relay(self, tmp_path: Path) -> None:
        with rig(tmp_path) as at:
            os.kill(at.relay, signal.SIGSTOP)
            at.stdin.write(b"last words\n")
            at.stdin.flush()
            os.kill(at.relay, signal.SIGTERM)
            os.kill(at.relay, signal.SIGCONT)
            assert at.lines.readline() == b"last words\n"
            assert at.lines.read() == b""

    def test_what_a_silent_daemon_does_not_read_waits_so_that_exabgp_is_never_held_up(self, tmp_path: Path) -> None:
        with rig(tmp_path) as at:
            line = b"x" * 999 + b"\n"
            for _ in range(4000):
                at.stdin.write(line)
            at.stdin.flush()
            assert all(at.lines.readline() == line for _ in range(4000))

    def test_without_a_socket_it_says_which(self, tmp_path: Path) -> None:
        command = [*PYTHON, str(HERE / "relay.py"), str(tmp_path / "none"), "1"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (1, f"relay: {tmp_path}/none: No such file or directory\n".encode())


@pytest.mark.parametrize("name", ["launcher.py", "relay.py"])
def test_no_helper_has_the_daemons_name_among_its_arguments(name: str) -> None:
    assert "/usr/sbin/pybal" not in f"/usr/lib/python3/dist-packages/pybal/bgp/{name}"
    assert "/usr/sbin/pybal" not in str(HERE / name)
