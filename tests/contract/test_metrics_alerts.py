"""The alerting rules of PyBal 1.15 operators still fire: Prometheus evaluates our exposition."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from pybal.bgp.model import Session, SessionState
from pybal.config.settings import PeerSettings
from pybal.status import bgp
from pybal.status.bgp import BGP
from pybal.status.metrics import Exposition
from tests.harness.snapshots import CountingMonitor, pool, server, snapshot

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed"
)

SESSION_DOWN = "pybal_bgp_session_established != 1 and ignoring (local_asn, peer) pybal_bgp_enabled == 1"
SERVER_DOWN = "pybal_monitor_status == 0 and increase(pybal_monitor_down_results_total[5m]) > 0"
LOOKED_FOR = re.compile(r'^pybal_bgp_session_established\{local_asn="(\d+)",peer="(.+?)"\} (.+)$', re.MULTILINE)
"""The lines that an existing script parses; it requires exactly ``1.0``."""
PEERS = [PeerSettings(ip_address(address), 64600, 64601) for address in ("192.0.2.251", "2001:db8::251")]


def of_bgp(*states: SessionState) -> str:
    """Return the metrics of BGP sessions, none if BGP is off."""
    sessions = tuple(Session(peer, state) for peer, state in zip(PEERS, states, strict=False))
    return b"".join(Exposition().pieces(snapshot(), (), bgp.families(BGP(bool(states), (), sessions), 1.0))).decode()


def of_monitor(*, up: bool, down_results: int) -> str:
    monitor = CountingMonitor("ProxyFetch", up, down_results, [])
    return b"".join(Exposition().pieces(snapshot(pool("web", server("a"))), [("web", "a", monitor)], ())).decode()


def firing(directory: Path, rule: str, scrapes: Sequence[str]) -> int:
    """Return the number of series for which a rule fires after these scrapes, one per minute."""
    values: dict[str, list[str]] = {}
    for text in scrapes:
        for line in text.splitlines():
            if line.startswith("pybal_"):
                series, _, value = line.rpartition(" ")
                values.setdefault(series, []).append(value)
    for count in range(3):
        samples = [{"labels": "{}", "value": count}] if count else []
        case = {
            "interval": "1m",
            "input_series": [{"series": name, "values": " ".join(each)} for name, each in values.items()],
            "promql_expr_test": [
                {"expr": f"count({rule})", "eval_time": f"{len(scrapes) - 1}m", "exp_samples": samples}
            ],
        }
        file = directory / f"{count}.json"
        file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [case]}))
        done = subprocess.run(
            ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode == 0:
            return count
    raise AssertionError(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("states", "count"),
    [
        ((), 0),
        ((SessionState.ESTABLISHED, SessionState.ESTABLISHED), 0),
        ((SessionState.ESTABLISHED, SessionState.ACTIVE), 1),
        ((SessionState.IDLE, SessionState.CONNECT), 2),
    ],
    ids=["no BGP", "both up", "one down", "both down"],
)
def test_session_down_fires_the_alert(states: tuple[SessionState, ...], count: int, tmp_path: Path) -> None:
    assert firing(tmp_path, SESSION_DOWN, [of_bgp(*states)]) == count


def test_session_metrics_identify_each_peer() -> None:
    assert LOOKED_FOR.findall(of_bgp(SessionState.ESTABLISHED, SessionState.OPENSENT)) == [
        ("64600", "192.0.2.251", "1.0"),
        ("64600", "2001:db8::251", "0.0"),
    ]


@pytest.mark.parametrize(
    ("up", "results", "count"),
    [(False, [0, 1, 2], 1), (False, [2, 2, 2], 0), (True, [0, 1, 2], 0)],
    ids=["fails", "failed long ago", "has failed and is up"],
)
def test_failing_server_fires_the_alert(*, up: bool, results: list[int], count: int, tmp_path: Path) -> None:
    scrapes = [of_monitor(up=up, down_results=number) for number in results]
    assert firing(tmp_path, SERVER_DOWN, scrapes) == count
