"""CPU per HTTP check: PyBal's engine and monitors, under Twisted, beside HAProxy's ``option httpchk``.

Both check the same servers, 2,000 addresses of the loopback network behind one nginx, at the same rate, by turns in one
run. CPU is user and system time of the checker's process as the scheduler counts it; the checks are counted by nginx.
"""

from __future__ import annotations

import gc
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from twisted.internet.epollreactor import EPollReactor

from pybal.checks.engine import Engine
from pybal.config.settings import ProxyFetchSettings
from pybal.model import IPProtocol, Report, Service
from pybal.monitors.kinds import prepare

SERVERS = 2000
RATES = (200, 1000)
ROUNDS = 3
WARM_UP = 3.0  # seconds: both start with a sweep of first checks
MEASURED = 8.0  # seconds
TARGET = 1.0  # times HAProxy's CPU

_NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};
    fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{ listen {port} backlog=4096; location / {{ return 200 "ok\\n"; }} location /stub {{ stub_status; }} }}
}}
"""
_HAPROXY = """
global
    nbthread 1
    maxconn 1000
    spread-checks 0
defaults
    timeout connect 5s
    timeout server 5s
    timeout client 5s
listen bench
    bind unix@{directory}/haproxy.sock
    mode http
    option httpchk
    http-check send meth GET uri /check ver HTTP/1.0 hdr Host bench.example hdr User-Agent "Twisted PageGetter"
    http-check expect status 200
"""


@dataclass(frozen=True)
class Measurement:
    """What one checker used for how many checks."""

    checks: int
    seconds: float

    @property
    def micros(self) -> float:
        """CPU per check, in microseconds."""
        return self.seconds / max(1, self.checks) * 1e6


def addresses() -> list[IPv4Address]:
    first = int(IPv4Address("127.1.0.1"))
    return [IPv4Address(first + number) for number in range(SERVERS)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process with one thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def requests(port: int) -> int:
    """Return how many requests nginx has had, without this one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stub") as answer:
        return int(answer.read().split()[9]) - 1


def measure(command: list[str], port: int) -> Measurement:
    """Run a checker for a while and return what it used."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(WARM_UP)
        checks, seconds = requests(port), cpu(process.pid)
        time.sleep(MEASURED)
        return Measurement(requests(port) - checks - 1, cpu(process.pid) - seconds)
    finally:
        process.terminate()
        process.wait()


def check(port: int, interval: float) -> None:
    """Be the checker: monitors of all servers until SIGTERM."""
    reactor = EPollReactor()
    reactor.seconds = time.monotonic
    engine = Engine(reactor)
    engine.start()
    service = Service("bench", IPProtocol.TCP, IPv4Address("192.0.2.1"), port, "rr")
    settings = ProxyFetchSettings(("http://bench.example/check",), interval=interval)
    plan = prepare(settings, service, engine=engine, random=Random(1))

    def report(report: Report) -> None:
        if not report.up:
            print(report.reason, file=sys.stderr)

    for address in addresses():
        plan.monitor(str(address), address, report).start()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.run(installSignalHandlers=False)


def haproxy(directory: Path, port: int, interval: float) -> list[str]:
    config = directory / f"haproxy-{interval:g}.cfg"
    lines = [
        f"    server s{number} {address}:{port} check inter {int(interval * 1000)}ms"
        for number, address in enumerate(addresses())
    ]
    config.write_text(_HAPROXY.format(directory=directory) + "\n".join(lines) + "\n")
    return [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", str(config)]


def nginx(directory: Path, port: int) -> subprocess.Popen[bytes]:
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, port=port))
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(directory), "-c", str(config)])
    while True:
        try:
            requests(port)
        except OSError:
            time.sleep(0.05)
        else:
            return process


def main() -> None:
    print(f"CPU per HTTP check, {SERVERS} servers, {ROUNDS} rounds of {MEASURED:g} s, medians")
    print(f"{'checks/s':>10} {'PyBal':>10} {'HAProxy':>10} {'ratio':>7}   target")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        port = free_port()
        server = nginx(directory, port)
        try:
            for rate in RATES:
                interval = SERVERS / rate
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    own = [sys.executable, "-m", "bench.checks", str(port), str(interval)]
                    ours.append(measure(own, port))
                    theirs.append(measure(haproxy(directory, port, interval), port))
                pybal = statistics.median(one.micros for one in ours)
                peer = statistics.median(one.micros for one in theirs)
                made = statistics.median(one.checks for one in ours) / MEASURED
                print(f"{made:10.0f} {pybal:7.0f} µs {peer:7.0f} µs {pybal / peer:7.2f}   ≤ {TARGET}", flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check(int(sys.argv[1]), float(sys.argv[2]))
    else:
        main()
