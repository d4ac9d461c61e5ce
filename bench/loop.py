"""The longest hold of the event loop in each phase of a large daemon, beside its bound.

``python -m bench loop [SERVICES SERVERS]``, by default 116 services with 95 servers and two monitors each. Needs root, BIRD, nginx.
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.harness.loop_probe import BOUND
from tests.harness.probed_balancer import ProbedBalancer


def main(options: Sequence[str]) -> None:
    services, servers = map(int, options or ("116", "95"))
    print(
        f"longest hold of the loop, {services} services with {servers} servers and two monitors each (bound {BOUND * 1e3:.0f} ms)"
    )
    with tempfile.TemporaryDirectory() as directory:
        balancer = ProbedBalancer(Path(directory), services, servers)
        balancer.configure("wrr", 5)
        balancer.write_pools(0)
        with balancer.running():
            balancer.wait_for_servers("up/pooled", servers)
            report(balancer, "start", 0.0, "")
            for name, act in phases(balancer).items():
                began, route = balancer.probe.now(), balancer.route()
                act()
                report(balancer, name, began, "" if balancer.route() == route else "; THE UNRELATED VIP WAS WITHDRAWN")


def phases(balancer: ProbedBalancer) -> dict[str, Callable[[], None]]:
    """Return what happens in each phase; each ends when its effect is over."""
    services, servers = balancer.services, balancer.servers

    def steady() -> None:
        for _ in range(4):
            with urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=60) as response:
                response.read()
            time.sleep(7.5)

    def fail() -> None:
        balancer.stop_servers()
        balancer.wait_for_servers("down/", servers // 2)
        time.sleep(10)

    def come_back() -> None:
        balancer.start_servers()
        balancer.wait_for_servers("up/pooled", servers)

    def reload() -> None:
        balancer.configure("mh", 4)
        balancer.process.reload()
        time.sleep(35)

    def change() -> None:
        balancer.write_pools(1)
        new = f"127.{services}.1.1"
        balancer.process.wait(lambda: new in balancer.process.get(f"/pools/s{services - 1}"), "the new lists")
        balancer.wait_for_servers("up/pooled", servers)

    return {
        "30 s with 4 scrapes": steady,
        "all servers fail": fail,
        "all servers return": come_back,
        "reload of all, 35 s": reload,
        "new list of every pool": change,
    }


def report(balancer: ProbedBalancer, name: str, since: float, remark: str) -> None:
    problems = [record for record in balancer.probe.problems(since) if record.kind == "held"]
    longest = balancer.probe.longest(since)
    shown = f"{longest.cpu * 1e3:4.0f} ms, {longest.call}" if longest else "below 10 ms"
    print(f"  {name:24} {shown}; {len(problems)} above the bound{remark}", flush=True)
