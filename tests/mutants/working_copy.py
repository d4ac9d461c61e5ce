"""A copy of the source tree in which one module is replaced, and pytest runs on it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from tests.mutants.targets import ROOT, Target

CPU_SECONDS = {"unit": 30, "property": 180}
"""Suites take a fifth of this time; a mutant that takes more loops for ever, and counts as killed."""
DEADLINE = 600
"""Seconds until a mutant that waits for ever counts as killed."""
MEMORY = 4 << 30
"""Bytes that a mutant may take."""

PRELOADED = (
    "cryptography.x509",
    "hypothesis.stateful",
    "prometheus_client",
    "pytest",
    "service_identity",
    "twisted.internet.task",
    "twisted.internet.testing",
    "twisted.web.server",
    "yaml",
)
"""Packages that most suites import. Nothing of PyBal or its tests, and not the reactor."""


class WorkingCopy:
    """A copy of pybal in ``directory`` with links to everything else.

    Each run of pytest is a fork of this process with :data:`PRELOADED`, so that a mutant does not import them again.
    """

    def __init__(self, directory: Path) -> None:
        for package in PRELOADED:
            import_module(package)
        self._directory = directory
        self._sound: dict[tuple[Path, str], bool] = {}
        # With the times of the files, so that the compiled ones remain valid.
        shutil.copytree(ROOT / "pybal", directory / "pybal")
        for path in ROOT.iterdir():
            if path.name != "pybal" and not path.name.startswith("."):
                (directory / path.name).symlink_to(path)

    def killer(self, target: Target, old: str, new: str) -> str:
        """Return the first suite that fails with ``new`` for ``old``, empty if all pass.

        Raises RuntimeError if that suite fails without a mutant, or if pytest cannot run.
        """
        source = (ROOT / target.path).read_text()
        for suite, patterns in target.suites.items():
            if self._passes(suite, target.path, source.replace(old, new), patterns):
                continue
            if not self._is_sound(suite, target):
                raise RuntimeError(f"the {suite} tests fail on the unchanged {target.path}: {self._output()}")
            return suite
        return ""

    def _is_sound(self, suite: str, target: Target) -> bool:
        """Return whether a suite passes without a mutant."""
        key = target.path, suite
        if key not in self._sound:
            self._sound[key] = self._passes(suite, target.path, (ROOT / target.path).read_text(), target.suites[suite])
        return self._sound[key]

    def _passes(self, suite: str, module: Path, source: str, patterns: Sequence[str]) -> bool:
        self._write(module, source)
        status = _status_of_fork(lambda: self._run_pytest(patterns, CPU_SECONDS[suite]))
        self._write(module, (ROOT / module).read_text())  # the next mutant may be of another module
        if os.WIFSIGNALED(status):
            return False
        if os.WEXITSTATUS(status) not in {0, 1}:
            raise RuntimeError(f"pytest ended with {os.WEXITSTATUS(status)}: {self._output()}")
        return os.WEXITSTATUS(status) == 0

    def _write(self, module: Path, source: str) -> None:
        path = self._directory / module
        path.write_text(source)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()  # its size and its second may be those of another source

    def _run_pytest(self, patterns: Sequence[str], cpu_seconds: int) -> int:
        import pytest  # noqa: PLC0415

        output = os.open(self._directory / "output", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self._directory)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        sys.path[:] = [str(self._directory), *(path for path in sys.path if path not in {"", str(ROOT)})]
        for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "pybal"}]:
            del sys.modules[name]
        sys.dont_write_bytecode = False
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(DEADLINE)
        plugins = ["-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider", "-p", "tests.mutants.profile"]
        tests = dict.fromkeys(str(path) for pattern in patterns for path in sorted(Path().glob(pattern)))
        return pytest.main(["-x", "-q", *plugins, "--hypothesis-profile=mutants", *tests])

    def _output(self) -> str:
        return (self._directory / "output").read_text()[-3000:]


def _status_of_fork(run: Callable[[], int]) -> int:
    """Return the status of a fork of this process that ends with the result of ``run``."""
    child = os.fork()
    if not child:
        code = 2
        try:
            code = run()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]
