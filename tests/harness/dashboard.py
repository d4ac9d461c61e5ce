"""The shipped dashboard of Grafana, rendered from a table of its panels: ``make reference`` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).parents[2] / "etc" / "grafana" / "pybal.json"

_SELECTED = 'job="pybal", instance=~"$instance"'
_OF_SERVICE = f'{_SELECTED}, service=~"$service"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24


class Panel(NamedTuple):
    """A panel: its title, its expressions with their legends, unit, kind and width of 24 columns."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "none"
    kind: str = "timeseries"
    width: int = 12
    red: float | None = None
    """The value from which a panel of the kind ``stat`` is red."""


_ROWS: Mapping[str, Sequence[Panel]] = {
    "Overview": (
        Panel(
            "Critical alerts",
            [(f'sum(pybal_alerts{{{_SELECTED}, severity="critical"}}) or vector(0)', "")],
            kind="stat",
            width=4,
            red=1,
        ),
        Panel(
            "Warnings",
            [(f'sum(pybal_alerts{{{_SELECTED}, severity="warning"}}) or vector(0)', "")],
            kind="stat",
            width=4,
        ),
        Panel(
            "Balancers that do not respond",
            [('count(up{job="pybal"} == 0) or vector(0)', "")],
            kind="stat",
            width=4,
            red=1,
        ),
        Panel(
            "VIPs that no balancer announces",
            [("count(max by (vip) (pybal_bgp_vip_announced) == 0) or vector(0)", "")],
            kind="stat",
            width=4,
            red=1,
        ),
        Panel(
            "BGP sessions down",
            [(f"count(pybal_bgp_session_established{{{_SELECTED}}} == 0) or vector(0)", "")],
            kind="stat",
            width=4,
            red=1,
        ),
        Panel(
            "Sources with a problem",
            [(f"count(pybal_source_up{{{_SELECTED}}} == 0) or vector(0)", "")],
            kind="stat",
            width=4,
            red=1,
        ),
        Panel("Present alerts", [(f"pybal_alerts{{{_SELECTED}}}", "")], kind="table"),
        Panel(
            "Alerts",
            [
                (
                    f"sum by (instance, severity, kind) (pybal_alerts{{{_SELECTED}}})",
                    "{{instance}} {{severity}} {{kind}}",
                )
            ],
        ),
    ),
    "Services": (
        Panel(
            "Servers of the service",
            [
                (f"pybal_service_servers_serving{{{_OF_SERVICE}}}", "{{service}} serving ({{instance}})"),
                (f"pybal_service_floor{{{_OF_SERVICE}}}", "{{service}} floor ({{instance}})"),
            ],
        ),
        Panel(
            "Servers down, forced, unknown",
            [
                (f"pybal_service_servers_down{{{_OF_SERVICE}}} > 0", "{{service}} down ({{instance}})"),
                (f"pybal_service_servers_forced{{{_OF_SERVICE}}} > 0", "{{service}} forced ({{instance}})"),
                (f"pybal_service_servers_unknown{{{_OF_SERVICE}}} > 0", "{{service}} unknown ({{instance}})"),
            ],
        ),
        Panel(
            "Changes between up and down",
            [
                (
                    f"sum by (service) (increase(pybal_monitor_down_transitions_total{{{_OF_SERVICE}}}[$__rate_interval]))",
                    "{{service}}",
                )
            ],
        ),
        Panel(
            "Failed checks",
            [
                (
                    f"sum by (service, monitor) (rate(pybal_monitor_down_results_total{{{_OF_SERVICE}}}[$__rate_interval])) > 0",
                    "{{service}} {{monitor}}",
                )
            ],
            unit="ops",
        ),
        Panel(
            "Longest ProxyFetch of each service",
            [(f"max by (service) (pybal_monitor_proxyfetch_request_duration_seconds{{{_OF_SERVICE}}})", "{{service}}")],
            unit="s",
        ),
        Panel(
            "Certificates of servers expire in",
            [
                (
                    f"min by (service) (pybal_monitor_tls_certificate_expiry_timestamp_seconds{{{_OF_SERVICE}}}) - time()",
                    "{{service}}",
                )
            ],
            unit="s",
        ),
    ),
    "BGP": (
        Panel("VIPs announced", [(f"pybal_bgp_vip_announced{{{_SELECTED}}}", "{{vip}} ({{instance}})")]),
        Panel("Sessions established", [(f"pybal_bgp_session_established{{{_SELECTED}}}", "{{peer}} ({{instance}})")]),
    ),
    "IPVS": (
        Panel("Services verified", [(f"sum by (instance) (pybal_ipvs_verified{{{_SELECTED}}})", "{{instance}}")]),
        Panel(
            "Changes by other programs",
            [
                (
                    f"sum by (service, kind) (increase(pybal_ipvs_drift_total{{{_SELECTED}}}[$__rate_interval]))",
                    "{{service}} {{kind}}",
                )
            ],
        ),
        Panel(
            "New connections (scrape with ipvs=1)",
            [
                (
                    f"sum by (service) (rate(pybal_ipvs_destination_connections_total{{{_OF_SERVICE}}}[$__rate_interval]))",
                    "{{service}}",
                )
            ],
            unit="cps",
        ),
        Panel(
            "Traffic from clients (scrape with ipvs=1)",
            [
                (
                    f"sum by (service) (rate(pybal_ipvs_destination_bytes_total{{{_OF_SERVICE}}}[$__rate_interval]))",
                    "{{service}}",
                )
            ],
            unit="Bps",
        ),
    ),
    "Pool sources and configuration": (
        Panel(
            "Age of the last confirmed list",
            [
                (
                    f"time() - (pybal_source_last_success_timestamp_seconds{{{_OF_SERVICE}}} > 0)",
                    "{{service}} ({{instance}})",
                )
            ],
            unit="s",
        ),
        Panel(
            "Configuration: file differs, last reload refused",
            [
                (f"pybal_config_changed{{{_SELECTED}}}", "differs ({{instance}})"),
                (f"1 - pybal_config_last_reload_successful{{{_SELECTED}}}", "refused ({{instance}})"),
            ],
        ),
    ),
    "Daemon": (
        Panel(
            "Checks",
            [(f"rate(pybal_checks_total{{{_SELECTED}}}[$__rate_interval])", "{{instance}}")],
            unit="ops",
            width=8,
        ),
        Panel(
            "CPU",
            [(f"rate(process_cpu_seconds_total{{{_SELECTED}}}[$__rate_interval])", "{{instance}}")],
            unit="percentunit",
            width=8,
        ),
        Panel(
            "Resident memory",
            [(f"process_resident_memory_bytes{{{_SELECTED}}}", "{{instance}}")],
            unit="bytes",
            width=8,
        ),
        Panel(
            "Delay of checks (99 %)",
            [
                (
                    f"histogram_quantile(0.99, sum by (instance, le) (rate(pybal_loop_delay_seconds_bucket{{{_SELECTED}}}[$__rate_interval])))",
                    "{{instance}}",
                )
            ],
            unit="s",
            width=8,
        ),
        Panel(
            "Longest hold of the event loop (99.9 %)",
            [
                (
                    f"histogram_quantile(0.999, sum by (instance, le) (rate(pybal_loop_held_seconds_bucket{{{_SELECTED}}}[$__rate_interval])))",
                    "{{instance}}",
                )
            ],
            unit="s",
            width=8,
        ),
        Panel(
            "Versions",
            [(f"pybal_build_info{{{_SELECTED}}}", "{{instance}} {{version}}")],
            kind="table",
            width=8,
        ),
    ),
}


def rendered() -> Mapping[Path, str]:
    """Return the text of the file."""
    return {DASHBOARD: f"{json.dumps(_dashboard(), indent=1)}\n"}


def queries() -> Iterator[tuple[str, str, str]]:
    """Yield title, expression and legend of each query, with values in place of the variables of Grafana."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m")
            yield (
                panel["title"],
                expression.replace("$instance", ".+").replace("$service", ".+"),
                target["legendFormat"],
            )


def _dashboard() -> dict[str, Any]:
    return {
        "title": "PyBal",
        "uid": "pybal",
        "tags": ["pybal"],
        "schemaVersion": 37,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, label, query in (
        ("instance", "Balancer", 'label_values(up{job="pybal"}, instance)'),
        ("service", "Service", f"label_values(pybal_service_servers{{{_SELECTED}}}, service)"),
    ):
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {"text": "All", "value": "$__all"},
        }


def _panels() -> Iterator[dict[str, Any]]:
    number, x, y = 0, 0, 0
    for row, panels in _ROWS.items():
        y, x = y + (_height(panels[-1]) if number else 0), 0
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row,
            "collapsed": False,
            "panels": [],
            "gridPos": _grid(0, y, 24, 1),
        }
        y += 1
        for place, panel in enumerate(panels):
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _height(panels[place - 1])
            number += 1
            yield _panel(panel, number, _grid(x, y, panel.width, _height(panel)))
            x += panel.width


def _height(panel: Panel) -> int:
    return 4 if panel.kind == "stat" else 8


def _grid(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    table = panel.kind == "table"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": grid,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                "instant": table,
                "range": not table,
                **({"format": "table"} if table else {}),
            }
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
