"""The start of 116 sections of etcd over TLS on a full, a half and a quarter of a core.

Certificates are verified with the CAs of the system. etcd runs on another core; busy processes take the other shares. Needs ``/usr/bin/etcd`` and a host with two cores.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.certificates import Authority
from tests.harness.servers.process import accepts, free_ports

SECTIONS, SERVERS = 116, 20
PATIENCE = 120.0
SHARES = (1, 2, 4)
"""Processes that share the core with the daemon, itself included."""
SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")

SECTION = """
[svc{number}]
protocol = tcp
ip = 192.0.2.{number}
port = 80
scheduler = wrr
config = etcd://localhost:{port}/pools/web
"""


def main() -> None:
    """Print the time until all sections have their list, the errors until then, and CPU and memory."""
    for share in SHARES:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            secure, ca = stack.enter_context(_etcd(Path(directory)))
            print(f"  1/{share} of a core: {_measured(Path(directory), secure, ca, share)}", flush=True)


@contextmanager
def _etcd(directory: Path) -> Iterator[tuple[int, Path]]:
    """Run etcd with a directory of servers; yield its TLS port and a file with all CAs."""
    authority = Authority(directory)
    both = authority.issue("server", host="localhost")
    ca = directory / "all.pem"
    ca.write_text(SYSTEM.read_text() + authority.file.read_text())
    secure, plain, peer = free_ports(3)
    url = f"http://127.0.0.1:{peer}"
    clients = f"https://127.0.0.1:{secure},http://127.0.0.1:{plain}"
    options = {
        "data-dir": directory / "data",
        "enable-v2": "true",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "cert-file": both,
        "key-file": both,
        "listen-peer-urls": url,
        "initial-advertise-peer-urls": url,
        "initial-cluster": f"default={url}",
    }
    command = ["/usr/bin/etcd", *(f"--{name}={value}" for name, value in options.items())]
    with _running(command, core=1):
        _wait(lambda: accepts(plain))
        value = urllib.parse.urlencode({"value": json.dumps({"weight": 10, "pooled": "yes"})}).encode()
        for number in range(1, SERVERS + 1):
            key = f"http://127.0.0.1:{plain}/v2/keys/pools/web/198.51.100.{number}"
            urllib.request.urlopen(urllib.request.Request(key, value, method="PUT"), timeout=5).close()
        yield secure, ca


def _measured(directory: Path, secure: int, ca: Path, share: int) -> str:
    (status,) = free_ports(1)
    sections = "".join(SECTION.format(number=number, port=secure) for number in range(1, SECTIONS + 1))
    head = f"[global]\ninstrumentation = yes\ninstrumentation_port = {status}\nipvs-backend = memory\n"
    (directory / "pybal.conf").write_text(head + sections)
    environment = {**os.environ, "SSL_CERT_FILE": str(ca), "RUNTIME_DIRECTORY": str(directory)}
    with ExitStack() as stack:
        for _ in range(share - 1):
            stack.enter_context(_running([sys.executable, "-c", "while 1: pass"], core=0))
        command = [sys.executable, "-m", "pybal.cli", "-c", str(directory / "pybal.conf")]
        stack.enter_context(_running(command, core=0, environment=environment))
        began = time.monotonic()
        metrics = ""

        def complete() -> bool:
            nonlocal metrics
            metrics = _get(f"http://127.0.0.1:{status}/metrics")
            return len(re.findall(rf"(?m)^pybal_service_servers{{.*}} {SERVERS}\.0$", metrics)) == SECTIONS

        _wait(complete)
        took = time.monotonic() - began
    errors = sum(map(float, re.findall(r"(?m)^pybal_source_errors_total{.*} (\S+)$", metrics)))
    (cpu,) = re.findall(r"(?m)^process_cpu_seconds_total (\S+)$", metrics)
    (memory,) = re.findall(r"(?m)^process_resident_memory_bytes (\S+)$", metrics)
    return (
        f"{SECTIONS} sections after {took:4.1f} s, {errors:.0f} errors, {float(cpu):.1f} s of CPU, "
        f"{float(memory) / 2**20:.0f} MB"
    )


@contextmanager
def _running(command: list[str], core: int, environment: dict[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(done: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"not done within {PATIENCE:g} s")
        time.sleep(0.2)


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read(), "utf-8")
    except OSError:
        return ""
