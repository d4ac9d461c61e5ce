"""The exposition equals the rendering of prometheus_client for the same values."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pybal.core.model import Snapshot
from pybal.monitors.base import Monitor, Samples, Series
from pybal.status.metrics import PIECE, Exposition, Family
from pybal.status.process import process_registry
from tests.harness import golden
from tests.harness.metrics_page import METRICS
from tests.harness.samples import Sample, samples_of
from tests.harness.snapshots import DOWN, FORCED, OUT, UNKNOWN, CountingMonitor, large, pool, server, snapshot

Watched = list[tuple[str, str, Monitor]]
Parsed = dict[str, tuple[str, set[tuple[str, frozenset[tuple[str, str]], float]]]]

DURATION = "pybal_monitor_proxyfetch_request_duration_seconds"
FAILED = "pybal_monitor_idleconnection_connections_failed_total"
LOST = "pybal_monitor_idleconnection_connections_lost_total"


def rendered(shown: Snapshot, monitors: Watched = [], families: Iterable[Family] = ()) -> str:  # noqa: B006  # only read
    return b"".join(Exposition().pieces(shown, monitors, families)).decode()


def parsed(text: str) -> Parsed:
    """Return the families with series; prometheus_client also writes the headers of empty ones."""
    return {
        family.name: (
            family.type,
            {(sample.name, frozenset(sample.labels.items()), float(sample.value)) for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
        if family.samples
    }


class Reference(Collector):
    """The metrics as families of prometheus_client, counted without optimisation."""

    def __init__(self, shown: Snapshot, monitors: Watched) -> None:
        self.shown = shown
        self.monitors = monitors

    def collect(self) -> Iterator[Metric]:
        yield from self.services()
        yield from self.servers()
        for name, attribute in (
            ("up_transitions", "up_transitions"),
            ("down_transitions", "down_transitions"),
            ("up_results", "up_results"),
            ("down_results", "down_results"),
        ):
            counter = CounterMetricFamily(f"pybal_monitor_{name}", "x", labels=["service", "host", "monitor"])
            for service, host, monitor in self.monitors:
                counter.add_metric([service, host, monitor.name], getattr(monitor, attribute))
            yield counter
        gauge = GaugeMetricFamily("pybal_monitor_status", "x", labels=["service", "host", "monitor"])
        for service, host, monitor in self.monitors:
            gauge.add_metric([service, host, monitor.name], 1 if monitor.up else 0)
        yield gauge
        yield from self.samples()

    def services(self) -> Iterator[Metric]:
        counts: dict[str, Any] = {
            "servers": lambda s: True,
            "servers_enabled": lambda s: s.member.enabled,
            "servers_up": lambda s: all(r and r.up for r in s.reports.values()),
            "servers_unknown": lambda s: None in s.reports.values(),
            "servers_down": lambda s: any(r and not r.up for r in s.reports.values()),
            "servers_serving": lambda s: s.serving,
            "servers_pooled": lambda s: s.placement is not OUT,
            "servers_forced": lambda s: s.placement is FORCED,
            "pooled_down_servers": lambda s: s.placement is not OUT and s.health is DOWN,
        }
        for name, counted in counts.items():
            gauge = GaugeMetricFamily(f"pybal_service_{name}", "x", labels=["service"])
            for service, shown in self.shown.pools.items():
                gauge.add_metric([service], len([s for s in shown.servers.values() if counted(s)]))
            yield gauge
        threshold = GaugeMetricFamily("pybal_service_depool_threshold", "x", labels=["service"])
        kept = CounterMetricFamily("pybal_service_could_not_depool", "x", labels=["service"])
        for service, shown in self.shown.pools.items():
            threshold.add_metric([service], shown.service.depool_threshold)
            kept.add_metric([service], self.shown.could_not_depool.get(service, 0))
        yield from (threshold, kept)

    def servers(self) -> Iterator[Metric]:
        pooled = GaugeMetricFamily("pybal_server_pooled", "x", labels=["service", "host"])
        forced = GaugeMetricFamily("pybal_server_forced", "x", labels=["service", "host"])
        for service, shown in self.shown.pools.items():
            for host, each in shown.servers.items():
                pooled.add_metric([service, host], each.placement is not OUT)
                if each.placement is FORCED:
                    forced.add_metric([service, host], 1)
        yield from (pooled, forced)

    def samples(self) -> Iterator[Metric]:
        duration = GaugeMetricFamily(DURATION, "x", labels=["service", "host", "monitor", "result", "url"])
        lost = CounterMetricFamily(LOST, "x", labels=["service", "host", "monitor", "reason"])
        for service, host, monitor in self.monitors:
            for sample in samples_of(monitor):
                family = lost if sample.metric == LOST else duration
                family.add_metric([service, host, monitor.name, *(v for _, v in sample.labels)], sample.value)
        yield from (duration, lost)


def reference(shown: Snapshot, monitors: Watched) -> str:
    registry = CollectorRegistry()
    registry.register(Reference(shown, monitors))
    return generate_latest(registry).decode()


def without_policy(families: Parsed) -> Parsed:
    """Drop the families that only the policy can provide; the unit tests of the tally cover them."""
    return {n: f for n, f in families.items() if n not in {"pybal_service_floor", "pybal_service_can_depool"}}


EXAMPLE = snapshot(
    pool("web", server("a"), server("b", DOWN, FORCED), server("c", UNKNOWN, OUT), threshold=0.66),
    pool('odd "name" \\ \n', server('h"\\\n')),
    web=7,
)
MONITORS: Watched = [
    (
        "web",
        "a",
        CountingMonitor("ProxyFetch", True, 3, [Sample(DURATION, (("result", "ok"), ("url", 'http://x/"\\')), 0.25)]),
    ),
    ("web", "b", CountingMonitor("IdleConnection", False, 10**7, [Sample(LOST, (("reason", "ConnectionLost"),), 2)])),
    ('odd "name" \\ \n', 'h"\\\n', CountingMonitor("ProxyFetch")),
]


def test_text_parses_equal_to_that_of_prometheus_client() -> None:
    assert without_policy(parsed(rendered(EXAMPLE, MONITORS))) == parsed(reference(EXAMPLE, MONITORS))


def test_series_have_the_labels_of_the_contract() -> None:
    families = parsed(rendered(EXAMPLE, MONITORS))
    labels = {name: {k for _, labels, _ in series for k, _ in labels} for name, (_, series) in families.items()}
    for name in ("servers", "servers_enabled", "servers_up", "servers_pooled", "can_depool", "pooled_down_servers"):
        assert labels[f"pybal_service_{name}"] == {"service"}
    assert labels["pybal_service_depool_threshold"] == labels["pybal_service_could_not_depool"] == {"service"}
    for name in ("status", "up_transitions", "down_transitions", "up_results", "down_results"):
        assert labels[f"pybal_monitor_{name}"] == {"service", "host", "monitor"}
    assert labels[DURATION] == {"service", "host", "monitor", "result", "url"}
    assert labels[LOST.removesuffix("_total")] == {"service", "host", "monitor", "reason"}
    assert families["pybal_service_could_not_depool"][0] == "counter"
    assert families["pybal_service_servers"][0] == "gauge"


def test_monitor_series_match_the_labels_of_the_paging_rule() -> None:
    families = parsed(rendered(EXAMPLE, MONITORS))
    status = {labels: value for _, labels, value in families["pybal_monitor_status"][1]}
    results = {labels: value for _, labels, value in families["pybal_monitor_down_results"][1]}
    assert status.keys() == results.keys()
    assert [dict(labels)["host"] for labels, value in status.items() if value == 0 and results[labels] > 1] == ["b"]


def test_monitor_has_all_its_series_from_the_start() -> None:
    text = rendered(EXAMPLE, [("web", "a", CountingMonitor("ProxyFetch"))])
    labels = '{host="a",monitor="ProxyFetch",service="web"}'
    for line in (f"pybal_monitor_status{labels} 0.0", f"pybal_monitor_up_results_total{labels} 0.0"):
        assert f"\n{line}\n" in text


def test_series_disappear_with_their_monitor() -> None:
    exposition = Exposition()
    shown = 'host="b",monitor="IdleConnection"'
    assert shown in b"".join(exposition.pieces(EXAMPLE, MONITORS)).decode()
    assert shown not in b"".join(exposition.pieces(EXAMPLE, MONITORS[:1])).decode()


def test_cached_labels_are_released_with_their_monitor() -> None:
    class HostName(str):
        """A host name whose release can be observed."""

        __slots__ = ("__weakref__",)

    exposition = Exposition()
    host = HostName("b")
    released = ref(host)
    b"".join(exposition.pieces(EXAMPLE, [*MONITORS[:1], ("web", host, CountingMonitor("ProxyFetch"))]))
    del host
    assert released() is not None
    b"".join(exposition.pieces(EXAMPLE, MONITORS[:1]))
    assert released() is None


def monitor_series(exposition: Exposition, shown: Snapshot, monitors: Watched) -> list[bytes]:
    return [piece for piece in exposition.pieces(shown, monitors) if piece.startswith(b"pybal_monitor_")]


def kept_series(exposition: Exposition, shown: Snapshot, monitors: Watched) -> list[bytes]:
    """Return the pieces of servers and monitors."""
    prefixes = (b"pybal_monitor_", b"pybal_server_")
    return [piece for piece in exposition.pieces(shown, monitors) if piece.startswith(prefixes)]


def without(pieces: list[bytes], kept: list[bytes]) -> list[bytes]:
    """Return the pieces that are other objects than those kept."""
    known = set(map(id, kept))
    return [piece for piece in pieces if id(piece) not in known]


def test_text_of_unchanged_monitors_is_kept() -> None:
    shown, monitors = large(pools=12)
    exposition = Exposition()
    first = monitor_series(exposition, shown, monitors)
    changed = monitors[0][2]
    assert isinstance(changed, CountingMonitor)
    changed.up_results += 1
    (new,) = without(monitor_series(exposition, shown, monitors), first)
    assert new.startswith(b'pybal_monitor_up_results_total{host="cp0-0.example.org"')


def test_text_of_other_services_is_kept_when_a_pool_changes() -> None:
    shown, monitors = large(pools=12)
    exposition = Exposition()
    first = monitor_series(exposition, shown, monitors)
    made = without(monitor_series(exposition, shown, monitors[1:]), first)
    assert made
    assert not [piece for piece in made if b'service="svc9"' in piece]


def test_monitor_has_no_series_of_what_never_occurred() -> None:
    class LostOnce(CountingMonitor):
        def samples(self) -> Samples:
            errors = tuple((("reason", name),) for name in ("ConnectionLost", "ConnectionDone"))
            return Series(((FAILED, errors), (LOST, errors))), (None, None, 1, None)

    text = rendered(EXAMPLE, [("web", "a", LostOnce("IdleConnection"))])
    own = [line for line in text.splitlines() if "_idleconnection_" in line]
    labels = 'host="a",monitor="IdleConnection",service="web",reason="ConnectionLost"'
    assert own[1:] == [f"# TYPE {LOST} counter", f"{LOST}{{{labels}}} 1.0"]


def test_server_is_pooled_or_not_and_forced_only_if_so() -> None:
    lines = rendered(EXAMPLE).splitlines()
    assert [line for line in lines if line.startswith("pybal_server_") and 'service="web"' in line] == [
        'pybal_server_pooled{host="a",service="web"} 1.0',
        'pybal_server_pooled{host="b",service="web"} 1.0',
        'pybal_server_pooled{host="c",service="web"} 0.0',
        'pybal_server_forced{host="b",service="web"} 1.0',
    ]
    assert "pybal_server_forced" not in rendered(snapshot(pool("web", server("a"))))


def test_text_of_servers_is_rendered_again_for_a_changed_pool() -> None:
    shown, _ = large(pools=12)
    exposition = Exposition()
    first = kept_series(exposition, shown, [])
    hosts = list(shown.pools["svc0"].servers)
    servers = [server(hosts[0], DOWN, OUT), *map(server, hosts[1:])]
    changed = snapshot(pool("svc0", *servers), *list(shown.pools.values())[1:])
    made = without(kept_series(exposition, changed, []), first)
    assert b'pybal_server_pooled{host="cp0-0.example.org",service="svc0"} 0.0\n' in b"".join(made)
    assert not [piece for piece in made if b'service="svc9"' in piece]


def test_scrape_without_servers_has_the_services_and_keeps_the_text() -> None:
    shown, monitors = large(pools=12)
    exposition = Exposition()
    first = kept_series(exposition, shown, monitors)
    text = b"".join(exposition.pieces(shown, monitors, servers=False)).decode()
    assert "host=" not in text
    assert text.count("pybal_service_servers_pooled{") == len(shown.pools)
    assert without(kept_series(exposition, shown, monitors), first) == []


def test_scrapes_rendered_together_are_equal_and_keep_the_text() -> None:
    shown, monitors = large(pools=12)
    exposition = Exposition()
    first = kept_series(exposition, shown, monitors)
    pairs = list(zip(exposition.pieces(shown, monitors), exposition.pieces(shown, monitors), strict=True))
    one, other = (b"".join(pieces) for pieces in zip(*pairs, strict=True))
    assert one == other
    made = [piece for pair in pairs for piece in pair if piece.startswith((b"pybal_monitor_", b"pybal_server_"))]
    assert without(made, first) == []


def test_value_is_formatted_as_in_prometheus_client() -> None:
    assert 'pybal_service_servers{service="web"} 3.0\n' in rendered(EXAMPLE)
    assert "pybal_bgp_enabled 1.0\n" in rendered(EXAMPLE, [], [Family("pybal_bgp_enabled", "gauge", "x", (((), 1),))])


def test_pieces_have_a_bounded_number_of_series() -> None:
    shown, monitors = large(pools=12)
    pieces = list(Exposition().pieces(shown, monitors))
    assert max(piece.count(b"\n") for piece in pieces) <= PIECE
    assert b"".join(pieces).count(b"\npybal_monitor_up_results_total{") == len(monitors)


def test_process_metrics_equal_those_of_prometheus_client() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    theirs = parsed(generate_latest(registry).decode())
    ours = parsed(generate_latest(process_registry()).decode())
    assert {n: f for n, f in ours.items() if n.startswith(("process_", "python_"))}.keys() == theirs.keys()
    for name, (kind, series) in theirs.items():
        assert ours[name][0] == kind
        assert {labels for _, labels, _ in ours[name][1]} == {labels for _, labels, _ in series}
    for name in ("process_start_time_seconds", "process_max_fds", "python_info"):
        assert ours[name] == theirs[name]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed")
@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (lambda: rendered(EXAMPLE, MONITORS) + generate_latest(process_registry()).decode(), ""),
        (golden.metrics_of_daemon, ""),
        (
            golden.metrics_of_monitors,
            # The contract fixes this name.
            'pybal_bgp_session_state_count non-histogram and non-summary metrics should not have "_count" suffix\n',
        ),
    ],
    ids=["states", "daemon", "all families"],
)
def test_promtool_has_no_remark_but_on_a_fixed_name(text: Callable[[], str], remark: str) -> None:
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=text(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (check.stdout, check.stderr) == ("", remark)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed")
def test_scrape_configuration_of_the_page_is_valid(tmp_path: Path) -> None:
    block = METRICS.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert "params: { ipvs: " in block
    (tmp_path / "prometheus.yml").write_text(block)
    check = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (check.returncode, check.stderr) == (0, "")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
values = st.integers(0, 10**12)


@given(
    st.lists(
        st.tuples(names, names, values, st.sampled_from([True, False, None])), max_size=5, unique_by=lambda t: t[:2]
    )
)
def test_names_are_escaped_as_in_prometheus_client(rows: list[tuple[str, str, int, bool | None]]) -> None:
    shown = snapshot(*(pool(service, server(host)) for service, host, _, _ in rows))
    monitors: Watched = [
        (
            service,
            host,
            CountingMonitor(
                "ProxyFetch", up, count, [Sample(DURATION, (("result", host), ("url", service)), count / 7)]
            ),
        )
        for service, host, count, up in rows
    ]
    assert without_policy(parsed(rendered(shown, monitors))) == parsed(reference(shown, monitors))


changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["ProxyFetch", "IdleConnection", "TLS"]),
        st.sampled_from([True, False, None]),
        st.integers(0, 2),
        st.lists(st.floats(0, 1), max_size=2),
    ),
    max_size=6,
    unique_by=lambda t: t[:3],
)


def in_order(monitors: Watched) -> list[str]:
    """Return the own series of each kind, by metric in the order of their first monitor."""
    lines: dict[str, list[str]] = {}
    for service, host, monitor in monitors:
        for sample in samples_of(monitor):
            names = [("host", host), ("monitor", monitor.name), ("service", service), *sample.labels]
            text = ",".join(f'{name}="{value}"' for name, value in names)
            lines.setdefault(sample.metric, []).append(f"{sample.metric}{{{text}}} {sample.value!r}")
    return [line for each in lines.values() for line in each]


@given(st.lists(changes, min_size=2, max_size=4))
def test_next_scrape_equals_the_first_of_another_exposition(scrapes: list[list[Any]]) -> None:
    durations = {"ProxyFetch": DURATION, "TLS": "pybal_monitor_tls_request_duration_seconds"}
    exposition = Exposition()
    for rows in scrapes:
        monitors: Watched = [
            (
                service,
                host,
                CountingMonitor(
                    kind,
                    up,
                    count,
                    [Sample(durations.get(kind, LOST), (("n", str(n)),), value) for n, value in enumerate(values)]
                    # A metric that only some monitors of the kind have.
                    + (
                        [Sample("pybal_monitor_tls_certificate_expiry_timestamp_seconds", (), 1.0)]
                        if kind == "TLS" and count
                        else []
                    ),
                ),
            )
            for service, host, kind, up, count, values in rows
        ]
        text = b"".join(exposition.pieces(EXAMPLE, monitors)).decode()
        assert text == rendered(EXAMPLE, monitors)
        own = tuple(
            f"{name}{{"
            for name in (*durations.values(), LOST, "pybal_monitor_tls_certificate_expiry_timestamp_seconds")
        )
        assert [line for line in text.splitlines() if line.startswith(own)] == in_order(monitors)
