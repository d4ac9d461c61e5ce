"""The files of a release: complete, of one version, valid, and the same when built again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pybal import __version__
from release import project
from tests.harness.package import deb

RELEASE = project.REPOSITORY / ".venv-release/bin"
PYTHON_FILES = """
import sys
from pathlib import Path
from release.dist import python_files
python_files(Path(sys.argv[1]), Path(sys.argv[2]), 1_000_000_000)
"""

pytestmark = pytest.mark.skipif(
    not (RELEASE / "python").exists(), reason="wants the tools of a release: make test-package"
)


def run(*command: object, cwd: Path = project.REPOSITORY) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of `make dist`, made once for all workers."""
    if why := deb.missing():
        pytest.skip(why)
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    place = shared / "release"
    with (shared / "release.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "SHA256SUMS").exists():
            run(RELEASE / "python", "-m", "release.dist", place)
    return place


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this tree that git does not ignore."""
    place = tmp_path_factory.mktemp("tree") / "pybal"
    deb.export(place)
    return place


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()}


@pytest.fixture(scope="module")
def source(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution, without git."""
    place = tmp_path_factory.mktemp("source")
    with tarfile.open(files / f"pybal-{__version__}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    return place / f"pybal-{__version__}"


def test_release_has_all_files_with_their_checksums(files: Path) -> None:
    stem = f"pybal-{__version__}"
    assert {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl", f"{stem}.cdx.json", f"pybal_{__version__}_all.deb"} <= names(
        files
    )
    lines = (files / "SHA256SUMS").read_text().splitlines()
    assert {line.partition("  ")[2] for line in lines} == names(files) - {"SHA256SUMS"}
    for line in lines:
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((files / name).read_bytes()).hexdigest() == digest


def test_source_has_every_file_of_the_tree(source: Path, tree: Path) -> None:
    added = {"PKG-INFO", "setup.cfg"}
    assert {name for name in names(source) if not name.startswith("pybal.egg-info/")} - added == names(tree)
    assert [name for name in names(tree) if (source / name).read_bytes() != (tree / name).read_bytes()] == []
    executable = {name for name in names(tree) if (tree / name).stat().st_mode & 0o100}
    assert {name for name in names(source) if (source / name).stat().st_mode & 0o100} == executable


def test_source_runs_its_tests_without_git(source: Path) -> None:
    tests = (
        "tests/unit/test_core_policy.py",
        "tests/unit/test_harness_index.py",
        "tests/unit/test_config_reference.py",
    )
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=source)


def contents(package: Path) -> list[list[str]]:
    """Return mode, owner, size and name of each file; older files than the changelog keep their times."""
    lines = (line.split() for line in run("dpkg-deb", "--contents", package).splitlines())
    return [[mode, owner, size, *name] for mode, owner, size, _day, _time, *name in lines]


def test_source_builds_the_debian_package(files: Path, source: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "tests.harness.package.deb", tmp_path / "deb", cwd=source)
    (package,) = (tmp_path / "deb").glob("*.deb")
    name = run("dpkg-deb", "--field", package, "Package", "Version")
    assert name == f"Package: pybal\nVersion: {__version__}\n"
    (released,) = files.glob("*.deb")
    assert contents(package) == contents(released)


def test_installed_wheel_and_package_without_metadata_have_the_version(files: Path, tmp_path: Path) -> None:
    (wheel,), (package,) = files.glob("*.whl"), files.glob("*.deb")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "wheel", wheel)
    run("dpkg-deb", "-x", package, tmp_path / "deb")
    libraries = tmp_path / "deb/usr/lib/python3/dist-packages"
    for folder in (tmp_path / "wheel", libraries):
        for metadata in folder.glob("pybal-*-info"):
            shutil.rmtree(metadata)
        assert run(sys.executable, "-m", "pybal", "--version", cwd=folder) == f"pybal {__version__}\n"


def test_sbom_lists_the_pinned_packages(files: Path) -> None:
    document = json.loads((files / f"pybal-{__version__}.cdx.json").read_text())
    assert document["metadata"]["component"]["version"] == __version__
    found = {each["name"].lower(): each["version"] for each in document["components"]}
    assert found["twisted"] in (project.REPOSITORY / "requirements/runtime.txt").read_text()
    assert {"python-etcd", "exabgp", "pyopenssl", "cryptography"} < found.keys()
    assert not {"pytest", "pip", "setuptools"} & found.keys()


def test_python_files_are_the_same_when_built_again(tree: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(tree, tmp_path / name / "pybal")
        run(RELEASE / "python", "-c", PYTHON_FILES, tmp_path / name / "pybal", tmp_path / name / "dist")
    built = [
        {file.name: file.read_bytes() for file in (tmp_path / name / "dist").iterdir()} for name in ("first", "second")
    ]
    assert len(built[0]) == 2
    assert built[0] == built[1]
