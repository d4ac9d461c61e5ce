"""A daemon that needs secrets, CAs and names: its loop reads no file and looks up no name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.daemon_process import Daemon, daemon
from tests.harness.hung_mount import can_mount, hung_mount
from tests.harness.loop_probe import LoopProbe
from tests.harness.servers.nginx import nginx

READ_LATER = ("/nfs/", "/etc/hosts", "/etc/resolv.conf", "/etc/ssl/")
"""Parts of the paths that are read again while the daemon runs."""
NEVER = {"getpwnam", "getgrnam", "fsync", "child", "sleep"}
"""Kinds of call that the loop never makes."""

CONFIG = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status}
control-socket = {directory}/control.sock
ipvs-backend = memory
bgp = no

[http localhost:{port}]
ca = {directory}/nfs/ca.pem
user = pybal
password-file = {directory}/nfs/password

[etcd localhost:{etcd}]
ca = {directory}/nfs/ca.pem
user = pybal
password-file = {directory}/nfs/password

[DEFAULT]
protocol = tcp
port = {port}
scheduler = wrr
monitors = ['ProxyFetch', 'TLS']
proxyfetch.url = ['https://localhost/']
proxyfetch.verify = yes
proxyfetch.ca = {directory}/nfs/ca.pem
proxyfetch.interval = 1
tls.interval = 1

[web]
ip = 192.0.2.1
config = https://localhost:{port}/pool

[more]
ip = 192.0.2.2
config = etcd://localhost:{etcd}/pool/more
"""
HTTP = """
server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {both}; ssl_certificate_key {both};
location / {{ return 200 ok; }}
location /pool {{ if ($http_authorization = "") {{ return 401; }} return 200 "{{'host': '127.0.0.1'}}\\n"; }} }}
"""


class Files:
    """The daemon with its probe, and the directory ``nfs`` of its secrets and CAs."""

    def __init__(self, directory: Path, process: Daemon, probe: LoopProbe) -> None:
        self.nfs = directory / "nfs"
        self.process = process
        self.probe = probe

    def alerts(self) -> str:
        return self.process.get("/v1/alerts")

    def waits(self) -> list[str]:
        """Return the calls of the loop that may wait for a file system or a name service."""
        records = self.probe.records()
        return [each.call for each in records if each.kind in NEVER or any(part in each.call for part in READ_LATER)]

    def is_up(self) -> bool:
        return "/up/pooled" in self.process.get("/pools/web")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "nfs").mkdir()
    authority = Authority(tmp_path)
    both = authority.issue("server", host="localhost")
    (tmp_path / "nfs" / "ca.pem").write_bytes(authority.file.read_bytes())
    (tmp_path / "nfs" / "password").write_text("secret\n")
    port, etcd, status = (free_port() for _ in range(3))
    (tmp_path / "pybal.conf").write_text(CONFIG.format(directory=tmp_path, port=port, etcd=etcd, status=status))
    probe = LoopProbe(tmp_path / "holds")
    prefix = ("env", f"RUNTIME_DIRECTORY={tmp_path}", f"STATE_DIRECTORY={tmp_path}")
    with (
        nginx(tmp_path, HTTP.format(port=port, both=both), port),
        daemon(tmp_path, prefix=prefix, endpoint=f"http://127.0.0.1:{status}", program=probe.program) as process,
    ):
        found = Files(tmp_path, process, probe)
        process.wait(found.is_up, "a pooled server")
        yield found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_loop_reads_no_secrets_cas_or_resolver_files(files: Files) -> None:
    files.process.reload()
    (files.nfs / "password").write_text("another\n")
    (files.nfs / "ca.pem").write_bytes((files.nfs / "ca.pem").read_bytes())
    files.process.wait(lambda: "localhost" in files.alerts(), "an alert of the etcd source")
    assert files.waits() == []


@pytest.mark.skipif(not can_mount(), reason="mounting FUSE needs root and /dev/fuse")
def test_hung_secrets_are_alerts_and_servers_stay_pooled(files: Files) -> None:
    with hung_mount(files.nfs):
        files.process.wait(lambda: "/nfs/ca.pem: no response from the file system" in files.alerts(), "an alert")
        files.process.wait(lambda: "password (no response from the file system" in files.alerts(), "a source's alert")
        assert files.is_up()
    files.process.wait(lambda: "no response from the file system" not in files.alerts(), "the end of the alerts")
    assert files.waits() == []
    assert files.is_up()
