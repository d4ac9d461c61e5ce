"""The script check-real-server: it finds each planted fault, and its command repairs it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.guest import namespace

SCRIPT = Path(__file__).resolve().parents[2] / "etc/check-real-server"
VIP, VIP6 = "192.0.2.1", "2001:db8::1"
VIPS = ("-t", "80", VIP, VIP6)
# The kernel of this host may have no tunnels: the script looks at the state of the devices only, and the guest has real ones.
SET_UP = f"""
ip link set lo up
ip link add eth0 mtu 1500 type veth peer name switch
ip link add tunl0 type veth peer name ip6tnl0
for device in eth0 switch tunl0 ip6tnl0; do ip link set $device up; done
ip address add 10.0.0.21/24 dev eth0
ip address add 2001:db8:1::21/64 dev eth0 nodad
ip address add {VIP}/32 dev lo
ip address add {VIP6}/128 dev lo
ip route add default via 10.0.0.1 dev eth0 advmss 1440
ip route add default via 2001:db8:1::1 dev eth0 advmss 1400
sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0
"""
FAULTS = (
    (f"ip addr del {VIP}/32 dev lo", f"VIP {VIP}: on no device, wanted on lo"),
    (f"ip addr del {VIP6}/128 dev lo", f"VIP {VIP6}: on no device, wanted on lo"),
    (f"ip addr del {VIP}/32 dev lo; ip addr add {VIP}/24 dev lo", f"VIP {VIP}: {VIP}/24 on lo, wanted {VIP}/32"),
    (f"ip addr del {VIP}/32 dev lo; ip addr add {VIP}/32 dev eth0", f"VIP {VIP}: on eth0, wanted on lo"),
    ("sysctl -q -w net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.all.arp_ignore: 0 on DEVICE, wanted 1"),
    ("sysctl -q -w net.ipv4.conf.all.arp_announce=0", "net.ipv4.conf.all.arp_announce: 0 on DEVICE, wanted 2"),
    ("ip link set tunl0 down", "tunl0: down, wanted up"),
    ("ip link set ip6tnl0 down", "ip6tnl0: down, wanted up"),
    ("sysctl -q -w net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.tunl0.rp_filter: 1, wanted 0"),
    ("sysctl -q -w net.ipv4.conf.tunl0.rp_filter=2", "net.ipv4.conf.tunl0.rp_filter: 2, wanted 0"),
    ("ip route change default via 10.0.0.1 dev eth0", "MSS for IPv4: not limited, wanted 1440 or less"),
    ("ip -6 route change default via 2001:db8:1::1 advmss 1440", "MSS for IPv6: 1440, wanted 1400 or less"),
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ss"), reason="network namespaces need root and iproute2"
)


@pytest.fixture
def listeners() -> Iterator[ExitStack]:
    """A server without a fault in the present namespace, and the sockets on which it listens."""
    with namespace.fresh(), ExitStack() as stack:
        subprocess.run(["sh", "-e", "-c", SET_UP], check=True)
        for family, every in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
            stack.enter_context(socket.create_server((every, 80), family=family))
        yield stack


def _check(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def _fails(output: str) -> list[str]:
    return re.findall(r"^fail +(.*)", re.sub(r" on (eth0|tunl0|ip6tnl0|switch),", " on DEVICE,", output), re.MULTILINE)


@pytest.mark.usefixtures("listeners")
@pytest.mark.parametrize(("plant", "finding"), FAULTS, ids=[finding for _, finding in FAULTS])
def test_script_finds_a_fault_and_prints_the_command_that_repairs_it(plant: str, finding: str) -> None:
    assert _check(*VIPS)[0] == 0
    subprocess.run(["sh", "-e", "-c", plant], check=True)
    status, found = _check(*VIPS)
    assert (status, _fails(found)) == (2, [finding.replace(" on eth0,", " on DEVICE,")])
    subprocess.run(["sh", "-e", "-c", re.findall(r"fix: (.*)", found)[0]], check=True, stdout=subprocess.DEVNULL)
    assert _check(*VIPS)[0] == 0


@pytest.mark.usefixtures("listeners")
def test_script_accepts_loose_reverse_paths_if_the_tunnel_has_an_address() -> None:
    subprocess.run(["ip", "addr", "add", "192.0.2.2/32", "dev", "tunl0"], check=True)
    subprocess.run(["sysctl", "-q", "-w", "net.ipv4.conf.tunl0.rp_filter=2"], check=True)
    assert "ok       net.ipv4.conf.tunl0.rp_filter: 2\n" in _check(*VIPS)[1]


def test_script_finds_a_server_that_listens_on_another_address(listeners: ExitStack) -> None:
    assert _fails(_check("443", VIP)[1]) == [f"{VIP}:443: no server listens"]
    listeners.enter_context(socket.create_server(("10.0.0.21", 443)))
    assert _fails(_check("443", VIP)[1]) == [f"{VIP}:443: no server listens (only on 10.0.0.21:443)"]
    listeners.enter_context(socket.create_server((VIP, 443)))
    assert _check("443", VIP)[0] == 0


def test_script_looks_for_the_protocol_of_the_service(listeners: ExitStack) -> None:
    assert _fails(_check("-u", "80", VIP)[1]) == [f"{VIP}:80: no server listens"]
    listeners.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("", 80))
    assert _check("-u", "80", VIP)[0] == 0


@pytest.mark.parametrize("arguments", [(), ("80",), ("x", VIP), ("80", "web"), ("-x", "80", VIP)])
def test_script_refuses_an_invalid_command_line(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("check-real-server: ")
