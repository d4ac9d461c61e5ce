"""A real server as a process of a test: started, paused, killed, and stopped with the test.

Each other module of this folder runs one program. All listen on 127.0.0.1 and ::1, at ports found to be free, keep their
files in a folder of the test and need no privileges.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import pytest

PATIENCE = 60.0
LOOPBACK = ("127.0.0.1", "::1")
_PORTS = (10_000, 32_000)
"""Below the ephemeral ports of the kernel, so that no connection takes a port before its server does."""


def program(name: str, package: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that are free at both addresses, for TCP and UDP."""
    found: list[int] = []
    random = Random()
    while len(found) < count:
        port = random.randrange(*_PORTS)
        if port not in found and _free(port):
            found.append(port)
    return found


def _free(port: int) -> bool:
    for host in LOOPBACK:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family(host), kind) as probe:
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server accepts connections."""
    with socket.socket(family(host)) as probe:
        return probe.connect_ex((host, port)) == 0


class Server:
    """A program in the foreground, ready when ``ready()`` is true: ``with Server(...) as server``.

    The file ``output`` collects its output. Signals go to all of its processes.
    """

    def __init__(self, command: Sequence[str], directory: Path, ready: Callable[[], bool]) -> None:
        self.output = directory / "output"
        self._command = command
        self._directory = directory
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        with self.output.open("ab") as output:
            process = self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        try:
            while not self._ready():
                assert process.poll() is None, f"{self._command[0]} has ended: {self.output.read_text()}"
                assert time.monotonic() < deadline, f"{self._command[0]} is not ready: {self.output.read_text()}"
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Terminate the program."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the program: from then on its ports refuse connections."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the program: the kernel continues to accept connections for it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def reload(self, number: int = signal.SIGHUP) -> None:
        """Make the first process read its configuration again."""
        assert self._process is not None
        self._process.send_signal(number)

    def say(self, line: str) -> None:
        """Write a line to the standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(number)
        self._signal(signal.SIGCONT)
        try:
            process.wait(PATIENCE)
        finally:
            self._signal(signal.SIGKILL)  # also its remaining children
            process.communicate()
            self._process = None
