"""Pools and monitors for the tests of pybal.status."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_address
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IReactorTime

from pybal.core.history import PoolHistory
from pybal.core.model import (
    Alert,
    Health,
    IPProtocol,
    Member,
    Placement,
    Pool,
    Report,
    Server,
    Servers,
    Service,
    Snapshot,
)
from pybal.ipvs.audit import Findings
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.model import TCP, Key, TableEntry, VirtualService
from pybal.monitors.base import Monitor, PastResult, Samples
from pybal.reload.render import Configuration
from pybal.runtime.held import Held
from pybal.status.json_pieces import LargeJSON, pieces
from pybal.status.routes import RouteResponse, Routes
from tests.harness.samples import Sample, grouped

UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
OUT, POOLED, FORCED = Placement.OUT, Placement.POOLED, Placement.FORCED


def server(
    host: str,
    health: Health = UP,
    placement: Placement = POOLED,
    *,
    weight: int = 10,
    enabled: bool = True,
    address: str | None = "10.0.0.1",
    reason: str = "status: HTTP 500, wanted 200",
) -> Server:
    """Return a server with one monitor, ProxyFetch, which last reported at 100.0 seconds."""
    report = {UP: Report(True, at=100.0), DOWN: Report(False, reason, at=100.0), UNKNOWN: None}[health]
    return Server(
        Member(host, weight, enabled),
        MappingProxyType({"ProxyFetch": report}),
        None if address is None else ip_address(address),
        placement=placement,
    )


def pool(name: str, *servers: Server, threshold: float = 0.5, vip: str = "10.2.2.1", port: int = 80) -> Pool:
    service = Service(
        name, IPProtocol.TCP, ip_address(vip), port, "wrr", depool_threshold=threshold, monitors=("ProxyFetch",)
    )
    return Pool(service, Servers({s.host: s for s in servers}), listed=True)


def snapshot(*pools: Pool, alerts: Iterable[Alert] = (), **could_not_depool: int) -> Snapshot:
    return Snapshot(
        MappingProxyType({p.service.name: p for p in pools}), MappingProxyType(could_not_depool), tuple(alerts)
    )


HEALTHY = snapshot(pool("web", server("a"), server("b"), server("c")))
SMALL = snapshot(
    pool("web", server("a"), server("b"), threshold=0.66), pool("api", server("c"), server("d"), threshold=1)
)
SICK = snapshot(
    pool("tiny", server("t"), server("u"), threshold=0.9),
    pool("web", server("a", DOWN, FORCED), server("b", DOWN, FORCED), server("c", DOWN, OUT), server("d", UNKNOWN)),
    pool("fine", server("e"), server("f"), server("g")),
    pool("api", server("h", DOWN, FORCED)),
)


class CountingMonitor:
    """A monitor without checks, with the given counters."""

    def __init__(self, name: str, up: bool | None = None, count: int = 0, samples: Iterable[Sample] = ()) -> None:
        self.name = name
        self.up = up
        self.up_results = count
        self.down_results = count + 1
        self.up_transitions = count + 2
        self.down_transitions = count + 3
        self._samples = grouped(samples)
        self.past: list[PastResult] = []
        self.shared_by: list[str] = []

    passed_at = 0.0
    decided_at = -math.inf
    patience = 30.0
    next_check = 103.0
    needed = 1

    def samples(self) -> Samples:
        return self._samples

    def history(self) -> Iterable[PastResult]:
        return self.past

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def set_urgent(self, urgent: bool) -> None: ...


_WEB = VirtualService(Key(TCP, IPv4Address("10.2.2.1"), 80), "wrr")
_IPVS = MappingProxyType({_WEB.key: TableEntry(_WEB)})
WALL = datetime(2026, 11, 20, 12, tzinfo=UTC)


def status(
    clock: IReactorTime,
    shown: Snapshot = HEALTHY,
    monitors: Iterable[tuple[str, str, Monitor]] = (),
    history: PoolHistory | None = None,
) -> Routes:
    past = history or PoolHistory()
    return Routes(
        clock=clock,
        snapshot=lambda: shown,
        held=Held(),
        monitors=lambda: monitors,
        ipvs=lambda: MemoryBackend(_IPVS),
        audit=lambda: Findings(15.0, True, 3.0, "", {}, {}, {}, (), {}),
        history=lambda _service: past,
        monitors_of=lambda service, host: [m for s, h, m in monitors if (s, h) == (service, host)],
        in_effect=lambda service, host: shown.pools[service].servers.get(host),
        wall=lambda: WALL,
        configuration=lambda: Configuration("/etc/pybal/pybal.conf", "5ca1e", "5ca1e", 50.0),
    )


def large(pools: int = 116, servers: int = 95) -> tuple[Snapshot, list[tuple[str, str, Monitor]]]:
    """Return the pools of the largest public deployment, and a monitor with samples for each server."""
    shown = snapshot(
        *(pool(f"svc{p}", *(server(f"cp{p}-{i}.example.org") for i in range(servers))) for p in range(pools))
    )
    duration = "pybal_monitor_proxyfetch_request_duration_seconds"
    labels = (("result", "successful"), ("url", "https://check.example.org/"))
    monitors: list[tuple[str, str, Monitor]] = [
        (name, host, CountingMonitor("ProxyFetch", up=True, samples=[Sample(duration, labels, 0.001)]))
        for name, each in shown.pools.items()
        for host in each.servers
    ]
    return shown, monitors


def document(value: LargeJSON) -> Any:
    """Return the document that a client reads."""
    return json.loads("".join(pieces(value)))


def whole(answer: RouteResponse) -> bytes:
    """Return the whole body of a response."""
    return answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
