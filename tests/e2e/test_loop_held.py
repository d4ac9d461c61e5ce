"""No callback holds the loop for more than 50 ms of CPU, and none waits.

The router keeps the route of an unrelated VIP. One daemon passes through all phases, in the order of this file. ``python -m bench loop`` runs them at full scale.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.flooding_servers import flooding_servers
from tests.harness.hung_mount import can_mount, hung_mount
from tests.harness.probed_balancer import ProbedBalancer, pybal

pytestmark = pytest.mark.skipif(
    not shutil.which("bird") or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0,
    reason="needs bird, and root for a network namespace",
)

SERVICES, SERVERS = 20, 20
FLOOR = SERVERS // 2

HOSTILE = """
[hostile]
ip = 192.0.2.251
port = 8082
config = file://{directory}/hostile.pool
proxyfetch.url = ['http://www.example.org:8082/']

[hostile-tls]
ip = 192.0.2.252
port = 8082
config = file://{directory}/hostile.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['https://www.example.org:8082/']
"""


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProbedBalancer]:
    balancer = ProbedBalancer(tmp_path_factory.mktemp("loop"), SERVICES, SERVERS)
    balancer.configure("wrr", 5)
    balancer.write_pools(0)
    with balancer.running():
        balancer.wait_for_servers("up/pooled", SERVERS)
        yield balancer


@contextmanager
def phase(balancer: ProbedBalancer, name: str) -> Iterator[None]:
    """Fail if the loop was held or waited during the block, or the router's route changed."""
    wait_for(balancer.route, lambda: balancer.process.log[-3000:])
    route, began = balancer.route(), balancer.probe.now()
    yield
    assert balancer.route() == route
    balancer.probe.check(name, began)


def scrape() -> None:
    with urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=60) as response:
        assert b"pybal_loop_held_seconds" in response.read()


def test_start_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    # Files are read and written while the parts start; nothing is announced yet that a wait could withdraw.
    balancer.probe.check("start", kinds={"held"})


def test_steady_state_with_scrapes_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "steady state"):
        for _ in range(4):
            scrape()
            time.sleep(3)


def test_mass_failure_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "mass failure"):
        balancer.stop_servers()
        balancer.wait_for_servers("down/", FLOOR)


def test_mass_return_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "mass return"):
        balancer.start_servers()
        balancer.wait_for_servers("up/pooled", SERVERS)


def test_reload_of_everything_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "reload"):
        balancer.configure("mh", 4)
        assert balancer.process.reload()["accepted"]
        balancer.wait_for_servers("up/pooled", SERVERS)


def test_new_list_of_every_pool_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "lists"):
        balancer.write_pools(1)
        last = balancer.services - 1
        new = f"127.{1 + last}.1.1"
        balancer.process.wait(lambda: new in balancer.process.get(f"/pools/s{last}"), "the new lists")
        balancer.wait_for_servers("up/pooled", SERVERS)


def test_ten_slow_scrapers_do_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "slow scrapers"), ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", 9090))) for _ in range(10)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(100):
            for client in clients:
                client.recv(100)
            time.sleep(0.03)
        scrape()


def test_hostile_servers_do_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "hostile servers"), flooding_servers(8082) as hosts:
        (balancer.directory / "hostile.pool").write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
        balancer.configure("mh", 4, HOSTILE.format(directory=balancer.directory))
        assert balancer.process.reload()["accepted"]
        try:
            time.sleep(15)
        finally:
            balancer.configure("mh", 4, "\n")
            balancer.process.reload()


def test_stalled_journal_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    try:
        with phase(balancer, "stalled journal"):
            balancer.log_is_read.clear()
            balancer.stop_servers()
            balancer.wait_for_servers("down/", FLOOR)
            balancer.start_servers()
            balancer.wait_for_servers("up/pooled", SERVERS)
            time.sleep(5)
    finally:
        balancer.log_is_read.set()


@pytest.mark.skipif(not can_mount(), reason="mounting FUSE needs root and /dev/fuse")
def test_hung_file_system_does_not_hold_the_loop(balancer: ProbedBalancer) -> None:
    with phase(balancer, "hung file system"), hung_mount(balancer.directory / "pools"):
        time.sleep(12)
        assert "pybal_loop_held_seconds" in balancer.process.get("/metrics")


def test_commands_of_users_do_not_wait_for_the_name_service(balancer: ProbedBalancer) -> None:
    with phase(balancer, "commands"):
        for command in ("status", "reload"):
            pybal([command, "--socket", str(balancer.directory / "control.sock")])


def test_memory_does_not_grow_over_100_reloads(balancer: ProbedBalancer) -> None:
    def resident() -> int:
        status = (balancer.proc / "status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    sizes = []
    for number in range(100):
        balancer.configure("wrr" if number % 2 else "mh", 4 + number % 3)
        assert balancer.process.reload()["accepted"]
        sizes.append(resident())
    # KiB. The first reloads fill caches of the allocator; each reload makes 800 monitors, about 6 MiB, again.
    assert max(sizes[80:]) < max(sizes[20:40]) + 6 * 1024, sizes
