"""Processes that tests started and did not end.

A process belongs to a run if its environment has the marker of the run, or if it works in the run's temporary directory;
nginx overwrites its environment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

MARKER = "PYBAL_TEST_RUN"
PATIENCE = 10.0
"""Seconds for processes that are already ending."""


def mark() -> str:
    """Mark all processes started from now on; return the marker, which contains that of an outer run."""
    value = f"{os.environ.get(MARKER, '')}/{uuid4().hex}"
    os.environ[MARKER] = value
    return value


def leftovers(marker: str, directory: Path) -> dict[int, str]:
    """Return the command lines of the processes of a run by process ID; zombies do not count."""
    found = {}
    for process in _others():
        with suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            marked = any(each.startswith(f"{MARKER}={marker}".encode()) for each in variables)
            if marked or (process / "cwd").readlink().is_relative_to(directory):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(process.name)] = command.strip()
    return {number: command for number, command in found.items() if command}


def end_leftovers(marker: str, directory: Path, patience: float = PATIENCE) -> dict[int, str]:
    """Return the processes of a run that do not end within ``patience`` seconds, and kill them."""
    deadline = time.monotonic() + patience
    while (found := leftovers(marker, directory)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for number in found:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return found


def _others() -> Iterator[Path]:
    own = {str(os.getpid()), str(os.getppid())}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name not in own:
            yield process
