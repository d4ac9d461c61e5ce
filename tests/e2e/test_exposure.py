"""Warnings about secrets that others can read: at the start, in every view, until they are private."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.daemon_process import Deployment, daemon

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
control-socket = {directory}/control.sock
ipvs-backend = memory

[http 127.0.0.1:9]
token-file = {directory}/token

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool

[api]
protocol = tcp
ip = 192.0.2.1
port = 1
scheduler = wrr
config = http://127.0.0.1:9/pool
"""


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with TemporaryDirectory() as directory:  # each session of pytest makes its directories private again
        Path(directory).chmod(0o711)
        deployment = Deployment(Path(directory), ["127.0.1.9"], CONF)
        yield deployment
        deployment.stop()


def test_readable_secret_is_shown_in_every_view_until_it_is_private(deployment: Deployment) -> None:
    token = deployment.directory / "token"
    token.write_text("s3cr3t\n")
    token.chmod(0o644)
    text = f"[http 127.0.0.1:9] token-file: {token}: readable by every user (mode 644)"
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait_for_log(f"{text} (the secret is known to them); fix: chmod 640 {token}")
        running.wait(lambda: text in running.get("/v1/status", "application/json"), "the finding")
        assert "readable by every user" in running.get("/page/host")
        assert text in deployment.pybal("preflight").stdout
        assert text in deployment.pybal("doctor").stdout
        assert text.replace("token:", "token") in deployment.pybal("check-config").stderr
        token.chmod(0o600)
        assert running.reload()["accepted"]
        running.wait_for_log(f"resolved: {deployment.directory}/pybal.conf:10: {text}")
        assert "readable by every user" not in running.get("/v1/status", "application/json")
        assert "s3cr3t" not in running.log
        assert running.stop() == 0
