"""The whole scrape equals the rendering of the same values by prometheus_client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from platform import python_version

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock

from pybal.bgp.model import Session, SessionState
from pybal.config.settings import PeerSettings
from pybal.core.model import Snapshot
from pybal.monitors.base import Labels, Monitor
from pybal.status import alerts
from pybal.status.bgp import BGP
from pybal.status.compat115 import tally
from pybal.status.metrics import PIECE, Exposition, Family
from pybal.status.process import ProcessCollector, process_registry
from pybal.status.routes import Routes
from tests.harness.samples import Sample, samples_of
from tests.harness.snapshots import DOWN, FORCED, OUT, UNKNOWN, CountingMonitor, pool, server, snapshot, status

Parsed = dict[str, tuple[str, set[tuple[str, frozenset[tuple[str, str]], float]]]]

DURATION = "pybal_monitor_proxyfetch_request_duration_seconds"
STATE_COUNT = "pybal_bgp_session_state_count"
SHOWN = snapshot(
    pool("web", server("a"), server("b", DOWN, FORCED), server("c", UNKNOWN, OUT), threshold=0.66),
    pool('odd "name" \\ \n', server('h"\\\n')),
    web=7,
)
MONITORS: list[tuple[str, str, Monitor]] = [
    ("web", "a", CountingMonitor("ProxyFetch", True, 3, [Sample(DURATION, (("url", 'http://x/"\\'),), 0.25)])),
    ("web", "b", CountingMonitor("ProxyFetch", False, 10**7)),
    ('odd "name" \\ \n', 'h"\\\n', CountingMonitor("IdleConnection")),
]
SERIES: list[tuple[Labels, float]] = [((("service", f"s{n}"), ("kind", 'a"b')), n / 7) for n in range(3 * PIECE)]
LARGE = Family("pybal_large_total", "counter", "A family with many series", SERIES)
SMALL = Family("pybal_small", "gauge", "A family with \\ and \n in its help", SERIES[:5])
EMPTY = Family("pybal_empty_total", "counter", "A family without series", ())
PEER = PeerSettings(ip_address("192.0.2.251"), 64600, 64601)
SESSIONS = BGP(enabled=True, sessions=(Session(PEER, SessionState.IDLE),))


def scrape(routes: Routes) -> str:
    body = routes.answer(b"/metrics", as_json=False).body
    return (body if isinstance(body, bytes) else b"".join(body)).decode()


def rendered(*families: Family) -> str:
    return b"".join(Exposition().pieces(snapshot(), (), families)).decode()


def parsed(text: str) -> Parsed:
    """Return type and samples of each family with samples, without the creation times of counters."""
    return {
        family.name: (family.type, {(each.name, frozenset(each.labels.items()), each.value) for each in family.samples})
        for family in text_string_to_metric_families(text)
        if family.samples and not family.name.endswith("_created")
    }


def set_services(registry: CollectorRegistry, shown: Snapshot) -> None:
    """Set the metrics of services, with the metric objects of prometheus_client."""
    facts = {
        "servers": "total",
        "servers_enabled": "enabled",
        "servers_up": "up",
        "servers_unknown": "unknown",
        "servers_down": "down",
        "servers_serving": "serving",
        "servers_pooled": "pooled",
        "servers_forced": "forced",
        "pooled_down_servers": "pooled_down",
        "floor": "floor",
        "can_depool": "can_depool",
        "depool_threshold": "threshold",
    }
    gauges = {fact: Gauge(f"pybal_service_{name}", "x", ["service"], registry=registry) for name, fact in facts.items()}
    kept = Counter("pybal_service_could_not_depool_total", "x", ["service"], registry=registry)
    for name, each in shown.pools.items():
        for fact, gauge in gauges.items():
            gauge.labels(service=name).set(getattr(tally(each), fact))
        kept.labels(service=name).inc(shown.could_not_depool.get(name, 0))


def set_servers(registry: CollectorRegistry, shown: Snapshot) -> None:
    """Set the metrics of servers, with the metric objects of prometheus_client."""
    pooled = Gauge("pybal_server_pooled", "x", ["service", "host"], registry=registry)
    forced = Gauge("pybal_server_forced", "x", ["service", "host"], registry=registry)
    for service, each in shown.pools.items():
        for host, found in each.servers.items():
            pooled.labels(service=service, host=host).set(found.pooled)
            if found.placement is FORCED:
                forced.labels(service=service, host=host).set(1)


def set_monitors(registry: CollectorRegistry, monitors: Iterable[tuple[str, str, Monitor]]) -> None:
    """Set the metrics of monitors, with the metric objects of prometheus_client."""
    names = ["service", "host", "monitor"]
    counters = {
        name: Counter(f"pybal_monitor_{name}_total", "x", names, registry=registry)
        for name in ("up_transitions", "down_transitions", "up_results", "down_results")
    }
    state = Gauge("pybal_monitor_status", "x", names, registry=registry)
    duration = Gauge(DURATION, "x", [*names, "url"], registry=registry)
    for service, host, monitor in monitors:
        labels = (service, host, monitor.name)
        state.labels(*labels).set(bool(monitor.up))
        for name, counter in counters.items():
            counter.labels(*labels).inc(getattr(monitor, name))
        for sample in samples_of(monitor):
            duration.labels(*labels, *(value for _, value in sample.labels)).set(sample.value)


class FamilyCollector:
    """Families as a collector of prometheus_client."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._metrics = [family.metric() for family in families]

    def collect(self) -> Iterable[object]:
        return self._metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry whose values do not change between two scrapes."""
    registry = CollectorRegistry()
    Gauge("process_open_fds", "Open file descriptors", registry=registry).set(7)
    return registry


def test_scrape_equals_the_rendering_of_prometheus_client(registry: CollectorRegistry) -> None:
    families = (LARGE, SMALL, EMPTY)
    routes = replace(status(Clock(), SHOWN, MONITORS), families=lambda: families, registry=registry)
    text = scrape(routes)
    # The families of BGP and of the configuration are the same in both.
    others = scrape(replace(routes, snapshot=snapshot, monitors=tuple, families=tuple, registry=CollectorRegistry()))
    set_services(registry, SHOWN)
    set_servers(registry, SHOWN)
    registry.register(FamilyCollector(each for each in alerts.families(alerts.alerts(SHOWN)) if each))  # type: ignore[arg-type]  # its metrics are those of the library
    set_monitors(registry, MONITORS)
    registry.register(FamilyCollector(families))  # type: ignore[arg-type]  # its metrics are those of the library
    assert parsed(text) == parsed(generate_latest(registry).decode()) | parsed(others)
    headers = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(headers) == len(set(headers))


def test_families_have_the_same_text_in_slices_as_from_prometheus_client() -> None:
    for family in (LARGE, Family("pybal_large", "gauge", "x", [((), 1.5)] * (PIECE + 1))):
        theirs = CollectorRegistry()
        theirs.register(FamilyCollector([family]))  # type: ignore[arg-type]  # its metrics are those of the library
        assert parsed(rendered(family)) == parsed(generate_latest(theirs).decode())
    pieces = list(Exposition().pieces(snapshot(), (), [LARGE]))
    assert max(piece.count(b"\n") for piece in pieces) <= PIECE


def test_sessions_are_a_gauge_of_their_state_as_in_pybal115() -> None:
    text = scrape(replace(status(Clock()), bgp=lambda: SESSIONS))
    assert f"# TYPE {STATE_COUNT} gauge\n" in text
    values = re.findall(rf'^{STATE_COUNT}{{.*,state="(\w+)"}} (.*)$', text, re.MULTILINE)
    assert [state for state, value in values if value == "1.0"] == ["IDLE"]
    assert {value for _, value in values} == {"0.0", "1.0"}


def test_label_that_is_not_utf8_leaves_the_scrape_readable() -> None:
    assert rendered(Family("pybal_small", "gauge", "x", [((("service", "a\udcff"),), 1)])).endswith(
        'pybal_small{service="a\\\\udcff"} 1.0\n'
    )


def test_build_info_has_the_versions_of_pybal_and_python() -> None:
    line = f'pybal_build_info{{python_version="{python_version()}",version="{version("pybal")}"}} 1.0\n'
    assert f"# TYPE pybal_build_info gauge\n{line}" in scrape(status(Clock()))


def test_garbage_collector_is_counted_by_generation() -> None:
    text = scrape(status(Clock()))
    for generation in (0, 1, 2):
        assert f'\npython_gc_collections_total{{generation="{generation}"}} ' in text


def test_open_descriptors_are_counted() -> None:
    before = parsed(generate_latest(process_registry()).decode())["process_open_fds"]
    held = [os.dup(0) for _ in range(50)]
    after = parsed(generate_latest(process_registry()).decode())["process_open_fds"]
    for descriptor in held:
        os.close(descriptor)
    ((_, _, few),) = before[1]
    ((_, _, many),) = after[1]
    assert many - few == 50


def test_process_metrics_are_absent_without_proc(tmp_path: Path) -> None:
    assert list(ProcessCollector(tmp_path).collect()) == []


def test_global_registry_has_no_metric_of_pybal() -> None:
    scrape(status(Clock(), SHOWN, MONITORS))
    assert "pybal_" not in generate_latest(REGISTRY).decode()
