"""A place in which the blocks of a page are run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

BIN = Path(__file__).parent / "bin"
LONGEST = 120
"""Seconds after which a command is killed."""


@dataclass(frozen=True, slots=True)
class Result:
    """The output of a command, of both streams, and its exit status."""

    output: str
    status: int


class Place(Protocol):
    """Hosts that run commands; an empty name is the default host."""

    def begin(self, hosts: Collection[str]) -> None:
        """Make the hosts that a page names ready."""

    def run(self, host: str, command: str) -> Result:
        """Run a command of a shell to its end."""

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file, and its directories."""


VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "PATH": f"{BIN}:{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(BIN.parents[2]),
        "HOME": "/run/home",
        "LANG": "C.UTF-8",
        "COLUMNS": "120",
        "TMPDIR": "/run/tmp",
    }
)
"""The environment of commands: the programs of ``bin/`` come before those of the host."""


def execute(command: Sequence[str], text: str = "") -> Result:
    """Run a command, with ``text`` as its input."""
    done = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=VARIABLES,
        timeout=LONGEST,
        check=False,
    )
    return Result(done.stdout, done.returncode)
