"""The tests with other versions of Python and of libraries: ``make matrix`` runs all that this machine can have.

``python -m release.matrix NAME… [-- ARGUMENTS]`` runs some; the arguments are those of pytest, by default the unit and
property tests. Tools come from requirements/development.txt; tests of the marker ``pinned`` are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from release import lock, project
from tests.harness.package import deb, roots
from tests.harness.package.machine import Machine

PLACE = project.REPOSITORY / "build/matrix"
TESTS = ("--hypothesis-profile=quick", "--numprocesses=2", "tests/unit", "tests/property")
_PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "not pinned")
_TOOLS = {"pytest", "pluggy", "iniconfig", "pygments", "packaging", "pytest-xdist", "execnet", "hypothesis"}
_TOOLS |= {"sortedcontainers", "markdown-it-py", "mdurl", "protobuf"}
"""What the tests need besides the libraries of PyBal."""

_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
_HASHED = ("--require-hashes", "--no-deps")
_SHOWN = "import sys, twisted; print(f'Python {sys.version.split()[0]}, Twisted {twisted.__version__}')"
SECONDS = 1800.0
"""Deadline of a run."""


class UnavailableError(Exception):
    """The machine cannot have the versions; the message names the reason."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run: the versions, and the output of pytest."""

    versions: str
    passed: bool
    output: str


def debian(suite: str, python: str, arguments: Sequence[str]) -> Result:
    """Run the tests on a release of Debian, with its own Python and libraries. Raises UnavailableError."""
    if why := roots.missing():
        raise UnavailableError(why)
    with Machine(roots.root(suite, "tests")) as machine, tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        deb.export(machine.path("/pybal"))
        _install_tools(python, Path(folder))
        shutil.copytree(folder, machine.path("/tools"))
        versions = machine.run("python3", "-c", _SHOWN).strip()
        inside = ("sh", "-c", 'cd /pybal && exec python3 "$@"', "sh", *_PYTEST, *arguments)
        done = machine.attempt(*inside, env={"PYTHONPATH": "/tools"}, timeout=SECONDS)
    return Result(versions, done.returncode == 0, done.stdout)


def index(python: str, resolution: str, arguments: Sequence[str]) -> Result:
    """Run the tests in a new environment with packages of the index: the newest or the oldest that the project allows.

    ``resolution`` is that of uv: ``highest`` or ``lowest-direct``. Raises UnavailableError.
    """
    place = PLACE / f"{python}-{resolution}"
    shutil.rmtree(place, ignore_errors=True)
    _run(interpreter(python), "-m", "venv", str(place))
    program = str(place / "bin/python")
    packages = place / "packages.txt"
    lock.write(packages, project.requirements(), f"--resolution={resolution}")
    _run(program, *_PIP, "install", *_HASHED, "--requirement", "requirements/build.txt")
    for requirements in (packages, _tools(place)):
        _run(program, *_PIP, "install", *_HASHED, "--no-build-isolation", "--requirement", str(requirements))
    versions = _run(program, "-c", _SHOWN).strip()
    done = subprocess.run(
        [program, *_PYTEST, *arguments],
        cwd=project.REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return Result(versions, done.returncode == 0, done.stdout)


ENVIRONMENTS: Mapping[str, Callable[[Sequence[str]], Result]] = {
    "debian12": partial(debian, "bookworm", "3.11"),
    "debian13": partial(debian, "trixie", "3.13"),
    "oldest": partial(index, project.pythons()[0], "lowest-direct"),
    **{f"newest-{python}": partial(index, python, "highest") for python in project.pythons()},
}


def interpreter(version: str) -> str:
    """Return the program of a version of Python, also one that pyenv has. Raises UnavailableError."""
    found = [*sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python3")), f"python{version}"]
    for each in map(str, found):
        with suppress(OSError, subprocess.CalledProcessError):
            _run(each, "-c", "import ensurepip, venv")
            return each
    raise UnavailableError(f"no Python {version} with venv")


def main() -> int:
    """Run the environments that are named, by default all; return the exit code."""
    given = sys.argv[1:]
    names, arguments = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    failed = 0
    for name in names or ENVIRONMENTS:
        try:
            result = ENVIRONMENTS[name](arguments or TESTS)
        except UnavailableError as error:
            print(f"{name}: not run: {error}", flush=True)
            continue
        if not result.passed:
            failed += 1
            print(result.output)
        print(f"{name}: {result.versions}: {result.output.splitlines()[-1]}", flush=True)
    return min(failed, 1)


def _tools(folder: Path) -> Path:
    """Write the part of the lock file with the tools."""
    text = (lock.FOLDER / "development.txt").read_text()
    packages = re.findall(r"^([\w.-]+)(==.*(?:\n +--hash.*)*)", text, re.MULTILINE)
    file = folder / "tools.txt"
    file.write_text("".join(f"{name}{rest}\n" for name, rest in packages if name in _TOOLS))
    return file


def _install_tools(python: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tools-") as name:
        target = (f"--target={folder}", f"--python-version={python}", "--only-binary=:all:")
        _run(sys.executable, *_PIP, "install", *_HASHED, *target, "--requirement", str(_tools(Path(name))))


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=project.REPOSITORY, capture_output=True, text=True, check=True, timeout=900)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
