"""The shipped rules and the dashboard query only metrics and labels that the daemon has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.harness import golden
from tests.harness.dashboard import DASHBOARD, queries
from tests.harness.servers.prometheus import RULES

OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate"}
"""Labels that Prometheus adds, and the bounds of histograms."""


def of_rules() -> Iterator[tuple[str, str, str]]:
    """Yield name, expression and annotations of each rule."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())


EXPRESSIONS = {f"{name}, {expression}": (expression, text) for name, expression, text in (*of_rules(), *queries())}


def labels_of_metrics() -> Mapping[str, set[str]]:
    """Return the labels of each metric by its name; those of a histogram have three names."""
    found: dict[str, set[str]] = {"up": set()}
    for name, family in golden.metrics().items():
        labels = {label for each in family["labels"] for label in each}
        for suffix in ("_bucket", "_count", "_sum") if family["type"] == "histogram" else ("",):
            found[name + suffix] = labels
    return found


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expression_has_metrics_and_labels_of_the_daemon(expression: str, text: str) -> None:
    known = labels_of_metrics()
    used = re.findall(r"\b((?:pybal|process|python)_\w+|up\b)(?:\{([^}]*)\})?", re.sub(r"by \([^)]*\)", "", expression))
    assert used
    possible = set(OF_PROMETHEUS)
    for name, matchers in used:
        assert name in known
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known[name] | OF_PROMETHEUS
        possible |= known[name]
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in re.findall(r"\w+", group)}
    shown = set(re.findall(r"\$labels\.(\w+)", text)) or set(re.findall(r"\{\{(\w+)\}\}", text))
    assert grouped | shown <= possible
    if grouped:
        assert shown <= grouped


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed")
def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"r{number}", "expr": expression} for number, (expression, _) in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24
