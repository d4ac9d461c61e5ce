"""One attacked balancer for the tests of a module; records the longest hold and the growth of each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.attacked_balancer import AttackedBalancer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    possible = shutil.which("bird") and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0
    if not possible:
        skip = pytest.mark.skip(reason="needs bird, and root for a network namespace")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedBalancer]:
    balancer = AttackedBalancer(tmp_path_factory.mktemp("attacked"))
    with balancer.running():
        yield balancer


@pytest.fixture
def balancer(running: AttackedBalancer, record_property: Callable[[str, object], None]) -> AttackedBalancer:
    """The running balancer, without the services of other tests."""
    running.measured = record_property
    running.reload()
    return running
