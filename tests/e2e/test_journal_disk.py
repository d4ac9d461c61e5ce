"""The journal on a full and on a hung disk: an alert, decisions, and a stop without delay."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon_process import GLOBAL, WEB, Daemon, Deployment, daemon, run_pybal
from tests.harness.hung_mount import can_mount, hung_mount
from tests.harness.loop_probe import LoopProbe

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting needs root and /dev/fuse")

HOSTS = ("127.0.5.1", "127.0.5.2", "127.0.5.3")
SICK = HOSTS[0]
STOP_SECONDS = 60.0
"""Time for an orderly stop: it takes 2 s for the journal, and a loaded machine takes longer for all."""


class Balancer:
    """A daemon whose journal is in ``directory/journal``."""

    def __init__(self, deployment: Deployment, running: Daemon, probe: LoopProbe) -> None:
        self.deployment = deployment
        self.running = running
        self.probe = probe
        self.journal = deployment.directory / "journal"
        self._weight = 10

    def fail_and_recover(self) -> None:
        """Let a server fail and recover; each must be decided."""
        self.deployment.servers[SICK].stop()
        self.wait_for_place("down/not pooled")
        self.deployment.servers[SICK].start()
        self.wait_for_place("up/pooled")

    def edit_list(self) -> None:
        """Change the list; its record takes more than a page of a file system."""
        self._weight += 1
        lines = [f"{{'host': '{host}', 'weight': {self._weight}}}\n" for host in HOSTS]
        lines += [f"{{'host': '127.0.6.{n}', 'weight': {self._weight}, 'enabled': False}}\n" for n in range(1, 200)]
        (self.deployment.directory / "web.pool").write_text("".join(lines))

    def wait_for_place(self, place: str) -> None:
        self.running.wait(lambda: f"{SICK}:\tenabled/{place}" in self.running.get("/pools/web"), place)

    def alert(self) -> dict[str, Any] | None:
        """Return the alert of the journal."""
        alerts: Any = self.running.get_json("/v1/alerts")
        return None if alerts is None else next((each for each in alerts if each["kind"] == "journal"), None)

    def wait_for_alert(self, reason: str) -> dict[str, Any]:
        """Return the alert of the journal when it has a reason."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            self.edit_list()
            alert = self.alert()
            found.extend([alert] if alert and reason in alert["text"] else [])
            return bool(found)

        self.running.wait(arrived, reason)
        return found[0]

    def wait_until_it_clears(self) -> None:
        def cleared() -> bool:
            alerts: Any = self.running.get_json("/v1/alerts")
            return alerts is not None and all(each["kind"] != "journal" for each in alerts)

        self.running.wait(cleared, "no alert of the journal")

    def replay(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(run_pybal("replay", "--json", str(self.journal)).stdout)
        return document

    def file_calls(self) -> list[str]:
        """Return the calls on files of the journal that the loop made."""
        return [each.call for each in self.probe.records() if str(self.journal) in each.call]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "journal").mkdir()
    deployment = Deployment(
        tmp_path, HOSTS, f"{GLOBAL}journal = yes\n{WEB}idleconnection.max-delay = 1\ndepool-threshold = 0.005\n"
    )
    yield deployment
    deployment.stop()


@contextmanager
def balancer(deployment: Deployment) -> Iterator[Balancer]:
    probe = LoopProbe(deployment.directory / "holds")
    prefix = ("env", f"STATE_DIRECTORY={deployment.directory}")
    with daemon(deployment.directory, prefix=prefix, endpoint=deployment.endpoint, program=probe.program) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield Balancer(deployment, running, probe)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        write_forever(filler)


def write_forever(file: RawIOBase) -> None:
    while True:
        file.write(b"x" * 4096)


def test_full_disk_is_an_alert_until_there_is_room(deployment: Deployment) -> None:
    with small_disk(deployment.directory / "journal"), balancer(deployment) as found:
        filler = found.journal / "filler"
        fill(filler)
        alert = found.wait_for_alert("lost, retrying")
        assert alert["since"]
        assert "No space left on device" in alert["text"]
        found.fail_and_recover()
        filler.unlink()
        found.wait_until_it_clears()
        found.fail_and_recover()
        assert found.file_calls() == []
        assert found.running.stop() == 0
        replayed = found.replay()
    (gap,) = replayed["gaps"]
    assert gap["reason"] == "No space left on device"
    assert gap["records"] > 0
    assert (replayed["differences"], replayed["problems"]) == ([], [])


def test_hung_disk_is_an_alert_until_it_responds(deployment: Deployment) -> None:
    with balancer(deployment) as found:
        with hung_mount(found.journal):
            alert = found.wait_for_alert("the disk does not respond")
            assert alert["since"]
            found.fail_and_recover()
        found.wait_until_it_clears()
        found.fail_and_recover()
        assert found.file_calls() == []
        assert found.running.stop() == 0
    replayed = found.replay()
    assert (replayed["differences"], replayed["problems"]) == ([], [])


@pytest.mark.parametrize("hung_from_the_start", [True, False])
def test_hung_disk_does_not_delay_the_stop(deployment: Deployment, *, hung_from_the_start: bool) -> None:
    with hung_mount(deployment.directory / "journal"), balancer(deployment) as found:
        found.wait_for_alert("the disk does not respond")
        began = time.monotonic()
        assert found.running.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS
