"""A daemon with one service and a control socket, and the command line to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon_process import PATIENCE, Daemon, WebServer, daemon, free_port

HOSTS = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
control-socket = {directory}/control.sock
bgp = {bgp}
bgp-local-asn = 64600
bgp-peer-address = 127.0.0.2
bgp-nexthop-ipv4 = 10.9.0.1

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3
"""


class Site:
    """A directory with pybal.conf and a pool file, the web servers of that pool, and the command line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = directory / "pybal.conf"
        self.port = free_port(*HOSTS)
        self.status_port = free_port("127.0.0.1")
        self.endpoint = f"http://127.0.0.1:{self.status_port}"
        self.servers = {host: WebServer(host, self.port) for host in HOSTS}
        self.configure()
        self.pool(*HOSTS)

    def configure(self, text: str = CONF, *, bgp: str = "no") -> None:
        facts = {"directory": self.directory, "port": self.port, "status_port": self.status_port, "bgp": bgp}
        self.conf.write_text(text.format(**facts))

    def pool(self, *hosts: str) -> None:
        (self.directory / "web.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))

    def pybal(self, command: str, *arguments: str, named: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; without ``named`` it is told the socket, and no configuration file."""
        where = ["-c", str(self.conf)] if named else ["--socket", str(self.directory / "control.sock")]
        said = [sys.executable, "-m", "pybal.cli", command, *where, *arguments]
        return subprocess.run(said, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def document(self, command: str, *arguments: str) -> Any:
        return json.loads(self.pybal(command, "--json", *arguments).stdout)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for server in site.servers.values():
        server.stop()


@pytest.fixture
def running(site: Site) -> Iterator[Daemon]:
    with daemon(site.directory, endpoint=site.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield running
