"""The start of the daemon: READY, the status line, and the totals after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.config.settings import Settings
from pybal.daemon.progress import Progress
from pybal.runtime.systemd import Notifier
from tests.harness.fake_services import IDLE, ONE, TWO, DaemonOnClock, web
from tests.harness.notify_socket import NotifySocket

WEB, TEXT = web(), web("text", "192.0.2.2", source=TWO, monitors=(IDLE,))


class Started:
    """A daemon on a clock whose progress goes to a socket; ``adopted`` is whether it has read IPVS."""

    def __init__(self, directory: Path, *services: object) -> None:
        self.manager = NotifySocket(directory)
        self.daemon = daemon = DaemonOnClock(Settings(services))  # type: ignore[arg-type]  # of web()
        self.adopted = True
        self.progress = Progress(
            daemon.services,
            daemon.reconciler,
            Notifier(self.manager.environ, daemon.clock),
            daemon.clock,
            adopted=lambda: self.adopted,
            deliveries=tuple,
            alerts=lambda: 2,
            last_reload=lambda: daemon.reloader.configuration.last,
        )

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.daemon.clock.advance(0.1)

    def begin(self) -> list[str]:
        self.progress.start()
        return self.manager.received()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path, WEB, TEXT)
    yield started
    started.progress.stop()
    started.manager.close()


def test_daemon_is_ready_when_all_services_have_begun(started: Started) -> None:
    waiting = "STATUS=starting: waiting for "
    assert started.begin() == [f"{waiting}the first server list of web ({ONE}), text ({TWO})"]
    started.daemon.list_all(ONE)
    started.pass_time(0.2)
    assert started.manager.received() == [f"{waiting}the first server list of text ({TWO}), first checks of web"]
    started.daemon.list_all(TWO)
    started.daemon.report_all("10.0.0.4")
    started.pass_time(0.4)
    assert started.manager.received()[-1:] == ["READY=1\nSTATUS=2 services, 5 of 7 servers serving, 2 alerts"]


def test_service_without_a_list_delays_the_others_for_six_seconds(started: Started) -> None:
    started.begin()
    started.daemon.list_all(ONE)
    started.daemon.report_all()
    started.pass_time(5.8)
    assert "READY=1" not in "".join(started.manager.received())
    started.pass_time(0.4)
    text = "2 services (1 without a server list), 4 of 4 servers serving, 2 alerts"
    assert started.manager.received() == [f"READY=1\nSTATUS={text}"]


def test_daemon_is_ready_after_thirty_seconds_in_any_case(started: Started) -> None:
    started.begin()
    started.daemon.list_all(ONE)  # and no check has a result
    started.pass_time(29.7)
    assert started.manager.received()[-1] == "STATUS=starting: waiting for first checks of web"
    started.pass_time(0.5)
    assert started.manager.received()[0].startswith("READY=1\n")


def test_unreadable_ipvs_delays_the_start_for_thirty_seconds(started: Started) -> None:
    started.adopted = False
    assert started.begin() == ["STATUS=starting: waiting for the IPVS table"]
    started.pass_time(29.7)
    assert started.manager.received() == []
    started.pass_time(0.5)
    assert started.manager.received()[0].startswith("READY=1\n")


def test_unverified_service_is_awaited(started: Started) -> None:
    started.begin()
    started.daemon.reconciler.freeze()  # nothing is written
    started.daemon.list_all(ONE, TWO)
    started.daemon.report_all()
    started.pass_time(0.2)
    assert started.manager.received()[-1] == "STATUS=starting: waiting for IPVS of web, text"
    started.daemon.reconciler.thaw()
    started.pass_time(0.5)
    assert started.manager.received()[0].startswith("READY=1\n")


def test_status_follows_the_totals_every_five_seconds(started: Started) -> None:
    started.begin()
    started.daemon.list_all(ONE, TWO)
    started.daemon.report_all()
    started.pass_time(5.5)
    started.manager.received()
    for down in ((), ("10.0.0.1",), (), ("10.0.0.1",)):  # within five seconds
        started.daemon.report_all(*down)
        started.pass_time(1)
    started.pass_time(5)
    assert started.manager.received() == ["STATUS=2 services, 6 of 7 servers serving, 2 alerts"]
    started.pass_time(60)
    assert started.manager.received() == []


def test_status_has_the_outcome_of_a_reload(started: Started) -> None:
    started.begin()
    started.daemon.list_all(ONE, TWO)
    started.daemon.report_all()
    started.pass_time(1)
    assert started.progress.text() == "2 services, 7 of 7 servers serving, 2 alerts"
    started.daemon.reload(Settings((WEB, TEXT, web("new", "192.0.2.3"))))
    assert started.progress.text().endswith("2 alerts; reloaded: 2 of 3 services unchanged")
    started.pass_time(61)
    assert started.progress.text().endswith("2 alerts")
    started.daemon.reload(Settings((WEB, TEXT), dry_run=True))
    started.pass_time(600)
    assert started.progress.text().endswith("; last reload refused: dry-run no -> yes: restart pybal to apply it")


def test_daemon_without_services_is_ready_immediately(tmp_path: Path) -> None:
    started = Started(tmp_path)
    assert started.begin() == ["READY=1\nSTATUS=no services configured"]
    started.progress.stop()
    started.manager.close()


def test_clients_wait_for_a_service_that_begins(started: Started) -> None:
    started.begin()
    progress = started.progress
    assert (progress.any_begins(), progress.begins("web"), progress.begins("text")) == (True, True, True)
    started.daemon.list_all(ONE)
    started.daemon.report_all()
    assert (progress.any_begins(), progress.begins("web"), progress.begins("text")) == (True, False, True)
    started.pass_time(6.1)
    assert (progress.any_begins(), progress.begins("web"), progress.begins("text")) == (False, False, False)
