"""A shell that keeps its functions, variables and directory from one command to the next."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.docs.place import Result

_END = "end-of-command"


class Shell:
    """A bash in ``directory``. Its commands have no input."""

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        script, self._script = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "--norc", f"/dev/fd/{script}"],
            cwd=directory,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=(script,),
        )
        os.close(script)

    def run(self, command: str) -> Result:
        """Run a command to its end; what it left in the background may print later."""
        os.write(self._script, f"{command}\nprintf '\\n%s %s\\n' {_END} $?\n".encode())
        assert self._process.stdout is not None
        lines: list[str] = []
        for line in self._process.stdout:
            end, _, status = line.partition(" ")
            if end == _END:
                return Result("".join(lines).removesuffix("\n"), int(status))
            lines.append(line)
        raise AssertionError(f"the shell ended in: {command}\n{''.join(lines)}")

    def close(self) -> None:
        """End the shell."""
        os.close(self._script)
        self._process.wait(10)
