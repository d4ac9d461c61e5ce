"""The shipped plugin check_pybal, run as a user without privileges, as Icinga and NRPE run it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.harness.daemon_process import PATIENCE

PLUGIN = Path(__file__).parents[3] / "etc" / "icinga" / "check_pybal"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


class Output(NamedTuple):
    """The exit code, the first line, further lines, and the performance data by label."""

    code: int
    text: str
    lines: Sequence[str]
    figures: dict[str, str]


def check_pybal(*arguments: str, prefix: Sequence[str] = ()) -> Output:
    """Run the plugin with Debian's Python to its end; it prints nothing on standard error."""
    user = NOBODY if os.geteuid() == 0 else ()
    # The file is read by its owner: a user without privileges may have no access to a checkout.
    command = [*prefix, *user, "/usr/bin/python3", "-I", "-", *arguments]
    with PLUGIN.open() as program:
        done = subprocess.run(
            command, stdin=program, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/", env={}
        )
    assert done.stderr == ""
    first, *lines = done.stdout.splitlines()
    text, _, figures = first.partition(" | ")
    return Output(done.returncode, text, lines, dict(figure.split("=", 1) for figure in figures.split()))
