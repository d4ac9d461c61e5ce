"""A daemon with one service and a control socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, Deployment, daemon

HOSTS = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory
control-socket = {directory}/control.sock
bgp = no
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
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
WITH_BGP = CONF.replace("bgp = no", "bgp = yes")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, HOSTS, CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 3, "three servers pooled")
        yield running
