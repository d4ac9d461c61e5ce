"""Monitors whose CA file is missing at the start: they wait, and never check unverified."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest
from twisted.logger import capturedLogs, formatEvent

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.kinds import prepare
from pybal.monitors.tls import TLSSettings
from pybal.monitors.waiting import RETRY_SECONDS
from tests.harness.certificates import self_signed
from tests.harness.clock_reactor import ClockReactor

WEB = Service("web", IPProtocol.TCP, ip_address("192.0.2.1"), 443, "wrr")


@pytest.fixture
def reactor() -> ClockReactor:
    return ClockReactor()


@pytest.fixture
def engine(reactor: ClockReactor) -> Iterator[Engine]:
    engine = Engine(reactor, reactor.seconds)
    engine.start()
    yield engine
    engine.stop()


def test_monitor_without_its_ca_file_waits_and_starts_when_it_is_there(
    reactor: ClockReactor, engine: Engine, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    reports: list[Report] = []
    with capturedLogs() as events:
        factory = prepare(TLSSettings(verify=True, ca=str(ca)), WEB, engine=engine, random=Random(1))
    assert [formatEvent(event) for event in events] == [
        f"TLS cannot run: tls.ca: {ca} (No such file or directory); not checking, retrying every 10 s"
    ]
    monitor = factory.monitor("web1", ip_address("127.0.0.1"), reports.append)
    monitor.start()
    reactor.advance(RETRY_SECONDS)
    assert (monitor.name, monitor.up, list(monitor.samples()), engine.checks) == ("TLS", None, [], 0)
    ca.write_bytes(self_signed(tmp_path).read_bytes())
    with capturedLogs() as events:
        reactor.pump([0.1] * 120)
    assert "TLS works now" in [formatEvent(event) for event in events]
    assert list(monitor.samples()) != []
    assert factory.monitor("web2", ip_address("127.0.0.1"), reports.append).up is None
    monitor.stop()


def test_stopped_monitor_never_starts(reactor: ClockReactor, engine: Engine, tmp_path: Path) -> None:
    settings = TLSSettings(verify=True, ca=str(tmp_path / "ca.pem"))
    monitor = prepare(settings, WEB, engine=engine, random=Random(1)).monitor("web1", ip_address("127.0.0.1"), print)
    monitor.start()
    monitor.stop()
    (tmp_path / "ca.pem").write_bytes(self_signed(tmp_path).read_bytes())
    reactor.pump([0.1] * 120)
    assert list(monitor.samples()) == []
