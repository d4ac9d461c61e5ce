"""No event of a pool of 10,000 servers holds the loop for more than 50 ms of CPU.

That is the default of max-pool-size. One daemon passes through all phases. Each waits for the effect and for a while after it, because the work is divided into turns.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.harness.daemon_process import Daemon, daemon
from tests.harness.guest import namespace
from tests.harness.loop_probe import LoopProbe
from tests.harness.probed_balancer import FIRST, pybal
from tests.harness.servers.nginx import nginx

pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0,
    reason="needs root for a network namespace",
)

SERVERS = 10_000
FLOOR = SERVERS // 2
INTERVAL = 15
AFTERWARDS = 3.0

CONFIG = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
control-socket = {directory}/control.sock
ipvs-backend = memory
bgp = no

[web]
protocol = tcp
ip = 192.0.2.1
port = 8080
scheduler = {scheduler}
config = file://{directory}/web.pool
max-depool-step = 1
monitors = {monitors}
tcpconnect.interval = {interval}
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 30
"""
WEB = "access_log off; server { listen 8080 backlog=4096; return 200 ok; }"


class LargePool:
    """A daemon with one pool, its probe, and the web server at all addresses of the pool."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.probe = LoopProbe(directory / "holds")
        self.process: Daemon
        (directory / "nginx").mkdir()
        self.web = nginx(directory / "nginx", WEB, 8080, connections=16_384)

    def configure(self, scheduler: str, interval: int, monitors: str = "['TCPConnect']") -> None:
        text = CONFIG.format(directory=self.directory, scheduler=scheduler, interval=interval, monitors=monitors)
        (self.directory / "pybal.conf").write_text(text)

    def list(self, network: int, weight: int, enabled: int = SERVERS) -> None:
        """Write the list: servers of the network 127.NETWORK.0.0, of which some are enabled."""
        lines = (
            f"{{'host': '127.{network}.{number >> 8}.{number & 255}', 'weight': {weight}, 'enabled': {number <= enabled}}}\n"
            for number in range(1, SERVERS + 1)
        )
        new = self.directory / "new.pool"
        new.write_text("".join(lines))
        new.rename(self.directory / "web.pool")

    def tally(self) -> dict[str, Any]:
        """Return the numbers of the pool, such as ``up`` and ``pooled``, empty without a response."""
        pools = cast("dict[str, dict[str, Any]] | None", self.process.get_json("/v1/pools"))
        return pools["web"] if pools else {}

    def wait_for(self, **numbers: int) -> None:
        """Wait until the pool has these numbers."""

        def reached() -> bool:
            time.sleep(0.2)
            return numbers.items() <= self.tally().items()

        self.process.wait(reached, f"{numbers}")


@contextmanager
def phase(pool: LargePool, name: str) -> Iterator[None]:
    """Fail if the loop was held during the block or the time after it, in which writes end."""
    began = pool.probe.now()
    yield
    time.sleep(AFTERWARDS)
    pool.probe.check(name, began, kinds={"held"})


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[LargePool]:
    pool = LargePool(tmp_path)
    pool.configure("wrr", INTERVAL)
    running = daemon(tmp_path, prefix=FIRST, endpoint="http://127.0.0.1:9090", program=pool.probe.program)
    with namespace.fresh(), pool.web, running as pool.process:
        pool.process.wait(pool.tally, "the daemon")
        yield pool


def test_no_event_of_a_large_pool_holds_the_loop(pool: LargePool) -> None:
    with phase(pool, "first list"):
        pool.list(1, 10)
        pool.wait_for(total=SERVERS, up=SERVERS, pooled=SERVERS)
    with phase(pool, "weights"):
        pool.list(1, 20)
        pool.process.wait(lambda: pool.process.get("/v1/ipvs").count("-w 20") == SERVERS, "the weights")
    with phase(pool, "failure"):
        pool.web.stop()
        pool.wait_for(up=0, pooled=FLOOR, forced=FLOOR)
    with phase(pool, "return"):  # half of the servers are forced, and leave when the others have returned
        pool.web.start()
        pool.wait_for(up=SERVERS, pooled=SERVERS, forced=0)
    with phase(pool, "disabled"):
        pool.list(1, 20, enabled=FLOOR)
        pool.wait_for(enabled=FLOOR, pooled=FLOOR)
    with phase(pool, "reload"):
        pool.configure("mh", INTERVAL + 1, "['TCPConnect', 'ProxyFetch']")
        assert pool.process.reload()["accepted"]
        pool.wait_for(up=SERVERS, pooled=FLOOR)
    with phase(pool, "new list"):
        pool.list(2, 10)
        pool.process.wait(lambda: pool.process.get("/pools/web/127.2.0.1"), "the new list")
        pool.wait_for(serving=SERVERS, pooled=SERVERS)
    with phase(pool, "command"):
        done = pybal(
            ["depool", "web", "127.2.0.1", "--force", "--reason", "x", "--socket", f"{pool.directory}/control.sock"]
        )
        assert done.returncode == 0, done.stderr
