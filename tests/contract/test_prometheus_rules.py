"""The shipped rules of Prometheus: each fires in its state, for every kind of alert in docs/alerts.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "etc" / "prometheus" / "pybal.rules.yml"
SITE = "https://pybal.example.org/"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed"
)

UNCOVERED = {"removed": "ends by itself, and follows an action of an operator", "loop": "PyBalLoopHeld counts"}
"""Kinds of alert without a rule, with the reason."""
MINUTES = {
    "PyBalServiceFailing": 1,
    "PyBalBgpDown": 2,
    "PyBalDegraded": 10,
    "PyBalServersDown": 60,
    "PyBalLeftByAnOperator": 120,
}
"""Minutes after which the rules about PyBal's own alerts fire."""
TARGET = 'instance="lvs1:9090",job="pybal"'


class Case(NamedTuple):
    """Series, one value a minute, that make a rule fire at a minute and not one minute before."""

    rule: str
    series: Mapping[str, str]
    minute: int


def kinds() -> Mapping[str, Sequence[str]]:
    """Return the severities of each kind of alert, as docs/alerts.md has them."""
    rows = re.findall(
        r"^\| `([a-z-]+)` \| ((?:critical|warning).*?) \|", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE
    )
    return {kind: [word for word in ("critical", "warning") if word in text] for kind, text in rows}


def rules() -> Mapping[str, Mapping[str, str]]:
    """Return the rules by name."""
    return {
        rule["alert"]: {"expr": rule["expr"], **rule["labels"], **rule["annotations"]}
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }


def named_kinds(expression: str) -> Sequence[str]:
    return [kind for found in re.findall(r'kind=~?"([^"]*)"', expression) for kind in found.split("|")]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its headings, as GitHub and the site name them, and its own."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def evaluate(directory: Path, series: Mapping[str, str], queries: Iterable[tuple[int, str, Mapping[str, int]]]) -> str:
    """Return the remarks of promtool, none if each query has these samples at its minute."""
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
            for minute, query, samples in queries
        ],
    }
    file = directory / "case.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_promtool_accepts_the_rules_and_each_has_a_summary() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for rule in rules().values():
        assert rule["severity"] in {"critical", "warning"}
        assert rule["summary"]
        assert rule["description"]


def test_every_kind_of_alert_has_a_rule_or_a_reason() -> None:
    named = [kind for rule in rules().values() for kind in named_kinds(rule["expr"])]
    assert set(named) | set(UNCOVERED) == set(kinds())
    assert not set(named) & set(UNCOVERED)


def test_runbooks_lead_to_anchors_of_the_documentation() -> None:
    for rule in rules().values():
        page, _, anchor = rule["runbook_url"].removeprefix(SITE).partition("#")
        wanted = named_kinds(rule["expr"]) if "{{" in anchor else [anchor]
        assert wanted
        assert set(wanted) <= anchors(ROOT / "docs" / page.replace(".html", ".md"))


def test_alerts_of_pybal_fire_the_rule_of_their_kind(tmp_path: Path) -> None:
    rule_of = {
        (kind, severity): name
        for name, rule in rules().items()
        for kind in named_kinds(rule["expr"])
        for severity in ("critical", "warning")
        if f'severity="{severity}"' in rule["expr"] or "severity=" not in rule["expr"]
    }
    present = [(kind, severity) for kind, severities in kinds().items() for severity in severities]
    series = {
        f'pybal_alerts{{kind="{kind}",severity="{severity}",service="web"}}': "1x130" for kind, severity in present
    }
    query = 'count by (alertname, kind) (ALERTS{alertstate="firing", kind!=""})'
    expected: list[tuple[int, str, Mapping[str, int]]] = []
    for minute in {0, *MINUTES.values(), *(minutes - 1 for minutes in MINUTES.values())}:
        fired = [(rule_of[pair], pair[0]) for pair in present if pair in rule_of and MINUTES[rule_of[pair]] <= minute]
        samples = {f'{{alertname="{name}", kind="{kind}"}}': 1 for name, kind in fired}
        expected.append((minute, query, samples))
    assert evaluate(tmp_path, series, expected) == ""
    ended = dict.fromkeys(series, "1x130 0x5")
    assert evaluate(tmp_path, ended, [(132, query, {})]) == ""


UP = f"up{{{TARGET}}}"
HELD = "pybal_loop_held_seconds"
CASES = (
    Case("PyBalDown", {UP: "1x3 0x9"}, 6),
    Case("PyBalAbsent", {}, 5),
    Case("PyBalAbsent", {UP: "0x9"}, 5),
    Case("PyBalScrapeFailing", {UP: "1x19" + " 0 1" * 20}, 29),
    Case("PyBalRestarting", {f"process_start_time_seconds{{{TARGET}}}": "1 2x4 3x4 4x9"}, 11),
    Case("PyBalExaBGPRestarting", {f"pybal_bgp_restarts_total{{{TARGET}}}": "0x9 1 2 3x9"}, 12),
    Case(
        "PyBalLoopHeld",
        {f'{HELD}_bucket{{le="0.5",{TARGET}}}': "0+100x20", f"{HELD}_count{{{TARGET}}}": "0+100x5 601+101x20"},
        9,
    ),
    Case(
        "PyBalChecksLate",
        {
            f'pybal_loop_delay_seconds_bucket{{le="1.024",{TARGET}}}': "0+5x30",
            f'pybal_loop_delay_seconds_bucket{{le="2.048",{TARGET}}}': "0+10x30",
            f'pybal_loop_delay_seconds_bucket{{le="+Inf",{TARGET}}}': "0+10x30",
        },
        11,
    ),
    Case(
        "PyBalVipNotAnnounced",
        {f'pybal_bgp_vip_announced{{vip="192.0.2.1",instance="{host}"}}': "1x3 0x9" for host in ("a", "b")},
        6,
    ),
)
HEALTHY = {
    UP: "1x50 0 1x149",
    f"process_start_time_seconds{{{TARGET}}}": "1 2 3x200",
    f"pybal_bgp_restarts_total{{{TARGET}}}": "0 1 2x200",
    f'{HELD}_bucket{{le="0.5",{TARGET}}}': "0+100x200",
    f"{HELD}_count{{{TARGET}}}": "0+100x5 602+100x194",
    f'pybal_loop_delay_seconds_bucket{{le="0.512",{TARGET}}}': "0+10x200",
    f'pybal_loop_delay_seconds_bucket{{le="+Inf",{TARGET}}}': "0+10x200",
    'pybal_bgp_vip_announced{vip="192.0.2.1",instance="a"}': "0x200",
    'pybal_bgp_vip_announced{vip="192.0.2.1",instance="b"}': "1x200",
    'pybal_alerts{kind="down",severity="warning",service="web"}': "1x59 0x9 1x59",
    'pybal_alerts{kind="removed",severity="warning",service="web"}': "1x200",
    'pybal_alerts{kind="bgp",severity="critical",service=""}': "1x1 0x9 1x1 0x9",
}
"""Two balancers, one of them a backup, with short alerts, old restarts and a failed scrape."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule_fires_when_its_state_has_lasted(case: Case, tmp_path: Path) -> None:
    query = f'count(ALERTS{{alertname="{case.rule}", alertstate="firing"}})'
    assert evaluate(tmp_path, case.series, [(case.minute - 1, query, {}), (case.minute, query, {"{}": 1})]) == ""


def test_no_rule_fires_for_balancers_that_work(tmp_path: Path) -> None:
    query = 'ALERTS{alertstate="firing"}'
    assert evaluate(tmp_path, HEALTHY, [(minute, query, {}) for minute in range(0, 130, 2)]) == ""


def test_target_that_stays_down_does_not_fire_the_rule_about_scrapes(tmp_path: Path) -> None:
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    down = {'{alertname="PyBalDown"}': 1, '{alertname="PyBalAbsent"}': 1}
    assert evaluate(tmp_path, {UP: "1x30 0x60"}, [(minute, query, down) for minute in range(36, 90, 3)]) == ""


def test_every_rule_has_a_case_that_fires() -> None:
    assert {case.rule for case in CASES} | set(MINUTES) == set(rules())
