"""Shared monitors of every kind on real sockets: one check for two services."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.core.model import Report
from pybal.monitors.base import Monitor
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import KINDS
from pybal.monitors.shared import Sharing
from tests.harness.scripted_server import HOST_NAME, MonitoredServer, frequent, saying
from tests.harness.stepped_reactor import run


class Two:
    """Two services of one server that share their checks."""

    def __init__(self, setup: MonitoredServer, settings: MonitorSettings, port: int | None = None) -> None:
        self.setup = setup
        self.heard: dict[str, list[Report]] = {"a": [], "b": []}
        self._sharing = Sharing(setup.plan, setup.engine)
        self._settings = settings
        self._port = port

    def start(self, name: str) -> Monitor:
        plan = self._sharing.factory(self._settings, self.setup.service(self._port, name))
        monitor = plan.monitor(HOST_NAME, ip_address(self.setup.host), self.heard[name].append)
        monitor.start()
        self.setup.monitors.append(monitor)
        return monitor


def counters(monitor: Monitor) -> tuple[int, int, int, int]:
    return monitor.up_results, monitor.down_results, monitor.up_transitions, monitor.down_transitions


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_checked_once_for_both_services(kind: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))  # without listening
                two = Two(setup, frequent(kind), bound.getsockname()[1])
                a, b = two.start("a"), two.start("b")
                await setup.until(lambda: all(two.heard.values()))
            assert two.heard["a"] == two.heard["b"]
            assert counters(a) == counters(b)
            assert setup.engine.checks == a.up_results + a.down_results

    run(main)


def test_later_service_adds_no_connection_and_receives_the_state() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            two = Two(setup, IdleConnectionSettings())
            a = two.start("a")
            await setup.until(lambda: two.heard["a"])
            b = two.start("b")
            await setup.until(lambda: two.heard["b"])
            assert [report.up for report in two.heard["b"]] == [True]
            assert (len(setup.server.peers), list(a.shared_by)) == (1, ["a", "b"])
            a.stop()
            setup.server.peers[0].reset()
            await setup.until(lambda: len(two.heard["b"]) == 2)
            assert two.heard["b"][1].reason == "idle: connection lost: reset"
            assert len(two.heard["a"]) == 1
            assert b.up is False

    run(main)


def test_follow_ups_are_in_the_history_of_both_services() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.asked = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            two = Two(setup, frequent("ProxyFetch"))
            a, b = two.start("a"), two.start("b")
            await setup.until(lambda: two.heard["b"])
            setup.server.asked = saying(b"HTTP/1.0 500 Oops\r\n\r\n")
            await setup.until(lambda: sum(past.follow_up for past in b.history()) == 2)
            assert list(a.history()) == list(b.history())
            assert sum(past.follow_up for past in a.history()) == 2

    run(main)
