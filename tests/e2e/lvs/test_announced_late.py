"""A VIP is not announced while the kernel lacks a part of its service."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness.daemon_process import daemon, wait_for
from tests.harness.guest.network import VIP, Host, lab
from tests.harness.guest.router import BirdRouter

ENDPOINT = "http://127.0.0.1:9090"
SCHEDULER = "nq"
CONF = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
bgp = yes
bgp-local-asn = 64600
bgp-peer-asn = 64601
bgp-peer-address = 10.0.0.3
bgp-local-address = 10.0.0.1
bgp-nexthop-ipv4 = 10.0.0.1

[web]
protocol = tcp
ip = {vip}
port = 80
scheduler = {scheduler}
config = file://{directory}/web.pool
"""


@contextmanager
def without_the_scheduler(_: Host) -> Iterator[str]:
    """Make the kernel refuse the service: its scheduler module cannot be loaded."""
    modprobe = Path("/proc/sys/kernel/modprobe")
    before = modprobe.read_text()
    # Namespaces of other tests may still use it for a moment.
    wait_for(lambda: subprocess.run(["modprobe", "-r", f"ip_vs_{SCHEDULER}"], check=False).returncode == 0, lambda: "")
    modprobe.write_text("/bin/false")
    try:
        yield "the kernel has no scheduler nq"
    finally:
        modprobe.write_text(before)


@contextmanager
def without_a_server(director: Host) -> Iterator[str]:
    """Make the kernel refuse a server: its address is a broadcast address."""
    director.ip("route add broadcast 10.0.0.12 dev eth0 table local")
    try:
        yield "10.0.0.12"
    finally:
        director.ip("route del broadcast 10.0.0.12 dev eth0 table local")


@pytest.mark.parametrize("refused", [without_the_scheduler, without_a_server], ids=["service", "server"])
def test_vip_is_announced_when_the_kernel_holds_the_complete_service(
    tmp_path: Path, refused: Callable[[Host], AbstractContextManager[str]]
) -> None:
    with lab() as made:
        director = made.director
        router = BirdRouter(made.add("router", 3), tmp_path, [director])
        (tmp_path / "pybal.conf").write_text(CONF.format(vip=VIP, scheduler=SCHEDULER, directory=tmp_path))
        (tmp_path / "web.pool").write_text("".join(f"{{'host': '{server.address}'}}\n" for server in made.servers))
        prefix = ("env", f"RUNTIME_DIRECTORY={tmp_path}")
        with director.entered(), ExitStack() as refusal:
            why = refusal.enter_context(refused(director))
            with daemon(tmp_path, prefix=prefix, endpoint=ENDPOINT) as process:
                process.wait(lambda: router.established(director), "a session")
                process.wait_for_log(f"Not announcing {VIP}/32: kernel-not-verified")
                process.wait(lambda: why in process.get("/v1/alerts"), f"an alert: {why}")
                assert router.updates(director) == 0
                assert router.next_hop() == ""
                refusal.close()
                process.wait(lambda: router.next_hop() == str(director.address), "the way by the balancer")
                assert router.updates(director) == 1
                held = director.run("ipvsadm", "-Sn")
                assert [f"-r {server.address}:80 " in held for server in made.servers] == [True, True]
