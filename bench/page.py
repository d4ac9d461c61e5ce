"""The status page of 116 services: bytes, CPU and longest turn of each view.

The servers are healthy, or some or all of them are down. The longest turn is that of the listener while 50 viewers load the view.
"""

from __future__ import annotations

import gc
import gzip
import time
from collections.abc import Iterator
from dataclasses import replace

from pybal.status.page.facts import Facts
from pybal.status.page.overview import overview
from pybal.status.page.pool import pool_view
from pybal.status.page.server import server_view
from tests.harness import page_story
from tests.harness.snapshots import status
from tests.harness.status_client import Client, factory
from tests.harness.turning_clock import TurningClock

VIEWERS = 50
ROUNDS = 5
POOL, HOST = "text-https", "cp3031.example.org"
PATHS = {"": "/", "-pool": f"/page/pools/{POOL}", "-server": f"/page/pools/{POOL}/{HOST}"}


def main() -> None:
    """Print a line for each view of each story."""
    stories = {name: story() for name, story in page_story.STORIES.items()}
    gc.collect()
    gc.freeze()
    for name, facts in stories.items():
        for view, path in PATHS.items():
            cpu, page = min(render(facts, view) for _ in range(ROUNDS))
            print(
                f"  {name + view:16} {len(page) / 1000:5.1f} kB, {len(gzip.compress(page)) / 1000:4.1f} kB compressed,"
                f" {1000 * cpu:4.1f} ms of CPU, longest turn {1000 * longest_turn(facts, path):3.1f} ms",
                flush=True,
            )


def render(facts: Facts, view: str) -> tuple[float, bytes]:
    """Return the seconds of CPU of a view, and its bytes."""
    begun = time.thread_time()
    page = "".join(pieces(facts, view)).encode()
    return time.thread_time() - begun, page


def pieces(facts: Facts, view: str) -> Iterator[str]:
    """Return the pieces of a view."""
    pool = facts.snapshot.pools[POOL]
    if not view:
        return overview(facts)
    return pool_view(facts, pool) if view == "-pool" else server_view(facts, pool, pool.servers[HOST])


def longest_turn(facts: Facts, path: str) -> float:
    """Return the CPU of the longest turn while many clients load a view, in seconds."""
    clock = TurningClock()
    routes = replace(
        status(clock, facts.snapshot),
        bgp=lambda: facts.bgp,
        audit=lambda: facts.findings,
        sources=lambda: facts.sources,
    )
    listener = factory(clock, routes)
    clients = [Client(listener) for _ in range(VIEWERS)]
    for client in clients:
        client.begin(f"GET {path} HTTP/1.1\nHost: localhost\nAccept-Encoding: gzip\n\n")
    clock.settle()
    for client in clients:
        client.hang_up()
    return clock.longest
