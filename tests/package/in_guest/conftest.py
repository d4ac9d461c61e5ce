"""Tests that run under systemd in a guest; elsewhere they are not collected.

tests/package/test_systemd.py starts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.guest.packaged_balancer import PackagedBalancer, attempt, packaged_balancer, run

HOST = Path("/host")
"""The directory of the guest on the machine that runs it."""

collect_ignore_glob = [] if (HOST / "command").exists() else ["test_*.py"]


@pytest.fixture(scope="session")
def installed() -> None:
    """The package is installed."""
    if attempt("dpkg-query", "--status", "pybal").returncode:
        run("dpkg", "--install", "/host/pybal.deb")


@pytest.fixture(scope="session")
def balancer(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedBalancer]:
    """The installed package with its network."""
    with packaged_balancer(tmp_path_factory.mktemp("balancer")) as made:
        yield made
