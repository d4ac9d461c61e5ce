"""The lab, and the versions of ExaBGP that speak in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.bgp.measured import Measured
from tests.harness.bgp.network import KINDS, Lab, missing
from tests.harness.bgp.sessions import VIP, VIP6, Scene, contact

_EXABGP42 = Path(".venv-exabgp42/bin/python").absolute()
PYTHONS = {"exabgp5": Path(sys.executable), "exabgp42": _EXABGP42}
_MEASURED = pytest.StashKey[Measured]()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A balancer without anything and three routers that do not run."""
    if reason := missing():
        pytest.skip(reason)
    with closing(Lab(tmp_path_factory.mktemp("lab"))) as made:
        yield made


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    """The Python that has ExaBGP: 5.0 as we depend on it, and 4.2.21 as Debian 12 has it."""
    found = PYTHONS[request.param]
    if not found.exists():
        pytest.skip(f"missing: {found}; `make {_EXABGP42.parent.parent.name}/.installed` makes it")
    return str(found)


@pytest.fixture
def scene(lab: Lab, python: str, tmp_path: Path) -> Iterator[Scene]:
    """One session with each router, on which two VIPs have arrived."""
    with closing(Scene(lab, tmp_path, python, [contact(lab, kind, 1) for kind in KINDS])) as opened:
        opened.announce(VIP, VIP6)
        opened.held(VIP, VIP6)
        yield opened


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    return request.config.stash.setdefault(_MEASURED, Measured())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(_MEASURED, Measured()).lines:
        terminalreporter.section("BGP: seconds until routers hold what they should, beside what the design had")
        for line in lines:
            terminalreporter.write_line(line)
