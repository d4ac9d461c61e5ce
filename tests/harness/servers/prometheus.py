"""Prometheus with the shipped rules, which scrapes a balancer every second."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.harness.daemon_process import PATIENCE, wait_for

RULES = Path(__file__).parents[3] / "etc" / "prometheus" / "pybal.rules.yml"
_ADDRESS = "127.0.0.1:9091"
_CONF = """\
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ rules.yml ]
scrape_configs:
  - job_name: pybal
    params: { ipvs: ["1"] }
    static_configs: [ { targets: [ "127.0.0.1:9090" ] } ]
"""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "prometheus.log"

    def query(self, expression: str) -> Sequence[Mapping[str, Any]]:
        """Return the result of an expression; an invalid one is an error."""
        found: Sequence[Mapping[str, Any]] = self._get(f"query?{urlencode({'query': expression})}")["result"]
        return found

    def firing(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Return the firing alerts by the names of their rule and service."""
        return {
            (alert["labels"]["alertname"], alert["labels"].get("service", "")): alert
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        }

    def wait_for_alerts(self, *names: str) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Wait until exactly the alerts of these rules are firing, and return them."""
        wait_for(
            lambda: {name for name, _ in self.firing()} == set(names),
            lambda: f"{names}: {list(self.firing())}\n{self._log.read_text()}",
        )
        return self.firing()

    def _get(self, path: str) -> Mapping[str, Any]:
        with urlopen(f"http://{_ADDRESS}/api/v1/{path}", timeout=PATIENCE) as response:
            found: Mapping[str, Any] = json.load(response)["data"]
            return found


@contextmanager
def prometheus(directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus in the present namespace; each rule fires after a second."""
    (directory / "rules.yml").write_text(re.sub(r"for: \w+", "for: 1s", RULES.read_text()))
    (directory / "prometheus.yml").write_text(_CONF)
    made = Prometheus(directory)
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--web.listen-address={_ADDRESS}"]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={directory}/tsdb"], stdout=log, stderr=log)
    try:
        wait_for(lambda: "Server is ready" in (directory / "prometheus.log").read_text(), lambda: "prometheus")
        wait_for(lambda: made.query('up{job="pybal"}'), lambda: "the first scrape")
        yield made
    finally:
        process.terminate()
        process.wait(PATIENCE)
