"""Callers of the control socket whose name no service returns: the loop does not wait for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import hung_names
from tests.harness.daemon_process import Daemon, daemon, free_port
from tests.harness.hung_names import HungNames
from tests.harness.loop_probe import LoopProbe

pytestmark = pytest.mark.skipif(bool(hung_names.missing()), reason=hung_names.missing())

MEMBER, STRANGER = 54321, 54322
"""Users that no file names."""
ADM = 4
"""The number of the group adm in base-passwd."""
CONFIG = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status}
control-socket = {directory}/control.sock
control-group = adm
ipvs-backend = memory

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file://{directory}/pool
monitors = []
"""
CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(sys.argv[1])
if sys.argv[2] == "ask":
    connection.sendall(b'{"version":1,"command":"status"}\\n')
print(connection.makefile().readline())
"""


class Balancer:
    """The daemon with its probe and its name service."""

    def __init__(self, directory: Path, process: Daemon, probe: LoopProbe, names: HungNames) -> None:
        self.socket = directory / "control.sock"
        self.process = process
        self.probe = probe
        self.names = names

    def connect(self, user: int, *groups: str) -> str:
        """Return the first line that a user receives: the reply to a command of a member of ``groups``."""
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", *(groups or ["--clear-groups"])]
        command = [*identity, "/usr/bin/python3", "-c", CONNECT, str(self.socket), "ask" if groups else ""]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    for directory in (tmp_path, *tmp_path.parents[:3]):
        directory.chmod(directory.stat().st_mode | 0o011)
    status = free_port("127.0.0.1")
    (tmp_path / "pool").write_text("{'host': '127.0.0.1'}\n")
    (tmp_path / "pybal.conf").write_text(CONFIG.format(directory=tmp_path, status=status))
    probe, names = LoopProbe(tmp_path / "holds"), HungNames(tmp_path)
    prefix = (*names.prefix, f"RUNTIME_DIRECTORY={tmp_path}", f"STATE_DIRECTORY={tmp_path}")
    with daemon(tmp_path, prefix=prefix, endpoint=f"http://127.0.0.1:{status}", program=probe.program) as process:
        process.wait(lambda: "web" in process.get("/pools"), "the daemon")
        process.wait((tmp_path / "control.sock").exists, "the control socket")
        yield Balancer(tmp_path, process, probe, names)


def test_names_of_callers_do_not_hold_the_loop_while_the_service_hangs(balancer: Balancer) -> None:
    process = balancer.process
    began = balancer.probe.now()
    with balancer.names.hanging():
        assert '"version":' in balancer.connect(MEMBER, f"--groups={ADM}")
        assert "is not authorized" in balancer.connect(STRANGER)
        process.wait(lambda: "no response from the name service" in process.get("/v1/alerts"), "an alert")
        process.wait_for_log("refused (not authorized)")
        for _ in range(20):
            at = time.monotonic()
            assert process.get("/alerts")
            assert time.monotonic() - at < 4.0
    process.wait(lambda: "name service" not in process.get("/v1/alerts"), "the end of the alert")
    balancer.probe.check("hung name service", began)
