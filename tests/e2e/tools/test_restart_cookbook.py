"""The restart cookbook restarts the daemon and waits for its BGP session with a router, bird."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.bird_session import GLOBAL, bird
from tests.harness.daemon_process import Daemon, daemon, run_pybal
from tests.harness.guest import namespace
from tests.harness.tools.restart_cookbook import established, wait_for_bgp

pytestmark = pytest.mark.skipif(
    not shutil.which("bird") or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0,
    reason="needs bird, and root for a network namespace",
)

CONF = f"""\
{GLOBAL}control-socket = {{directory}}/control.sock

[web]
protocol = tcp
ip = 192.0.2.1
port = 8080
scheduler = wrr
config = file://{{directory}}/web.pool
"""
ENDPOINT = "http://127.0.0.1:9090"
DOWN, UP = {"64600": [False]}, {"64600": [True]}
TRIES = 400
"""Tries at 0.2 s, where the real tool has ten at 10 s."""


def first_metrics(running: Daemon) -> str:
    metrics: list[str] = []

    def responds() -> str:
        metrics.append(running.get("/metrics"))
        return metrics[-1]

    running.wait(responds, "the first response")
    return metrics[-1]


def test_restart_cookbook_waits_for_the_session_after_each_start(tmp_path: Path) -> None:
    """The tool passes without any session in the metrics: the first response must have it already."""
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path))
    (tmp_path / "web.pool").write_text("{'host': '127.0.1.1'}\n")
    with namespace.fresh():
        for drained in (False, True):
            with daemon(tmp_path, endpoint=ENDPOINT) as running:
                assert established(first_metrics(running)) == DOWN
                with pytest.raises(TimeoutError):
                    wait_for_bgp(ENDPOINT, tries=2, delay=0.1)
                with bird(tmp_path):
                    assert wait_for_bgp(ENDPOINT, tries=TRIES, delay=0.2) == UP
                    if drained:
                        socket = str(tmp_path / "control.sock")
                        assert run_pybal("drain", "--socket", socket, "all", "--reason", "test").returncode == 0
                        assert wait_for_bgp(ENDPOINT, tries=1) == UP
                    assert running.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            wait_for_bgp(ENDPOINT, backoff=0.05)
