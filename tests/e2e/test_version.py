"""The version is declared in pybal/__init__.py only; everything that shows it agrees."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from pybal import __version__
from tests.harness.daemon_process import GLOBAL, Daemon, Deployment, daemon, run_pybal

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path, [], GLOBAL)


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: running.get("/v1/status"), "status")
        yield running


def test_daemon_shows_its_version_everywhere(deployment: Deployment, running: Daemon) -> None:
    status = cast("dict[str, object]", running.get_json("/v1/status"))
    assert status["version"] == __version__
    assert f'pybal_build_info{{python_version="{sys.version.split()[0]}",version="{__version__}"}} 1' in running.get(
        "/metrics"
    )
    assert re.search(rf"PyBal\W.*?\b{re.escape(__version__)}<", running.get("/", "text/html"), re.DOTALL)
    assert deployment.pybal("status").stdout.startswith(f"pybal {__version__}, process ")
    assert f"pybal {__version__} starts" in running.log
    assert run_pybal("--version").stdout == f"pybal {__version__}\n"


def test_changelog_of_debian_begins_with_the_version() -> None:
    head = (REPOSITORY / "debian/changelog").read_text().partition("\n")[0]
    upstream = re.match(r"pybal \((?:\d+:)?([^~+)]+?)(?:-[^-)]+)?[~+)]", head)
    assert upstream is not None
    assert upstream[1] == __version__
