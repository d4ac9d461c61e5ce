"""Facts for the status page: 116 services of 95 servers that are healthy, degraded, or all down.

``python -m tests.harness.page_story DIRECTORY`` writes the pages and their files there, to be looked at in a browser.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict
from pybal.checks.result import FAILED, NEVER, PASSED, Phase, Result
from pybal.config.settings import PeerSettings
from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.core.model import (
    Alert,
    AlertKey,
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
from pybal.ipvs.audit import Findings, Reading
from pybal.ipvs.model import ServiceKey, Traffic, key_of
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks
from pybal.status.bgp import BGP
from pybal.status.page import overview, pool
from pybal.status.page import server as server_page
from pybal.status.page.facts import Balancer, Facts
from tests.harness.snapshots import CountingMonitor

NOW = 4_000_000.0
"""The monotonic time of the facts."""
CLOCKS = Clocks(NOW, datetime(2026, 11, 29, 10, 2, 14, tzinfo=UTC))
MONITORS = ("ProxyFetch", "IdleConnection")
REFUSED = "connect: connection refused"
SILENT = "connect: no response for 3 s"
BAD = "status: HTTP 503, wanted 200"

BASES = [
    "text-https",
    "text-http",
    "upload-https",
    "upload-http",
    "maps-tiles",
    "mail-submission",
    "mail-imap",
    "dns-auth",
    "dns-recursor",
    "api-gateway",
    "search-https",
    "search-data",
    "wiki-render",
    "wiki-jobs",
    "thumbs-https",
    "video-https",
    "video-rtmp",
    "cache-misc",
    "git-https",
    "git-ssh",
    "review-https",
    "ci-https",
    "registry-https",
    "packages-https",
    "docs-https",
    "status-https",
    "login-https",
    "oauth-https",
    "ldap-ro",
    "ldap-rw",
    "kafka-main",
    "kafka-logging",
    "logs-ingest",
    "metrics-write",
    "metrics-read",
    "alerts-https",
    "grafana-https",
    "push-https",
    "events-https",
    "stream-https",
    "chat-https",
    "phab-https",
    "tickets-https",
    "lists-https",
    "analytics-https",
    "druid-query",
    "presto-query",
    "ntp-pool",
    "irc-tls",
    "swift-proxy",
    "object-store",
    "rest-api",
    "rest-base",
    "graph-ql",
    "ores-score",
    "translate-https",
    "etherpad-https",
    "people-https",
]


@dataclass(frozen=True, slots=True)
class Listing:
    """The state of a pool source, as :class:`pybal.sources.pool_source.PoolSource` reports it."""

    name: str
    problem: str | None = None
    stale: bool = False
    last_success: float | None = NOW - 9
    last_change: float | None = NOW - 500_000
    age: float = 9.0
    errors: Mapping[str, int] = field(default_factory=dict)
    differences: int = 0
    refused: tuple[Member, ...] | None = None


def server(
    host: str,
    number: int,
    health: Health = Health.UP,
    placement: Placement = Placement.POOLED,
    *,
    reason: str = REFUSED,
    weight: int = 10,
    enabled: bool = True,
    overridden: bool = False,
    suspect: bool = False,
    since: float = NOW - 1260,
) -> Server:
    """Return a server that two monitors watch; the first one reports ``reason`` if it is down."""
    first = {
        Health.UP: Report(True, at=NOW - 3_542_400),
        Health.DOWN: Report(False, reason, at=since, cause=reason),
        Health.UNKNOWN: None,
    }[health]
    return Server(
        Member(host, weight, enabled, overridden),
        MappingProxyType({MONITORS[0]: first, MONITORS[1]: Report(True, at=NOW - 3_542_400)}),
        ip_address(f"198.51.{100 + number // 250}.{number % 250 + 1}"),
        placement=placement,
        suspect_failures=frozenset({(MONITORS[0], reason)}) if suspect else frozenset(),
    )


def service(name: str, number: int, threshold: float = 0.5) -> Service:
    vip = ip_address(f"192.0.2.{number // 2 + 1}" if number % 2 == 0 else f"2001:db8::{number // 2 + 1:x}")
    return Service(name, IPProtocol.TCP, vip, 443, "mh", ("mh-port",), depool_threshold=threshold, monitors=MONITORS)


def names() -> list[str]:
    """Return the names of 116 services: each base for IPv4 and for IPv6."""
    return [f"{base}{suffix}" for base in BASES for suffix in ("", "6")]


def plain(name: str, number: int, size: int = 95) -> Pool:
    """Return a pool whose servers all serve."""
    return Pool(
        service(name, number),
        Servers({host: server(host, i) for i in range(size) for host in [f"cp{3001 + i}.example.org"]}),
        listed=True,
    )


def rack_lost() -> Pool:
    """Return the pool of the drawings: 250 servers, a rack of which does not respond; ten are forced."""
    forced = (31, 32, 33, 34, 37, 38, 40, 41, 44, 47)
    down = [n for n in range(25, 73) if n not in forced] + [90, 117, 118, 144, 163, 187, 204, 231]
    servers = []
    for n in range(1, 251):
        host = f"cp{3000 + n}.example.org"
        reason = SILENT if 25 <= n < 73 and n % 8 else BAD
        if n in forced:
            servers.append(server(host, n, Health.DOWN, Placement.FORCED, reason=reason))
        elif n in down:
            servers.append(server(host, n, Health.DOWN, Placement.OUT, reason=reason, since=NOW - 1280))
        elif n in (12, 249):
            servers.append(server(host, n, Health.UNKNOWN))
        elif n in (77, 78):
            servers.append(server(host, n, placement=Placement.OUT, enabled=False, overridden=n == 77))
        elif n in (200, 201):
            servers.append(server(host, n, weight=0))
        elif n == 150:
            servers.append(server(host, n, Health.DOWN, reason="body: did not match", suspect=True))
        else:
            servers.append(server(host, n))
    return Pool(service("text-https", 0, 0.8), Servers({s.host: s for s in servers}), listed=True)


def all_out(name: str, number: int, size: int) -> Pool:
    """Return a pool whose servers are down and depooled, because its threshold is 0."""
    servers = [server(f"map{i}", i, Health.DOWN, Placement.OUT, since=NOW - 1080) for i in range(size)]
    return Pool(service(name, number, 0.0), Servers({s.host: s for s in servers}), listed=True)


def some_down(name: str, number: int, size: int, down: int, reason: str = REFUSED) -> Pool:
    """Return a pool of which the first servers are down and depooled."""
    servers = [
        server(f"cp{4001 + i}.example.org", i, Health.DOWN, Placement.OUT, reason=reason)
        if i < down
        else server(f"cp{4001 + i}.example.org", i)
        for i in range(size)
    ]
    return Pool(service(name, number), Servers({s.host: s for s in servers}), listed=True)


def dead(name: str, number: int, size: int = 95) -> Pool:
    """Return a pool whose servers are all down: half of them are forced."""
    servers = [
        server(
            f"cp{3001 + i}.example.org",
            i,
            Health.DOWN,
            Placement.FORCED if i < (size + 1) // 2 else Placement.OUT,
            reason=SILENT,
            since=NOW - 330,
        )
        for i in range(size)
    ]
    return Pool(service(name, number), Servers({s.host: s for s in servers}), listed=True)


def _bgp(pools: Iterable[Pool], *, one_down: bool = False) -> BGP:
    vips = list(dict.fromkeys(pool.service.vip for pool in pools))
    made = tuple(Announcement(vip, 0) for vip in vips)
    verdicts = tuple(Verdict(vip, Announcement(vip, 0), None, "1 service ready", NOW - 3_000_000) for vip in vips)
    first = Session(
        PeerSettings(ip_address("192.0.2.252"), 64600),
        SessionState.ESTABLISHED,
        NOW - 3_542_400,
        on_wire=made,
        wanted=len(made),
        families=(4, 6),
    )
    second = replace(first, peer=PeerSettings(ip_address("192.0.2.253"), 64600))
    if one_down:
        error = "NOTIFICATION from the peer: hold timer expired (4/0)"
        second = replace(
            second,
            state=SessionState.CONNECT,
            since=NOW - 4,
            on_wire=(),
            families=(),
            last_error=error,
            down_since=NOW - 720,
        )
    return BGP(True, verdicts, (first, second))


def _findings(pools: Iterable[Pool]) -> Findings:
    readings: dict[ServiceKey, Reading] = {}
    for pool_ in pools:
        traffic = [
            ((server.address, pool_.service.port), Traffic(400 + i, 90 + i, 123_456 + i, 9_000_000, 900_000_000))
            for i, server in enumerate(pool_.servers.values())
            if server.pooled and server.address
        ]
        before = [(end, each._replace(connections=each.connections - 495)) for end, each in traffic]
        readings[key_of(pool_.service)] = Reading(None, NOW - 4, (), traffic, before, NOW - 19)
    return Findings(15.0, True, 4.0, "", {}, {}, readings, (), {})


def facts(pools: Iterable[Pool], alerts: Iterable[Alert] = (), **others: Any) -> Facts:
    """Return the facts of a balancer with these pools and further alerts."""
    own = tuple(pools)
    shown = Snapshot(
        MappingProxyType({pool.service.name: pool for pool in own}), MappingProxyType({}), tuple(alerts), _since
    )
    values: dict[str, Any] = {
        "balancer": Balancer(host="lvs3005.example.org", version="2.0.0", started=NOW - 3_553_200),
        "clocks": CLOCKS,
        "snapshot": shown,
        "bgp": _bgp(own),
        "findings": _findings(own),
        "sources": tuple((pool.service.name, Listing(f"etcd://conf3002/{pool.service.name}")) for pool in own),
        "frozen": "",
        "history": lambda _service: PoolHistory(),
        "monitors_of": lambda _service, _host: (),
        "override": lambda _service, _host: "",
    }
    return Facts(**values | others)


def watched() -> tuple[Monitor, ...]:
    """Return the monitors of a server: it became slow, then failed; some checks had no response."""
    fetch = CountingMonitor(MONITORS[0], up=False)
    fetch.next_check = NOW + 3
    for place in range(50):
        at = NOW - 7 - 10 * (49 - place)
        if place in (31, 32, 40):
            result = Result(FAILED, 3.0, Phase.CONNECT, "no response for 3 s", "timeout", (NEVER,) * 4)
        else:
            late = 1.0 if place < 16 else 1 + 0.2 * (place - 16)
            steps = (0.0004, 0.0035, 0.0035 + 0.01 * min(late, 2.4), 0.0037 + 0.01 * min(late, 2.4))
            failing = place >= 23
            phase = Phase.STATUS if failing else Phase.BODY
            reason, cause = ("HTTP 503, wanted 200", "HTTP 503") if failing else ("", "")
            result = Result(FAILED if failing else PASSED, steps[3] + 0.001, phase, reason, cause, steps, 162)
        fetch.past.append(PastResult(at, result, follow_up=place == 24))
    held = CountingMonitor(MONITORS[1], up=True)
    held.next_check = inf
    held.past.append(PastResult(NOW - 24_540, Result(PASSED, 0.0004, Phase.CONNECT, steps=(0.0004,))))
    return fetch, held


def _since(key: AlertKey) -> float:
    return NOW - {"pooled-down": 1267, "no-servers": 3012, "down": 7200}.get(key.kind, 2046)


@cache
def healthy() -> Facts:
    """Return the facts of a balancer without alerts."""
    return facts(plain(name, number) for number, name in enumerate(names()))


@cache
def degraded() -> Facts:
    """Return the facts of the drawings: two dead services, one with forced servers, six degraded ones."""
    pools = {name: plain(name, number) for number, name in enumerate(names())}
    number = {name: place for place, name in enumerate(pools)}
    pools["text-https"] = rack_lost()
    pools["maps-tiles"] = all_out("maps-tiles", number["maps-tiles"], 8)
    pools["mail-submission"] = Pool(service("mail-submission", number["mail-submission"]))
    for name, size, down, reason in (
        ("search-https", 60, 14, BAD),
        ("upload-https", 180, 3, REFUSED),
        ("upload-https6", 180, 3, REFUSED),
        ("dns-auth", 6, 1, "query: no answer for 2 s"),
    ):
        pools[name] = some_down(name, number[name], size, down, reason)
    waiting = "pools/mail-submission: file does not exist"
    stale = "etcd://conf3001/search: no response from 192.0.2.211:2379; keeping the last list (60 servers)"
    alerts = (
        Alert("mail-submission", "source", waiting, since=NOW - 3000),
        Alert("search-https", "source", stale, since=NOW - 2040),
        Alert(
            "",
            "bgp",
            "peer 192.0.2.253 down (CONNECT): NOTIFICATION from the peer: hold timer expired (4/0)",
            subject="192.0.2.253",
            since=NOW - 720,
        ),
        Alert("cache-misc", "depooled", "cp3090 depooled by alice for another 58 min: disk", since=NOW - 3700),
    )
    sources = [(name, Listing(f"etcd://conf3002/{name}")) for name in pools]
    sources[number["mail-submission"]] = (
        "mail-submission",
        Listing("pools/mail-submission", waiting, last_success=None, last_change=None, age=3000),
    )
    sources[number["search-https"]] = (
        "search-https",
        Listing("etcd://conf3001/search", stale, last_success=NOW - 2040, age=2040),
    )
    history = PoolHistory()
    named = [f"cp{3042 + i}.example.org" for i in range(29)]
    for ago, verb, hosts, reason in (
        (24_574, "depooled", ["cp3031.example.org"], "idle: connection closed by the server"),
        (24_544, "pooled", ["cp3031.example.org"], "passed"),
        (1280, "depooled", named, SILENT),
        (267, "kept", ["cp3031.example.org", *named[:3]], SILENT),
        (40, "pooled", ["cp3012.example.org"], "not checked yet"),
    ):
        history.decide(
            Decision.of(
                NOW - ago,
                verb,
                [(host, f"down: ProxyFetch {reason}") for host in hosts],
                "serving 193 of 250, floor 200",
            )
        )
    return facts(
        pools.values(),
        alerts,
        bgp=_bgp(pools.values(), one_down=True),
        sources=sources,
        history=lambda _service: history,
        monitors_of=lambda _service, _host: watched(),
    )


@cache
def all_down() -> Facts:
    """Return the facts of a balancer whose 11,020 servers are all down."""
    pools = [dead(name, number) for number, name in enumerate(names())]
    text = "No response from any of 11,020 servers in 116 services for 330 s; this balancer may be isolated"
    alert = Alert("", "checker", text, subject="isolated", since=NOW - 334)
    return facts(pools, [alert])


STORIES = {"healthy": healthy, "degraded": degraded, "down": all_down}
STATIC = ("style.css", "page.js")


def main(directory: Path) -> None:
    """Write the views of each story below ``directory``."""
    page = Path(overview.__file__).parent
    (directory / "page").mkdir(parents=True, exist_ok=True)
    for name in STATIC:
        (directory / "page" / name).write_bytes((page / name).read_bytes())
    for name, story in STORIES.items():
        for view, text in views(story):
            (directory / f"{name}{view}.html").write_text(text)


def views(story: Callable[[], Facts]) -> Iterator[tuple[str, str]]:
    """Yield the overview, a pool and a server of a story."""
    yield "", "".join(overview.overview(story()))
    shown = story()
    own = shown.snapshot.pools["text-https"]
    yield "-pool", "".join(pool.pool_view(shown, own))
    shown = story()
    yield "-server", "".join(server_page.server_view(shown, own, own.servers["cp3031.example.org"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
