"""The engine runs on any reactor with readers and delayed calls."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, PASSED, Result
from pybal.checks.socket_check import Target, TCPCheck


@pytest.mark.parametrize(
    "make",
    [EPollReactor, PollReactor, SelectReactor, lambda: AsyncioSelectorReactor(asyncio.new_event_loop())],
    ids=["epoll", "poll", "select", "asyncio"],
)
def test_listening_port_passes_and_closed_port_is_refused(make: Callable[[], ReactorBase]) -> None:
    reactor = make()
    reactor.seconds = time.monotonic  # as pybal.cli does
    engine = Engine(reactor)
    results: list[Result] = []

    def done(_check: TCPCheck, result: Result) -> None:
        results.append(result)
        if len(results) == 2:
            engine.stop()
            reactor.crash()

    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        engine.start()
        for one in (listening, bound):
            target = Target.of(ip_address("127.0.0.1"), one.getsockname()[1])
            engine.soon(TCPCheck(engine, target, 5.0, done).start)
        limit = reactor.callLater(20, reactor.crash)
        reactor.run(installSignalHandlers=False)
    limit.cancel()
    assert {(result.verdict, result.cause) for result in results} == {(PASSED, ""), (FAILED, "refused")}
    assert reactor.getDelayedCalls() == []
