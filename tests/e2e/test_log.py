"""The daemon while its standard error is not read."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, Deployment, wait_for

HOSTS = tuple(f"127.0.1.{number}" for number in range(1, 11))

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
log-burst = 4

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['IdleConnection']
idleconnection.max-delay = 1
"""


class StalledDaemon(Daemon):
    """A daemon whose standard error is a full pipe, until :meth:`read`."""

    def __init__(self, deployment: Deployment) -> None:
        self.endpoint = deployment.endpoint
        self.text = ""
        self._reading, self._writing = os.pipe()
        command = [sys.executable, "-m", "pybal.cli", "-c", str(deployment.conf)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=self._writing)
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def log(self) -> str:
        return self.text

    def fill(self) -> None:
        """Fill the pipe, as a daemon does that logs for a while."""
        os.set_blocking(self._writing, False)
        for size in (4096, 1):
            try:
                while True:
                    os.write(self._writing, b"x" * size)
            except BlockingIOError:
                continue
        os.set_blocking(self._writing, True)

    def read(self) -> None:
        """Read standard error from now on."""
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._reading, 65536):
            self.text += data.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._writing)
        if self._thread.ident:
            self._thread.join()
        os.close(self._reading)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, HOSTS, CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def running(deployment: Deployment) -> Iterator[StalledDaemon]:
    with closing(StalledDaemon(deployment)) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == len(HOSTS), "ten servers pooled")
        running.fill()
        yield running


def test_daemon_checks_and_answers_while_its_log_is_not_read(deployment: Deployment, running: StalledDaemon) -> None:
    deployment.servers[HOSTS[0]].stop()
    running.wait(lambda: f"{HOSTS[0]}:\tenabled/down/not pooled\n" in running.get("/pools/web"), "the server depooled")
    running.wait(lambda: "log: standard error not read for" in running.get("/v1/alerts"), "an alert")
    running.read()
    running.wait(lambda: "standard error" not in running.get("/v1/alerts"), "the end of the alert")
    running.wait_for_log(f"reports server {HOSTS[0]} (enabled/up/pooled) down")


def test_many_lines_of_one_pool_are_summarised(deployment: Deployment, running: StalledDaemon) -> None:
    running.read()
    deployment.stop()
    running.wait_for_log("[web] WARN: and ")
    assert re.search(r"and \d+ more in the same second \(log-burst = 4\): ", running.log)
    assert "pybal_log_dropped_total 0.0\n" in running.get("/metrics")
    assert "pybal_log_suppressed_total 0.0\n" not in running.get("/metrics")


def test_stop_writes_the_last_lines(running: StalledDaemon) -> None:
    running.read()
    assert running.stop(signal.SIGTERM) == 0
    wait_for(lambda: "[pybal] INFO: Exiting...\n" in running.log, lambda: running.log)


def test_stop_does_not_wait_for_a_log_that_is_not_read(running: StalledDaemon) -> None:
    assert running.stop(signal.SIGTERM) == 0
