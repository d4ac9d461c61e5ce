"""Settings for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.harness.leftovers import end_leftovers, mark

# Background jobs of a shell ignore SIGINT, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline, because a shared machine may be slow. In CI the examples are fixed, so that a failure is due to the change;
# local runs find new examples.
settings.register_profile(
    "pybal",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("pybal"), max_examples=20, stateful_step_count=25)  # make quick
settings.load_profile("pybal")


GUESTS = ("in_the_guest_without_skips[tests/kernel", "in_the_guest_without_skips[tests/e2e/lvs")
LONG = (
    "chaos/test_whole_system.py",
    "e2e/test_loop_one_pool.py",
    "e2e/test_demo.py",
    "docs/test_pages.py",
    "e2e/test_page_in_chromium.py",
    "e2e/test_busy.py",
    "e2e/test_loop_held.py",
    "e2e/monitoring/",
    "e2e/tools/",
    "integration/bgp/",
    "incidents/test_replays.py::test_replays_pass_in_the_guest_without_skips[0]",
    "incidents/test_replays.py::test_replays_pass_in_the_guest_without_skips[1]",
)
"""Parts of the names of tests that take long, mostly waiting; the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of several workers begin with long tests, so that no worker ends long after the others.

    A guest takes minutes: it has a worker for itself, whose other tests the others take over.
    """
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    if workers <= len(GUESTS):
        return
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, part in enumerate(GUESTS + LONG):
        worker = number if number < len(GUESTS) else len(GUESTS) + (number - len(GUESTS)) % (workers - len(GUESTS))
        first[worker] += [item for item in items if part in item.nodeid]
    taken = {item for own in first for item in own}
    rest = [item for item in items if item not in taken]
    share = len(items) // workers
    items.clear()
    for own in first:
        others = max(0, share - len(own))
        items += own + rest[:others]
        del rest[:others]
    items += rest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print measurements, which tests record with ``record_property``."""
    reports = [report for report in terminalreporter.getreports("passed") if report.user_properties]
    if reports:
        terminalreporter.section("measured")
    for report in reports:
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name} {value}")


@pytest.fixture(scope="session", autouse=True)
def _no_process_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the last test if a process outlives the tests of this worker, and kill the process."""
    marker = mark()
    yield
    found = end_leftovers(marker, tmp_path_factory.getbasetemp())
    assert not found, f"processes left: {found}"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Lines about a service of the tests and its monitors, without system and level."""
    logged: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("system", "").partition(" ")[0] in {"text", "svc"}:
            logged.append(str(formatEvent(event)))

    globalLogPublisher.addObserver(observe)
    yield logged
    globalLogPublisher.removeObserver(observe)
