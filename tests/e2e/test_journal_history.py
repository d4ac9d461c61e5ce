"""The history of pools and servers survives a restart of the daemon with a journal, and only with one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import GLOBAL, WEB, Daemon, Deployment, daemon

HOSTS = ("127.0.4.1", "127.0.4.2", "127.0.4.3")
SICK = HOSTS[0]


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    deployment = Deployment(tmp_path, HOSTS, f"{GLOBAL}journal = yes\n{WEB}")
    yield deployment
    deployment.stop()


def fail_and_recover(deployment: Deployment, running: Daemon) -> None:
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
    deployment.servers[SICK].stop()
    running.wait(lambda: f"{SICK}:\tenabled/down/not pooled" in running.get("/pools/web"), "one depooled")
    deployment.servers[SICK].start()
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled again")


def past(deployment: Deployment, *arguments: str) -> list[str]:
    """Return the lines of a history without the results of checks."""
    text = deployment.pybal("history", *arguments, named=False).stdout.partition("IdleConnection\n")[0]
    return [line for line in text.splitlines() if line.startswith("  ")]


def timeless(lines: list[str]) -> list[str]:
    """Return the lines without their times, which differ by the duration of a step."""
    return [re.sub(r"20[-\dT:.]+Z ", "", line) for line in lines]


def test_history_of_a_server_survives_a_restart(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        fail_and_recover(deployment, running)
        decisions, of_server = past(deployment, "web"), past(deployment, "web", SICK)
        assert any("depooled (down: IdleConnection" in line for line in of_server)
        assert sum(" down: " in line for line in of_server) == 1
        assert running.stop() == 0
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait_for_log("history of pools rebuilt from the journal since 20")
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        assert timeless(past(deployment, "web")[: len(decisions)]) == timeless(decisions)
        assert set(timeless(of_server)) <= set(timeless(past(deployment, "web", SICK)))
        assert "depooled" in running.get("/page/history")
        assert "depooled" in running.get(f"/page/pools/web/{SICK}")
        assert running.stop() == 0


def test_history_without_a_journal_begins_at_the_start(deployment: Deployment) -> None:
    deployment.configure(GLOBAL + WEB)
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        fail_and_recover(deployment, running)
        assert running.stop() == 0
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        assert "depooled" not in running.get("/v1/pools/web/history")
        assert running.stop() == 0
    assert not (deployment.directory / "journal").exists()


def test_foreign_journal_does_not_harm_the_start(deployment: Deployment) -> None:
    journal = deployment.directory / "journal"
    journal.mkdir()
    (journal / "00000001.jsonl").write_text('{"journal":99,"n":1}\n')
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait_for_log("00000001.jsonl: not a journal of version 1; not rebuilding the history of pools before")
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        assert running.stop() == 0
