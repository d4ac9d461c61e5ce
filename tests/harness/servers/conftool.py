"""conftool, the operators' tool, with a relay before its etcd that records the time of each write."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.servers.etcd import Etcd
from tests.harness.servers.process import PATIENCE
from tests.harness.servers.relay import Relay

DIRECTORY = "/conftool/v1/pools/dc/cluster"


class Conftool:
    """Writes ``DIRECTORY`` of an etcd, with one service per pool: ``with Conftool(directory, etcd)``.

    ``written`` is the monotonic time of the last write.
    """

    def __init__(self, directory: Path, etcd: Etcd) -> None:
        self.written = 0.0
        self._directory = directory / "conftool"
        self._relay = Relay(etcd.port)
        self._relay.asked = self._note
        (self._directory / "data" / "node").mkdir(parents=True)
        etcdrc = self._directory / "etcdrc"
        etcdrc.write_text(f"host: 127.0.0.1\nport: {self._relay.port}\nprotocol: http\n")
        options = {"etcd_config_file": str(etcdrc), "suppress_san_warnings": False}
        # YAML reads JSON.
        (self._directory / "config.yaml").write_text(json.dumps({"driver_options": options}))

    def __enter__(self) -> Self:
        self._relay.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._relay.__exit__(kind, error, trace)

    def sync(self, pools: Mapping[str, Sequence[str]]) -> None:
        """Set the servers of pools: new ones are inactive, all others are removed."""
        hosts = sorted({host for members in pools.values() for host in members})
        nodes = {host: [pool for pool, members in pools.items() if host in members] for host in hosts}
        (self._directory / "data" / "node" / "dc.yaml").write_text(json.dumps({"dc": {"cluster": nodes}}))
        self._run("conftool-sync", "--directory", str(self._directory / "data"))

    def set(self, pool: str, host: str, what: str) -> None:
        """Run ``confctl select … set/…``: ``pooled=no``, ``weight=5``, ``pooled=yes:weight=5``."""
        self._run("confctl", "--quiet", "select", f"service={pool},name={host}", f"set/{what}")

    def _run(self, program: str, *arguments: str) -> None:
        path = Path(sys.executable).parent / program
        command = [str(path), "--config", str(self._directory / "config.yaml"), *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr

    def _note(self, request: str) -> bool:
        if request.startswith(("PUT ", "DELETE ")):
            self.written = time.monotonic()
        return True
