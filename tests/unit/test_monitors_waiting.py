"""Monitors that need a file: their checks wait for it, never run unverified, and keep what was read."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest
from twisted.logger import capturedLogs, formatEvent

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.base import Monitor
from pybal.monitors.factory import CONTEXT_SECONDS
from pybal.monitors.kinds import prepare
from pybal.monitors.tls import TLSSettings
from pybal.runtime.file_values import PATIENCE, FileValues
from tests.harness.certificates import self_signed
from tests.harness.clock_reactor import ClockReactor
from tests.harness.fake_workers import FakeWorkers

WEB = Service("web", IPProtocol.TCP, ip_address("192.0.2.1"), 443, "wrr")


class Checked:
    """A TLS monitor that verifies by a CA file, on a clock, with threads that can hang."""

    def __init__(self, ca: Path) -> None:
        self.reactor = ClockReactor()
        self.threads = FakeWorkers()
        self.files = FileValues(self.threads, self.reactor)
        self.engine = Engine(self.reactor, self.reactor.seconds)
        self.engine.start()
        self.reports: list[Report] = []
        settings = TLSSettings(verify=True, ca=str(ca), interval=1.0)
        factory = prepare(settings, WEB, engine=self.engine, random=Random(1), files=self.files)
        self.monitor: Monitor = factory.monitor("web1", ip_address("127.0.0.1"), self.reports.append)

    @property
    def checks(self) -> int:
        """The number of checks that ended."""
        return len(list(self.monitor.history()))

    @property
    def alerts(self) -> list[str]:
        return [alert.text for alert in self.files.alerts()]

    def run(self, seconds: float) -> None:
        self.reactor.pump([0.1] * round(seconds * 10))


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


@pytest.fixture
def checked(ca: Path) -> Iterator[Checked]:
    checked = Checked(ca)
    yield checked
    checked.monitor.stop()
    checked.engine.stop()


def certify(ca: Path) -> None:
    ca.write_bytes(self_signed(ca.parent).read_bytes())


def test_checks_wait_for_their_ca_file_and_start_when_it_is_there(checked: Checked, ca: Path) -> None:
    with capturedLogs() as events:
        checked.monitor.start()
        checked.run(5)
    text = f"{ca}: No such file or directory; using the last CAs, or not checking without any"
    assert [formatEvent(event) for event in events] == [text]
    assert (checked.checks, checked.monitor.up) == (0, None)
    (alert,) = checked.alerts
    assert alert.startswith(f"{ca}: No such file or directory (for ")
    certify(ca)
    checked.run(CONTEXT_SECONDS + 2)
    assert checked.checks > 0
    assert checked.alerts == []


def test_checks_wait_for_a_hung_ca_file_and_start_when_it_responds(checked: Checked, ca: Path) -> None:
    certify(ca)
    checked.threads.hold = True
    checked.monitor.start()
    checked.run(PATIENCE + 2)
    assert checked.checks == 0
    (alert,) = checked.alerts
    assert alert.startswith(f"{ca}: no response from the file system for ")
    checked.threads.release()
    checked.run(CONTEXT_SECONDS + 2)
    assert checked.checks > 0
    assert checked.alerts == []


def test_checks_go_on_with_the_last_cas_while_the_file_is_missing(checked: Checked, ca: Path) -> None:
    certify(ca)
    checked.monitor.start()
    checked.run(3)
    before = checked.checks
    ca.unlink()
    checked.run(2 * CONTEXT_SECONDS)
    assert checked.checks >= before + CONTEXT_SECONDS
    assert len(checked.alerts) == 1


def test_stopped_monitor_never_starts(checked: Checked, ca: Path) -> None:
    checked.threads.hold = True
    certify(ca)
    checked.monitor.start()
    checked.run(2)
    checked.monitor.stop()
    checked.threads.release()
    checked.run(2 * CONTEXT_SECONDS)
    assert checked.checks == 0
