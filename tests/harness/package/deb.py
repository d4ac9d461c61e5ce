"""The Debian package of this tree, built on Debian 12 and 13 once for each state of the tree.

``python -m tests.harness.package.deb DIRECTORY`` builds it with the tools of this machine, for `make deb`.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from tests.harness.package import roots
from tests.harness.package.machine import Machine

REPOSITORY = Path(__file__).parents[3]
PACKAGES = REPOSITORY / "build/packages"
# Without build-essential, because nothing is compiled.
CHECK = ("dpkg-checkbuilddeps", "-I")
# gzip for the source, which is only checked: xz takes longer than the build.
BUILD = ("dpkg-buildpackage", "--no-sign", "--no-check-builddeps", "--source-option=-Zgzip", "--source-option=-z1")
DEBIAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_UNTRACKED = (".git", ".venv*", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


def package(suite: str) -> Path:
    """Return the package of this tree, built on a release of Debian.

    Its source package is beside it. Takes 20 s at first.
    """
    place = PACKAGES / suite
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="source-") as name, (place / "lock").open("w") as lock:
        source = Path(name) / "pybal"
        export(source)
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = place / digest(source)
        if not built.is_dir():
            for old in place.glob("*/"):
                shutil.rmtree(old)
            unfinished = place / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            with Machine(roots.root(suite, "build")) as machine:
                build(machine, source, unfinished)
            unfinished.rename(built)
        (found,) = built.glob("*.deb")
        return found


def installed(suite: str) -> tuple[Path, ...]:
    """Return the layers of a root with this package, as :func:`tests.harness.package.roots.root` does."""
    below = roots.root(suite)

    def install(built: Path, place: Path) -> None:
        with Machine(below, written=place) as machine:
            shutil.copy(built, machine.path("/tmp"))
            machine.run("dpkg", "--install", f"/tmp/{built.name}")

    return (derived(suite, "installed", install), *below)


def derived(suite: str, name: str, make: Callable[[Path, Path], None]) -> Path:
    """Return a directory that ``make(package, directory)`` has filled, once for each package."""
    built = package(suite)
    place = built.parent / name
    with (PACKAGES / suite / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            unfinished = place.with_name("unfinished")
            for old in place.parent.glob(f"{unfinished.name}*"):
                shutil.rmtree(old)
            unfinished.mkdir()
            make(built, unfinished)
            unfinished.rename(place)
    return place


def build(
    machine: Machine,
    source: Path,
    results: Path,
    *,
    parent: str = "/build",
    kind: str = "full",
    env: Mapping[str, str] | None = None,
) -> None:
    """Build the package in a machine with the root ``build``; ``kind`` is full or binary."""
    inside = machine.path(parent)
    inside.mkdir(parents=True)
    shutil.copytree(source, inside / "pybal", symlinks=True)
    command = f"{shlex.join(CHECK)} && exec {shlex.join(BUILD)} --build={kind}"
    machine.run("sh", "-c", f"umask ${{UMASK:-022}}; cd {parent}/pybal && {command}", env=env)
    results.mkdir()
    for file in inside.glob("pybal_*"):
        shutil.copy(file, results)


def missing() -> str:
    """Return why this machine cannot build the package with its own tools, empty if it can."""
    try:
        done = _with_tools(CHECK, REPOSITORY, capture_output=True)
    except FileNotFoundError:
        return "dpkg-dev is not installed"
    return done.stderr.strip() if done.returncode else ""


def export(target: Path) -> None:
    """Copy the files of this tree that git does not ignore; in a tree without git, all but caches."""
    if not (REPOSITORY / ".git").exists():
        shutil.copytree(REPOSITORY, target, symlinks=True, ignore=shutil.ignore_patterns(*_UNTRACKED))
        return
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listing, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if os.path.lexists(REPOSITORY / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name, follow_symlinks=False)


def digest(tree: Path) -> str:
    """Return a digest of names, modes and contents of a tree."""
    found = sha256()
    for file in sorted(path for path in tree.rglob("*") if path.is_file()):
        mode = file.stat().st_mode & 0o111
        found.update(f"{file.relative_to(tree)} {mode:o} ".encode() + sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def main() -> None:
    if why := missing():
        sys.exit(f"{why}\nInstall the packages as root: make packages")
    results = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="source-") as name:
        export(Path(name) / "pybal")
        if status := _with_tools((*BUILD, "--build=binary"), Path(name) / "pybal").returncode:
            sys.exit(status)
        results.mkdir(parents=True, exist_ok=True)
        for file in Path(name).glob("pybal_*"):
            shutil.copy(file, results)
            sys.stdout.write(f"{results / file.name}\n")


def _with_tools(command: Sequence[str], cwd: Path, *, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **DEBIAN}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=capture_output, text=True, check=False)


if __name__ == "__main__":
    main()
