"""What monitors say of a real server, at both its addresses."""

from __future__ import annotations

import re

from twisted.internet.epollreactor import EPollReactor

from pybal.config.settings import MonitorSettings
from pybal.monitors.base import Monitor
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.process import LOOPBACK
from tests.harness.stepped_reactor import run


def watch(setup: MonitoredServer, port: int, *settings: MonitorSettings) -> list[Monitor]:
    """Start monitors of a server at both its addresses, all at once and not within a second."""
    monitors = []
    for setup.host in LOOPBACK:
        monitors += [setup.monitor(one, port=port) for one in settings]
    setup.engine._schedule._sweep_end = 0
    return monitors


def last(monitor: Monitor) -> str:
    """Return what its last result says, empty for up."""
    result = list(monitor.history())[-1].result
    return result.text if result.reason else ""


def said(port: int, *settings: MonitorSettings) -> list[str]:
    """Return what the first result of each monitor of a server says, empty for up.

    It must be the same at both addresses, but for measured times and the types of questions for addresses.
    """

    async def main(reactor: EPollReactor) -> list[str]:
        async with MonitoredServer(reactor) as setup:
            monitors = watch(setup, port, *settings)
            await setup.until(lambda: all(monitor.up is not None for monitor in monitors))
            setup.stop_monitors()
            return [last(monitor) for monitor in monitors]

    reasons = [unmeasured(reason) for reason in run(main)]
    four, six = reasons[: len(settings)], reasons[len(settings) :]
    assert four == [re.sub(r" AAAA$", " A", reason) for reason in six]
    return four


def unmeasured(reason: str) -> str:
    """Return a reason without what is measured."""
    reason = re.sub(r"\b\d+(\.\d+)? m?s\b", "TIME", reason)
    return re.sub(r"after \d+ bytes", "after SOME bytes", reason)
