"""The reference of metrics, rendered from a scrape with every family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.harness import golden

METRICS = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

_HEAD = """\
# Metrics

Rendered from the code by `make reference`. `/metrics` on port 9090 has the text format of Prometheus. The metrics of PyBal 1.15 keep
their names, labels and types.

| request | series |
|---|---|
| `/metrics` | all but those of `ipvs=1` |
| `/metrics?services=1` | without those of servers and of their monitors (`pybal_server_*`, `pybal_monitor_*`), which are nearly all |
| `/metrics?ipvs=1` | also `pybal_ipvs_destination_*`: the traffic to each destination, as the last audit read it from the kernel (see [IPVS](ipvs.md)); a scrape reads nothing. The kernel renews the counters every two seconds. None with `ipvs-backend = ipvsadm` |

Both parameters can be combined. Prometheus sends them with `params`:

```yaml
scrape_configs:
  - job_name: pybal
    params: { ipvs: ["1"] }
    static_configs: [{ targets: ["lvs1:9090"] }]
```

Series exist, at 0, from the moment their service, server, monitor or peer exists. Those of a monitor with the label `result`, `reason`,
`url` or `exitcode` appear when that first occurs, and `pybal_server_forced` exists only for servers that are forced.

A scrape is rendered in slices that do not hold the event loop; the text of unchanged servers and monitors is kept. Measured by
`python -m bench scrape` with short host names, when a half or a fifteenth of the monitors had a new result:

| monitors | servers | plain | gzip | CPU of a scrape |
|---|---|---|---|---|
{sizes}

The names have one remark of `promtool check metrics`: `pybal_bgp_session_state_count` is a gauge, named by PyBal 1.15.
"""

_SIZES = """\
| 11,780 | 11,020 | 6.4 MB | 0.28 MB | 22 ms |
| 22,040 | 11,020 | 12.8 MB | 0.63 MB | 57 ms |"""

_GROUPS: Mapping[str, str] = {
    "pybal_service_": "Services",
    "pybal_server_": "Servers",
    "pybal_monitor_": "Monitors",
    "pybal_ipvs_": "IPVS",
    "pybal_bgp_": "BGP",
    "pybal_source_": "Pool sources",
    "pybal_config_": "Configuration",
    "pybal_": "Daemon",
    "": "Process",
}


def rendered() -> Mapping[Path, str]:
    """Return the text of the page."""
    return {METRICS: "\n".join(_sections(golden.metrics()))}


def _sections(families: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD.replace("{sizes}", _SIZES)
    of = {name: next(prefix for prefix in _GROUPS if name.startswith(prefix)) for name in families}
    for prefix, title in _GROUPS.items():
        yield f"## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|"
        for name in sorted(name for name, own in of.items() if own == prefix):
            family = families[name]
            labels = sorted({label for each in family["labels"] for label in each} - {"le"})
            yield f"| `{name}` | {family['type']} | {', '.join(labels)} | {family['help']} |"
        yield ""
