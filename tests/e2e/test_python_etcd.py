"""python-etcd is imported for sources of etcd's API v2 only, outside the loop: it is unmaintained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Deployment, daemon, run_pybal
from tests.harness.loop_probe import LoopProbe

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file://{directory}/web.pool
"""
ETCD2 = """
[etcd 127.0.0.1:{port}]
tls = no

[v2]
protocol = tcp
ip = 192.0.2.1
port = 81
scheduler = wrr
config = etcd://127.0.0.1:{port}/pools/web/
"""
REFUSED = (
    "[v2] config: found 'etcd://127.0.0.1:{port}/pools/web/'; expected python-etcd to be installed "
    "(apt install python3-etcd, or append ?api=3): No module named 'etcd'"
)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, ["127.0.0.1"], CONF)
    yield deployment
    deployment.stop()


@pytest.fixture
def _without_python_etcd(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("first")
    (folder / "etcd.py").write_text("raise ModuleNotFoundError(\"No module named 'etcd'\", name='etcd')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.usefixtures("_without_python_etcd")
def test_daemon_runs_without_python_etcd_and_refuses_a_source_of_etcd_v2(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait_for_log("Created LVS service")
        deployment.configure(CONF + ETCD2)
        outcome = running.reload()
        assert not outcome["accepted"]
        assert outcome["problems"][0].endswith(REFUSED.format(port=deployment.port))
        deployment.configure(CONF + ETCD2.replace("/web/", "/web/?api=3"))
        assert running.reload()["accepted"]
        assert running.stop() == 0


@pytest.mark.usefixtures("_without_python_etcd")
def test_start_with_a_source_of_etcd_v2_is_refused_without_python_etcd(deployment: Deployment) -> None:
    deployment.configure(CONF + ETCD2)
    done = run_pybal("-c", str(deployment.conf))
    assert done.returncode == 2
    assert f"refused: {deployment.conf}:18: {REFUSED.format(port=deployment.port)}\n" in done.stderr


def test_daemon_without_a_source_of_etcd_v2_does_not_import_python_etcd() -> None:
    listed = "import sys, pybal.daemon.process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, timeout=120, check=True)
    modules = set(done.stdout.split())
    assert "pybal.sources.kinds" in modules
    assert not modules & {"etcd", "urllib3", "dns", "pybal.sources.etcd.v2wire"}


def test_reload_imports_python_etcd_outside_the_loop(deployment: Deployment, tmp_path: Path) -> None:
    probe = LoopProbe(tmp_path / "probe")
    with daemon(tmp_path, endpoint=deployment.endpoint, program=probe.program) as running:
        running.wait_for_log("Created LVS service")
        since = probe.now()
        deployment.configure(CONF + ETCD2)
        assert running.reload()["accepted"]
        running.wait(lambda: "/pools/web" in running.get("/v1/sources"), "the new source")
        probe.check("first source of etcd v2", since)
        assert running.stop() == 0
