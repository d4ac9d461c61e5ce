"""CPU time of each turn for every large path, at 116 services and 11,020 servers."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address

import pytest

from pybal.core.model import Snapshot
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.model import TCP, Destination, Key, TableEntry, VirtualService
from pybal.monitors.base import Monitor
from tests.harness.page_story import all_down
from tests.harness.snapshots import large, status
from tests.harness.status_client import Client, factory
from tests.harness.turning_clock import TurningClock

LONGEST = 0.05
"""Seconds of CPU time that one turn may take."""


@cache
def state() -> tuple[Snapshot, list[tuple[str, str, Monitor]], MemoryBackend]:
    table = {}
    for number in range(116):
        service = VirtualService(Key(TCP, IPv4Address(f"10.3.0.{number}"), 80), "wrr")
        servers = [Destination(IPv4Address(f"10.1.{number}.{host}"), 80, 1) for host in range(1, 96)]
        table[service.key] = TableEntry(service, {each.endpoint: each for each in servers})
    return *large(), MemoryBackend(table)


@pytest.fixture(autouse=True)
def frozen_heap() -> Iterator[None]:
    """Keep the state of the test out of garbage collections, as the daemon does with its own."""
    state()
    all_down()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
@pytest.mark.parametrize(
    "path",
    ["/alerts", "/pools/svc7", "/v1/alerts", "/v1/pools", "/v1/pools/svc7", "/v1/ipvs", "/", "/page/pools/svc7"],
)
def test_120_clients_of_one_path_never_hold_a_turn(path: str, accept: str) -> None:
    shown, monitors, backend = state()
    clock = TurningClock()
    listener = factory(clock, replace(status(clock, shown, monitors), ipvs=lambda: backend))
    clients = [Client(listener) for _ in range(120)]
    for client in clients:
        client.begin(f"GET {path} HTTP/1.1\nHost: localhost\nAccept: {accept}\n\n")
    clock.settle()
    assert all(client.received().startswith(b"HTTP/1.1 200") for client in clients)
    assert clock.longest < LONGEST
    for client in clients:
        client.hang_up()


@pytest.mark.parametrize("path", ["/", "/v1/ipvs", "/metrics"])
def test_pipelined_requests_of_one_client_never_hold_a_turn(path: str) -> None:
    shown, monitors, backend = state()
    clock = TurningClock()
    client = Client(factory(clock, replace(status(clock, shown, monitors), ipvs=lambda: backend)))
    client.begin(f"GET {path} HTTP/1.1\nHost: localhost\n\n" * 3)
    clock.settle()
    assert client.received().count(b"HTTP/1.1 200") == 3
    assert clock.longest < LONGEST
    client.hang_up()


@pytest.mark.parametrize("path", ["/", "/page/pools/text-https", "/page/pools/text-https/cp3001.example.org"])
def test_views_of_11020_servers_down_never_hold_a_turn(path: str) -> None:
    shown = all_down()
    clock = TurningClock()
    routes = replace(
        status(clock, shown.snapshot),
        bgp=lambda: shown.bgp,
        audit=lambda: shown.findings,
        sources=lambda: shown.sources,
    )
    listener = factory(clock, routes)
    clients = [Client(listener) for _ in range(120)]
    for client in clients:
        client.begin(f"GET {path} HTTP/1.1\nHost: localhost\nAccept-Encoding: gzip\n\n")
    clock.settle()
    assert all(client.received().startswith(b"HTTP/1.1 200") for client in clients)
    assert clock.longest < LONGEST
    for client in clients:
        client.hang_up()


def test_small_answer_waits_few_turns_beside_large_ones() -> None:
    shown, monitors, backend = state()
    clock = TurningClock()
    listener = factory(clock, replace(status(clock, shown, monitors), ipvs=lambda: backend))
    busy = [Client(listener) for _ in range(20)]
    for client, path in zip(busy, ["/metrics", "/", "/v1/ipvs", "/v1/pools"] * 5, strict=True):
        client.begin(f"GET {path} HTTP/1.1\nHost: localhost\n\n")
    for _ in range(5):
        clock.turn()
    asking = Client(listener)
    asking.begin("GET /pools/svc7/cp7-9.example.org HTTP/1.1\nHost: localhost\n\n")
    for _ in range(3):
        clock.turn()
    assert asking.received().endswith(b"enabled/up/pooled\n")
    for client in (*busy, asking):
        client.hang_up()
