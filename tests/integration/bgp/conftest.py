"""The network of routers, and the versions of ExaBGP under test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.bgp.measured import Measured
from tests.harness.bgp.network import KINDS, RouterNetwork, missing
from tests.harness.bgp.sessions import VIP, VIP6, Topology, peering

_EXABGP42 = Path(".venv-exabgp42/bin/python").absolute()
PYTHONS = {"exabgp5": Path(sys.executable), "exabgp42": _EXABGP42}
_MEASURED = pytest.StashKey[Measured]()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterNetwork]:
    """An empty balancer and three routers that are not running."""
    if reason := missing():
        pytest.skip(reason)
    with closing(RouterNetwork(tmp_path_factory.mktemp("network"))) as made:
        yield made


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    """The Python with ExaBGP: 5.0 of our dependencies, and 4.2.21 of Debian 12."""
    found = PYTHONS[request.param]
    if not found.exists():
        pytest.skip(f"missing: {found}; `make {_EXABGP42.parent.parent.name}/.installed` makes it")
    return str(found)


@pytest.fixture
def topology(network: RouterNetwork, python: str, tmp_path: Path) -> Iterator[Topology]:
    """One session with each router; two VIPs are announced."""
    with closing(Topology(network, tmp_path, python, [peering(network, kind, 1) for kind in KINDS])) as opened:
        opened.announce(VIP, VIP6)
        opened.held(VIP, VIP6)
        yield opened


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    return request.config.stash.setdefault(_MEASURED, Measured())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(_MEASURED, Measured()).lines:
        terminalreporter.section("BGP: seconds until the routers hold the wanted routes, and the figures of the design")
        for line in lines:
            terminalreporter.write_line(line)
