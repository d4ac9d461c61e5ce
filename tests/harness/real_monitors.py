"""Monitors of a real server, at its IPv4 and its IPv6 address."""

from __future__ import annotations

import re

from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.base import Monitor
from pybal.monitors.factory import MonitorSettings
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.process import LOOPBACK, Server
from tests.harness.stepped_reactor import run


def start_monitors(setup: MonitoredServer, port: int, *settings: MonitorSettings) -> list[Monitor]:
    """Start monitors of a server at both addresses."""
    monitors = []
    for setup.host in LOOPBACK:
        monitors += [setup.monitor(one, port=port) for one in settings]
    return monitors


def last_reason(monitor: Monitor) -> str:
    """Return the reason of the last result, empty for up."""
    result = list(monitor.history())[-1].result
    return result.text if result.reason else ""


def first_results(port: int, *settings: MonitorSettings) -> list[str]:
    """Return the reason of the first result of each monitor, empty for up.

    It must be the same at both addresses, except for measured times and the record types of queries.
    """

    async def main(reactor: EPollReactor) -> list[str]:
        async with MonitoredServer(reactor) as setup:
            monitors = start_monitors(setup, port, *settings)
            await setup.until(lambda: all(monitor.up is not None for monitor in monitors))
            setup.stop_monitors()
            return [last_reason(monitor) for monitor in monitors]

    reasons = [without_times(reason) for reason in run(main)]
    four, six = reasons[: len(settings)], reasons[len(settings) :]
    assert four == [re.sub(r" AAAA$", " A", reason) for reason in six]
    return four


def check_restart(server: Server, port: int, *settings: MonitorSettings) -> None:
    """Assert that monitors follow a restart of the server: up, down with ``connect: refused``, and up."""

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitors = start_monitors(setup, port, *settings)
            await setup.until(lambda: all(monitor.up for monitor in monitors))
            server.kill()
            try:
                await setup.until(lambda: all(last_reason(monitor) == "connect: refused" for monitor in monitors))
                assert not any(monitor.up for monitor in monitors)
            finally:
                server.start()
            await setup.until(lambda: all(monitor.up for monitor in monitors))

    run(main, timeout=120.0)


def without_times(reason: str) -> str:
    """Return a reason without measured values."""
    reason = re.sub(r"\b\d+(\.\d+)? m?s\b", "TIME", reason)
    return re.sub(r"after \d+ bytes", "after SOME bytes", reason)
