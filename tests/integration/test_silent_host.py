"""UDP and DNSQuery get the kernel's error for a host without ARP and neighbour discovery.

The network is a pair of virtual devices, of which only one has an address.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.udp import UDPSettings
from tests.harness.scripted_server import MonitoredServer
from tests.harness.stepped_reactor import run

NETWORK = (
    "ip link set lo up",
    "ip link add dev near type veth peer name far",
    "ip addr add 10.77.0.1/24 dev near",
    "ip addr add fd77::1/64 dev near nodad",
    "ip link set dev near up",
    "ip link set dev far up",
)
HOSTS = ("10.77.0.2", "fd77::2")


def _unshared(*command: str) -> subprocess.CompletedProcess[str]:
    unshare = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--user", "--map-root-user")
    return subprocess.run((*unshare, *command), capture_output=True, text=True, timeout=60, check=False)


def _has_networks() -> bool:
    return bool(shutil.which("unshare")) and _unshared("sh", "-ec", NETWORK[1]).returncode == 0


@pytest.mark.skipif(not _has_networks(), reason="cannot create a network namespace: needs root or user namespaces")
def test_missing_host_is_down_and_never_up() -> None:
    result = _unshared(
        "sh", "-ec", "\n".join((*NETWORK, f"exec {sys.executable} -m tests.integration.test_silent_host"))
    )
    assert json.loads(result.stdout or "{}") == [
        [False, reason, 0] for reason in ("icmp: host unreachable", "query: host unreachable") for _ in HOSTS
    ], result.stderr


async def _watch(reactor: EPollReactor) -> None:
    """Print the first report of each monitor, and the number of up results."""
    async with MonitoredServer(reactor) as setup:
        for setup.host in HOSTS:
            for settings in (UDPSettings(), DNSQuerySettings(("www.example",))):
                setup.monitor(settings, port=53)
        reports = [await setup.report() for _ in setup.monitors]
        ups = sum(monitor.up_results for monitor in setup.monitors)
    print(json.dumps(sorted((report.up, report.reason, ups) for report in reports)))  # noqa: T201  # for the test


if __name__ == "__main__":
    run(_watch, timeout=50.0)
