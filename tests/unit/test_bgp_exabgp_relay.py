"""The launcher and the relay, as real processes."""

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
    def test_launcher_executes_the_program(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), str(os.getpid()), "/bin/echo", "here", "it is"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"here it is\n"

    def test_launcher_refuses_another_parent(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), "1", "/bin/echo"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr == b"daemon ended before its child started\n"

    def test_launcher_names_a_missing_program(self) -> None:
        command = [*PYTHON, str(HERE / "launcher.py"), str(os.getpid()), "/no/such/program"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert ended.stderr == b"/no/such/program: No such file or directory\n"

    def test_program_is_killed_with_the_daemon(self) -> None:
        # A stand-in for the daemon starts the launcher and prints its process ID.
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


class RunningRelay:
    """A relay between a socket of the test and a parent process that stands in for ExaBGP."""

    def __init__(self, directory: Path, timeout: float, shutdown: float) -> None:
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
        relay = [*PYTHON, str(HERE / "relay.py"), str(path), f"{timeout:g}", f"{shutdown:g}"]
        # The processes end with the tests, even if one of the next lines fails.
        self.exabgp = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", source, *relay],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.exabgp.stdin is not None
        assert self.exabgp.stdout is not None
        assert self.exabgp.stderr is not None
        self.stdin, self.stdout, self.stderr = self.exabgp.stdin, self.exabgp.stdout, self.exabgp.stderr
        self.pid = int(self.stderr.readline())
        self.daemon = self.listener.accept()[0]
        self.daemon.settimeout(PATIENCE)
        self.lines = self.daemon.makefile("rb")
        assert self.lines.readline() == b"!hello %d\n" % self.pid

    def close(self) -> None:
        for file in (self.lines, self.daemon, self.listener):
            file.close()
        self.exabgp.kill()
        with self.exabgp:
            pass
        wait_for(lambda: not running(self.pid))


@contextlib.contextmanager
def running_relay(directory: Path, timeout: float = PATIENCE, shutdown: float = 0.5) -> Iterator[RunningRelay]:
    made = RunningRelay(directory, timeout, shutdown)
    try:
        yield made
    finally:
        made.close()


class TestRelay:
    def test_relay_passes_lines_both_ways_and_echoes_heartbeats(self, tmp_path: Path) -> None:
        with running_relay(tmp_path) as relay:
            relay.daemon.sendall(b"version\n!beat 7\nannou")
            assert relay.stdout.readline() == b"version\n"
            assert relay.lines.readline() == b"!beat 7\n"
            relay.daemon.sendall(b"nce\n")
            assert relay.stdout.readline() == b"announce\n"
            relay.stdin.write(b"done\n")
            relay.stdin.flush()
            assert relay.lines.readline() == b"done\n"

    def test_exabgp_is_shut_down_then_killed_without_heartbeats(self, tmp_path: Path) -> None:
        with running_relay(tmp_path, timeout=0.3) as relay:
            assert relay.stdout.read() == b"\nshutdown\n"
            assert relay.exabgp.wait(PATIENCE) == -signal.SIGKILL
            assert relay.stderr.read() == b"relay: no heartbeat from the daemon for 0.3 s; closing all sessions\n"

    def test_pause_of_the_relay_does_not_count(self, tmp_path: Path) -> None:
        with running_relay(tmp_path, timeout=1.0) as relay:
            relay.daemon.sendall(b"!beat 1\n")
            assert relay.lines.readline() == b"!beat 1\n"
            os.kill(relay.pid, signal.SIGSTOP)
            time.sleep(2.0)
            relay.stdin.write(b"running again\n")
            relay.stdin.flush()
            os.kill(relay.pid, signal.SIGCONT)
            assert relay.lines.readline() == b"running again\n"
            relay.daemon.sendall(b"!beat 2\n")
            assert relay.lines.readline() == b"!beat 2\n"
            assert relay.exabgp.poll() is None

    def test_exabgp_is_shut_down_when_the_daemon_ends(self, tmp_path: Path) -> None:
        with running_relay(tmp_path) as relay:
            relay.lines.close()
            relay.daemon.close()
            assert relay.stdout.read() == b"\nshutdown\n"
            assert relay.exabgp.wait(PATIENCE) == -signal.SIGKILL
            assert relay.stderr.read() == b"relay: daemon ended; closing all sessions\n"

    def test_exabgp_that_does_not_read_is_killed(self, tmp_path: Path) -> None:
        with running_relay(tmp_path, timeout=1.0) as relay:
            relay.daemon.sendall(b"x" * 100 + b"\n")
            with contextlib.suppress(OSError):  # the relay gives up during the writes
                for _ in range(4000):
                    relay.daemon.sendall(b"x" * 999 + b"\n")
            assert relay.exabgp.wait(PATIENCE) == -signal.SIGKILL

    def test_exabgp_that_shuts_down_is_not_killed(self, tmp_path: Path) -> None:
        with running_relay(tmp_path, timeout=0.3, shutdown=PATIENCE) as relay:
            assert relay.stdout.readline() == b"\n"
            relay.stdin.close()
            wait_for(lambda: not running(relay.pid))
            assert relay.exabgp.poll() is None

    def test_relay_ends_with_exabgp(self, tmp_path: Path) -> None:
        with running_relay(tmp_path) as relay:
            relay.exabgp.kill()
            wait_for(lambda: not running(relay.pid))
            assert relay.lines.read() == b""

    def test_last_lines_of_exabgp_reach_the_daemon_when_it_ends_the_relay(self, tmp_path: Path) -> None:
        with running_relay(tmp_path) as relay:
            os.kill(relay.pid, signal.SIGSTOP)
            relay.stdin.write(b"last words\n")
            relay.stdin.flush()
            os.kill(relay.pid, signal.SIGTERM)
            os.kill(relay.pid, signal.SIGCONT)
            assert relay.lines.readline() == b"last words\n"
            assert relay.lines.read() == b""

    def test_relay_buffers_lines_while_the_daemon_does_not_read(self, tmp_path: Path) -> None:
        with running_relay(tmp_path) as relay:
            line = b"x" * 999 + b"\n"
            for _ in range(4000):
                relay.stdin.write(line)
            relay.stdin.flush()
            assert all(relay.lines.readline() == line for _ in range(4000))

    def test_relay_names_a_missing_socket(self, tmp_path: Path) -> None:
        command = [*PYTHON, str(HERE / "relay.py"), str(tmp_path / "none"), "1", "1"]
        ended = subprocess.run(command, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (1, f"relay: {tmp_path}/none: No such file or directory\n".encode())


@pytest.mark.parametrize("name", ["launcher.py", "relay.py", "steady.py"])
def test_helper_arguments_do_not_contain_the_daemon_path(name: str) -> None:
    assert "/usr/sbin/pybal" not in f"/usr/lib/python3/dist-packages/pybal/bgp/{name}"
    assert "/usr/sbin/pybal" not in str(HERE / name)
