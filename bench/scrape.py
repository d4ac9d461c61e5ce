"""The CPU cost and the size of a scrape with 116 services and 11,020 servers.

They have 11,780 or 22,040 monitors. The CPU covers rendering and sending. No check runs: between two scrapes each ProxyFetch counts one as passed, with a new duration, and the held connections stay.
``python -m bench scrape --beside TREE`` measures another checkout in turn and prints both.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

SERVICES, SERVERS = 116, 95
SIZES = {8: (8.0, 0.5), 116: (14.0, 1.0)}
"""Most megabytes, plain and compressed, by the number of services with ProxyFetch as well."""
WARM = 5
ROUNDS = 3
TARGET = 60.0
"""CPU of a scrape without compression, in milliseconds."""
BOUND = 20.0
"""Longest turn of the loop, in milliseconds of CPU."""

CLIENT = """
import socket, sys
for line in sys.stdin:
    port, accepted = line.split()
    client = socket.create_connection(("127.0.0.1", int(port)))
    client.sendall(f"GET /metrics HTTP/1.0\\r\\nAccept-Encoding: {accepted}\\r\\n\\r\\n".encode())
    size = 0
    while data := client.recv(1 << 20):
        size += len(data)
    print(size, flush=True)
"""


def main(options: Sequence[str] = ()) -> None:
    """Print CPU and longest turn of the first scrape and of those after all checks have run again."""
    parser = argparse.ArgumentParser("bench scrape")
    parser.add_argument("--beside", type=Path, help="another checkout with its own .venv")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(options)
    if chosen.measure:
        print(json.dumps(dict(measure(chosen.measure))))
        return
    trees = [Path.cwd(), *([chosen.beside] if chosen.beside else [])]
    for fetched, (plain, compressed) in SIZES.items():
        print(f"  {(SERVICES + fetched) * SERVERS} monitors (targets {plain:g} MB plain, {compressed:g} MB compressed)")
        compare(trees, fetched)


def compare(trees: Sequence[Path], fetched: int) -> None:
    """Print the medians of the trees, measured in turn."""
    found: list[list[Mapping[str, Sequence[float]]]] = [[] for _ in trees]
    for _ in range(ROUNDS):
        for tree, of_tree in zip(trees, found, strict=True):
            of_tree.append(run(tree, fetched))
    for name in found[0][0]:
        shown = "; there ".join(
            "{:4.0f} ms, longest turn {:3.0f} ms, {:5.2f} MB, process {:3.0f} MB".format(
                *(statistics.median(values) for values in zip(*(each[name] for each in of_tree), strict=True))
            )
            for of_tree in found
        )
        print(f"  {name:14} {shown} (target {TARGET:.0f} without gzip, bound of a turn {BOUND:.0f})", flush=True)


def run(tree: Path, fetched: int) -> Mapping[str, Sequence[float]]:
    """Measure in another process, with the packages of a tree."""
    python = tree / ".venv/bin/python"
    command = [python if python.exists() else sys.executable, Path(__file__), "--measure", str(fetched)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: Mapping[str, Sequence[float]] = json.loads(done.stdout)
    return found


def measure(fetched: int) -> Iterator[tuple[str, Sequence[float]]]:
    """Yield each scenario with the values of :meth:`Scraped.scrape`."""
    scraped = Scraped(fetched)
    for accepted in ("identity", "gzip"):
        name = "plain" if accepted == "identity" else accepted
        scraped.check()
        yield f"{name}, first", scraped.scrape(accepted)
        several = []
        for _ in range(WARM):
            scraped.check()
            several.append(scraped.scrape(accepted))
        yield f"{name}, next", [statistics.median(values) for values in zip(*several, strict=True)]
    scraped.client.stdin.close()
    scraped.client.wait()


class Scraped:
    """The endpoints of a daemon with many monitors; ``fetched`` services have ProxyFetch as well."""

    def __init__(self, fetched: int) -> None:
        from twisted.internet.epollreactor import EPollReactor  # noqa: PLC0415  # only in the process that measures
        from twisted.internet.task import Clock  # noqa: PLC0415

        from pybal.checks.engine import Engine  # noqa: PLC0415
        from pybal.core.model import IPProtocol, Service  # noqa: PLC0415
        from pybal.monitors.idleconnection import IdleConnectionSettings  # noqa: PLC0415
        from pybal.monitors.kinds import prepare  # noqa: PLC0415
        from pybal.monitors.proxyfetch import ProxyFetchSettings  # noqa: PLC0415
        from pybal.runtime.file_values import inline  # noqa: PLC0415
        from pybal.status.listener import StatusFactory, bound, serve  # noqa: PLC0415
        from tests.harness.snapshots import pool, server, snapshot, status  # noqa: PLC0415

        clock: Any = Clock()
        engine, self.random = Engine(clock), Random(1)
        kinds = (IdleConnectionSettings(), ProxyFetchSettings(urls=("http://www.example.org/",)))
        pools = []
        self.monitors: list[tuple[str, str, Any]] = []
        for number in range(SERVICES):
            vip = ip_address(f"10.2.{number}.1")
            service = Service(f"s{number}", IPProtocol.TCP, vip, 80, "mh", monitors=("IdleConnection", "ProxyFetch"))
            factories = [
                prepare(kind, service, engine=engine, random=self.random, files=inline(clock))
                for kind in kinds[: 1 + (number < fetched)]
            ]
            hosts = [f"127.1.{number}.{host + 1}" for host in range(SERVERS)]
            pools.append(pool(service.name, *map(server, hosts)))
            self.monitors += [
                (service.name, host, factory.monitor(host, ip_address(host), lambda _: None))
                for host in hosts
                for factory in factories
            ]
        self.reactor: Any = EPollReactor()
        site = StatusFactory(status(self.reactor, snapshot(*pools), self.monitors), self.reactor)
        port: Any = serve(self.reactor, site, bound(ip_address("127.0.0.1"), 0))
        self.port = port.getHost().port
        self.client: Any = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        gc.collect()
        gc.freeze()

    def check(self) -> None:
        """Let the checks of an interval pass."""
        for _, _, monitor in self.monitors:
            if monitor.name == "ProxyFetch":
                monitor.passed(1.0)
                monitor._seconds[0] = self.random.uniform(0.0005, 0.02)  # noqa: SLF001  # in place of a real check
            elif not monitor.up:
                monitor.passed(1.0)

    def scrape(self, accepted: str) -> Sequence[float]:
        """Return milliseconds of CPU, the longest turn, megabytes of the response and of the process."""
        print(self.port, accepted, file=self.client.stdin, flush=True)
        began, longest = time.process_time(), 0.0
        while not select.select([self.client.stdout], [], [], 0)[0]:
            turn = time.process_time()
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(min(0.01, timeout if (timeout := self.reactor.timeout()) is not None else 0.01))
            longest = max(longest, time.process_time() - turn)
        cpu = time.process_time() - began
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        return cpu * 1e3, longest * 1e3, int(self.client.stdout.readline()) / 1e6, memory


if __name__ == "__main__":
    main(sys.argv[1:])
