"""ICMP against replies of the kernel, in network namespaces, on ping sockets and raw sockets."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.checks.icmp import _checksum, echo_socket
from pybal.monitors.icmp import ICMPSettings
from pybal.monitors.kinds import refusal
from tests.harness.guest.namespace import fresh
from tests.harness.scripted_server import MonitoredServer
from tests.harness.stepped_reactor import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces and raw sockets")

SETTINGS = ICMPSettings(timeout=0.4, interval=0.05)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
SOCKETS = pytest.mark.parametrize("pings", [True, False], ids=["ping", "raw"])
IGNORE = {"127.0.0.1": "ipv4/icmp_echo_ignore_all", "::1": "ipv6/icmp/echo_ignore_all"}


def sysctl(name: str, value: str) -> None:
    Path("/proc/sys/net", name).write_text(value)


@contextmanager
def network(*, pings: bool) -> Iterator[None]:
    """Enter a new network namespace in which ping sockets are allowed or not."""
    with fresh():
        sysctl("ipv4/ping_group_range", "0 0" if pings else "1 0")
        one = echo_socket(socket.AF_INET)
        assert (one.type == socket.SOCK_DGRAM) == pings
        one.close()
        yield


@SOCKETS
@HOSTS
def test_replying_host_is_up(pings: bool, host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor, host) as setup:
            monitor = setup.monitor(SETTINGS)
            assert (await setup.report()).up
            await setup.until(lambda: monitor.up_results >= 3)
            assert (monitor.name, monitor.down_results) == ("ICMP", 0)
            assert list(next(iter(monitor.history())).result.phases) == ["icmp"]

    with network(pings=pings):
        run(main)


@SOCKETS
@HOSTS
def test_silent_host_is_down_until_it_replies(pings: bool, host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor, host) as setup:
            sysctl(IGNORE[host], "1")
            monitor = setup.monitor(SETTINGS)
            report = await setup.report()
            assert (report.up, report.reason) == (False, "icmp: 400 ms without an echo reply")
            sysctl(IGNORE[host], "0")
            assert (await setup.report()).up
            assert (monitor.up_transitions, monitor.down_transitions) == (1, 1)

    with network(pings=pings):
        run(main)


@HOSTS
def test_monitors_of_one_host_match_their_own_replies(host: str) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor, host) as setup:
            monitors = [setup.monitor(SETTINGS) for _ in range(10)]
            await setup.until(lambda: all(monitor.up_results >= 3 for monitor in monitors))
            assert sum(monitor.down_results for monitor in monitors) == 0

    with network(pings=False):
        run(main)


@HOSTS
def test_foreign_replies_are_ignored(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if ":" in host else socket.IPPROTO_ICMP
    kind = 129 if ":" in host else 0

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor, host) as setup:
            sysctl(IGNORE[host], "1")
            monitor = setup.monitor(SETTINGS)
            with socket.socket(family, socket.SOCK_RAW, protocol) as forger:
                while monitor.down_results == 0:
                    for data in (b"", b"x" * 16, b"x" * 1000):
                        packet = struct.pack("!BBHHH", kind, 0, 0, 1, 1) + data
                        packet = packet[:2] + _checksum(packet).to_bytes(2, "big") + packet[4:]
                        forger.sendto(packet, (host, 0))
                    await setup.pause(0.02)
            report = await setup.report()
            assert report.reason.startswith("icmp: 400 ms without an echo reply (")
            assert report.reason.endswith(" other replies)")

    with network(pings=False):
        run(main)


def test_ipv4_request_on_a_raw_socket_has_a_valid_checksum() -> None:
    packet = struct.pack("!BBHHH", 8, 0, 0, 0x1234, 1) + b"abcdefgh"
    checksum = _checksum(packet)
    assert _checksum(packet[:2] + checksum.to_bytes(2, "big") + packet[4:]) == 0
    assert checksum == 0x5435


def test_unreachable_host_is_down_immediately() -> None:
    script = "\n".join(
        (
            "ip link set lo up",
            "ip link add near type veth peer name far",
            "ip addr add 10.77.0.1/24 dev near",
            "ip addr add fd77::1/64 dev near nodad",
            "ip link set near up",
            "ip link set far up",
            f"exec {sys.executable} -m tests.integration.test_monitors_icmp",
        )
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout or "[]") == [[False, "icmp: host unreachable"]] * 2, done.stderr


def test_machine_without_permitted_sockets_is_refused_before_start() -> None:
    code = (
        "from pybal.monitors.kinds import refusal; from pybal.monitors.icmp import ICMPSettings;"
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); print(*refusal(ICMPSettings()), sep='; ')"
    )
    with network(pings=False):
        assert refusal(ICMPSettings()) is None
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == (
        "monitors; ICMP (Operation not permitted); CAP_NET_RAW, or our group in the sysctl net.ipv4.ping_group_range\n"
    ), done.stderr


def test_ping_group_is_sufficient_without_privileges() -> None:
    code = (
        "from pybal.monitors.kinds import refusal; from pybal.monitors.icmp import ICMPSettings;"
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); print(refusal(ICMPSettings()))"
    )
    with fresh():
        sysctl("ipv4/ping_group_range", "65534 65534")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", done.stderr


def test_lost_permission_is_inconclusive() -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            os.seteuid(65534)
            try:
                monitor = setup.monitor(SETTINGS)
                await setup.until(lambda: setup.engine.inconclusive >= 2)
                assert (monitor.up, setup.reports) == (None, [])
            finally:
                os.seteuid(0)
            assert (await setup.report()).up

    with network(pings=False):
        run(main)


async def _watch(reactor: EPollReactor) -> None:
    """Print the first report about unreachable hosts."""
    async with MonitoredServer(reactor) as setup:
        for setup.host in ("10.77.0.2", "fd77::2"):
            setup.monitor(ICMPSettings(timeout=15))
        reports = [await setup.report() for _ in setup.monitors]
    print(json.dumps([(report.up, report.reason) for report in reports]))  # noqa: T201  # for the test


if __name__ == "__main__":
    run(_watch, timeout=40)
