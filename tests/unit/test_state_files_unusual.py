"""Files of the state and runtime directories that are no regular files: nothing waits for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.bgp import drains
from pybal.control.overrides import FILE, Overrides
from pybal.ipvs.ledger import Ledger
from pybal.runtime.clocks import Clocks
from pybal.sources.cache import ListCache
from tests.harness.fake_workers import FakeWorkers


def saved_list(directory: Path, make: Callable[[Path], object]) -> str:
    cache = ListCache(directory, "web")
    make(cache.path)
    with pytest.raises((OSError, ValueError)) as caught:
        cache.read()
    return str(caught.value)


def overrides(directory: Path, make: Callable[[Path], object]) -> str:
    make(directory / FILE)
    found = Overrides(directory, FakeWorkers(), Clock(), lambda: Clocks(0.0, datetime(2026, 11, 30, tzinfo=UTC)))
    Deferred.fromCoroutine(found.load())
    return "; ".join(alert.text for alert in found.alerts())


def ledger(directory: Path, make: Callable[[Path], object]) -> str:
    make(directory / "ledger.json")
    return Ledger(directory / "ledger.json").problem


def drained(directory: Path, make: Callable[[Path], object]) -> str:
    make(directory / "drains.json")
    with pytest.raises(drains.DrainError) as caught:
        drains.read(directory / "drains.json", 0.0)
    return str(caught.value)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (huge, "longer than"),
    ],
    ids=["fifo", "device", "huge"],
)
@pytest.mark.parametrize("read", [saved_list, overrides, ledger, drained])
def test_state_file_is_a_regular_file_of_bounded_size_or_refused(
    tmp_path: Path, read: Callable[[Path, Callable[[Path], object]], str], make: Callable[[Path], object], reason: str
) -> None:
    assert reason in read(tmp_path, make)
