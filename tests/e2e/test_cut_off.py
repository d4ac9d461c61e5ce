"""An isolated balancer keeps all servers pooled: the daemon in a network that fails."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, WebServer, daemon, wait_for
from tests.harness.guest import namespace

POOLS = {name: [f"10.77.{net}.{host}" for host in range(1, 5)] for net, name in enumerate(("text", "upload"))}
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = 9090
ipvs-backend = memory

[DEFAULT]
protocol = tcp
ip = 192.0.2.1
scheduler = wrr
config = file://{directory}/%(name)s.pool
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.5
proxyfetch.timeout = 1
idleconnection.max-delay = 1

[text]
name = text
port = 80

[upload]
name = upload
port = 81
"""


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, timeout=30)


class Network:
    """Two namespaces joined by a cable: servers in ``far``, the daemon and this thread in ``near``."""

    def __init__(self, stack: ExitStack) -> None:
        self.far = namespace.create()
        stack.callback(os.close, self.far)
        stack.enter_context(namespace.fresh())
        self.within_far = partial(namespace.entered, self.far)
        with self.within_far():
            holder = subprocess.Popen(["sleep", "infinity"])
        stack.callback(holder.wait)
        stack.callback(holder.kill)
        _ip(f"link add near type veth peer name far netns {holder.pid}")
        _ip("addr add 10.77.255.1/16 dev near", "link set near up")
        with self.within_far():
            hosts = [host for hosts in POOLS.values() for host in hosts]
            _ip(*(f"addr add {host}/16 dev far" for host in hosts), "link set far up")

    def cable(self, state: str) -> None:
        """Set the far end up or down; the near end loses its carrier, as with a failed switch."""
        with self.within_far():
            _ip(f"link set far {state}")

    def route(self, state: str) -> None:
        _ip(f"route {'replace' if state == 'up' else 'del'} 10.77.0.0/16 dev near")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces: needs root")
@pytest.mark.parametrize("part", ["cable", "route"])
def test_lost_link_depools_only_the_server_that_died(tmp_path: Path, stack: ExitStack, part: str) -> None:
    network = Network(stack)
    fail: Callable[[str], None] = getattr(network, part)
    servers = {}
    for port, hosts in zip((80, 81), POOLS.values(), strict=True):
        for host in hosts:
            servers[host] = WebServer(host, port, within=network.within_far)
            stack.callback(servers[host].stop)
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path))
    for name, hosts in POOLS.items():
        (tmp_path / f"{name}.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
    running = stack.enter_context(daemon(tmp_path, endpoint="http://127.0.0.1:9090"))

    def pooled(running: Daemon) -> int:
        return sum(running.get(f"/pools/{name}").count("/up/pooled") for name in POOLS)

    running.wait(lambda: pooled(running) == 8, "all servers pooled")
    table = running.get("/v1/ipvs")
    failed_at = time.monotonic()
    fail("down")
    victim = servers["10.77.1.4"]
    if part == "cable":
        running.wait_for_log("No response from any of 8 hosts in 2 services for 1 s")
        assert "WARNING pybal checker: No response from any of 8 hosts in 2 services" in running.get("/v1/alerts")
        assert "pybal_cut_off 1.0" in running.get("/metrics").splitlines()
    inconclusive = re.compile(r" inconclusive .*\(no server responds\)")
    running.wait(lambda: inconclusive.search(running.get("/v1/pools/text/10.77.0.1/history")), "an inconclusive result")
    victim.stop()
    wait_for(lambda: time.monotonic() > failed_at + 6, lambda: "six seconds")
    assert pooled(running) == 8
    assert running.get("/v1/ipvs") == table
    assert "reports server" not in running.log

    fail("up")
    running.wait(lambda: "10.77.1.4:" not in running.get("/v1/ipvs"), "the dead server out of the table")
    running.wait(lambda: "pybal_cut_off 0.0" in running.get("/metrics").splitlines(), "the end of the isolation")
    assert pooled(running) == 7
    assert set(re.findall(r"reports server (\S+)", running.log)) == {"10.77.1.4"}
    if part == "cable":
        running.wait_for_log("First response after")
        assert "pybal_cut_offs_total 1.0" in running.get("/metrics").splitlines()
