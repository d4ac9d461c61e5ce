"""What several tests need: an etcd with a pool, and the guest.

The guest takes minutes and hardly more than one core: it runs beside the other tests, and is waited for at the end.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.following import Stopwatch, put
from tests.kernel import guest
from tests.servers.etcd import Etcd, etcd
from tests.servers.relay import Relay

_ROOT = Path(__file__).resolve().parents[2]
_SUITES = ("tests/kernel", "tests/contract/test_ipvs_backend.py", "tests/e2e/lvs")
_LONGEST = 900.0
_RUNNING = pytest.StashKey["GuestRun"]()


class GuestRun:
    """All tests that need a kernel with IPVS, in one guest, from when this is made."""

    def __init__(self) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as this lives
        tests = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", *_SUITES]
        self._process = subprocess.Popen(
            [
                *(sys.executable, guest.__file__, "--timeout", str(_LONGEST), "--"),
                *("env", "PYTHONDONTWRITEBYTECODE=1", *tests),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            cwd=_ROOT,
        )

    def result(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and all that was printed."""
        status = self._process.wait(_LONGEST + 60)
        self._output.seek(0)
        return status, self._output.read().decode(errors="replace")

    def end(self) -> None:
        """End it if it still runs; the guest goes with it."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self._output.close()


@pytest.fixture
def watch(record_property: Callable[[str, object], None]) -> Stopwatch:
    return Stopwatch(record_property)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    """One etcd, with one server in the pool."""
    made = etcd(tmp_path)
    with made.server:
        put(made, 1)
        yield made


@pytest.fixture
def relay(one: Etcd) -> Iterator[Relay]:
    with Relay(one.port) as relay:
        yield relay


@pytest.fixture
def guest_run(request: pytest.FixtureRequest) -> GuestRun:
    return request.config.stash[_RUNNING]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits for the guest last."""
    items.sort(key=_waits)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(map(_waits, session.items)) and guest.missing() is None and not session.config.option.collectonly:
        session.config.stash[_RUNNING] = GuestRun()


def pytest_unconfigure(config: pytest.Config) -> None:
    if running := config.stash.get(_RUNNING, None):
        running.end()


def _waits(item: pytest.Item) -> bool:
    return "guest_run" in getattr(item, "fixturenames", ())
