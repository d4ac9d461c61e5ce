"""The package on both releases of Debian. `make test-package` runs these tests; they need root."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.package import deb, roots, version_1
from tests.harness.package.altered import altered
from tests.harness.package.machine import Machine


@pytest.fixture(scope="session", params=roots.SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    if reason := roots.missing():
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture(scope="session")
def package(suite: str) -> Path:
    """The package, built on this release; its source package is beside it."""
    return deb.package(suite)


@pytest.fixture(scope="session")
def packages(suite: str) -> Path:
    """The package ``real.deb``; without Python modules ``pybal.deb``, ``later.deb`` and some that fail."""

    def make(package: Path, place: Path) -> None:
        shutil.copy(package, place / "real.deb")
        altered(package, place / "pybal.deb")
        altered(package, place / "later.deb", version="2.9.0")
        for script in ("preinst", "prerm", "postinst"):
            altered(package, place / f"failing-{script}.deb", version="2.9.0", fails=script)
        version_1.package(place / "version-1.deb")

    return deb.derived(suite, "altered", make)


@pytest.fixture
def machine(suite: str, packages: Path) -> Iterator[Machine]:
    """A machine with the dependencies of the package, and ``packages`` in /tmp."""
    with Machine(roots.root(suite)) as fresh:
        shutil.copytree(packages, fresh.path("/tmp"), dirs_exist_ok=True)
        yield fresh


@pytest.fixture
def installed(suite: str, packages: Path) -> Iterator[Machine]:
    """A machine on which the package is installed, and ``packages`` in /tmp."""
    with Machine(deb.installed(suite)) as fresh:
        shutil.copytree(packages, fresh.path("/tmp"), dirs_exist_ok=True)
        yield fresh


@pytest.fixture
def builder(suite: str, package: Path) -> Iterator[Machine]:
    """A machine that builds and checks packages; the package and its source are in /tmp/results."""
    with Machine(roots.root(suite, "build")) as fresh:
        fresh.path("/tmp/results").mkdir()
        for file in package.parent.glob("pybal_*"):
            shutil.copy(file, fresh.path("/tmp/results"))
        yield fresh
