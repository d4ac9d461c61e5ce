"""Time from a server's crash to the removal of its destination, beside HAProxy's defaults.

Each server is a process that is killed. PyBal runs as in production, but with a table in memory; HAProxy checks the same servers
at the same time with ``option httpchk`` and its default interval, and logs each loss.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from random import Random

from twisted.internet.task import LoopingCall

from pybal.config.settings import ServiceSettings, Settings, SourceSettings
from pybal.core.model import IPProtocol, Service
from pybal.daemon.app import App
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.model import Command, Failure, Op
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import KINDS
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.resolve import dns_lookup
from pybal.runtime.log import Log
from pybal.runtime.loop import Loop
from pybal.runtime.systemd import Notifier

SERVERS = 100
KILLED = 20
PORT = 18080
PAUSE = 0.4  # seconds between two crashes
TARGET = 100  # times faster than HAProxy's defaults


class Recorder(MemoryBackend):
    """A table in memory that records when each destination is deleted."""

    def __init__(self) -> None:
        super().__init__(loopback=True)
        self.gone: dict[str, float] = {}

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        failures = super().apply(ops)
        now = time.monotonic()
        self.gone.update(
            {str(op.destination.address): now for op in ops if op.command is Command.DELETE and op.destination}
        )
        return failures


def serve(host: str) -> int:
    """Fork a server that answers every request; return its process id."""
    if pid := os.fork():
        return pid
    with socket.create_server((host, PORT), backlog=128) as listener:
        held = []
        while True:
            connection, _ = listener.accept()
            connection.settimeout(0.5)
            try:
                if connection.recv(4096):
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    connection.close()
            except TimeoutError:
                held.append(connection)  # an idle connection: keep it open
            except OSError:
                connection.close()


def start_haproxy(directory: Path, hosts: Sequence[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(directory / "log"))
    log.setblocking(False)
    servers = "\n".join(f"  server {host} {host}:{PORT} check" for host in hosts)
    (directory / "haproxy.cfg").write_text(
        f"global\n  log {directory}/log local0\ndefaults\n  mode http\n  log global\n  timeout connect 5s\n"
        f"  timeout server 5s\n  timeout client 5s\n"
        f"frontend unused\n  bind {directory}/unused\n  default_backend web\nbackend web\n  option httpchk GET /\n{servers}\n"
    )
    return subprocess.Popen(["/usr/sbin/haproxy", "-q", "-db", "-f", str(directory / "haproxy.cfg")]), log


def main() -> None:
    """Print medians and their ratio."""
    if not shutil.which("haproxy", path="/usr/sbin:/usr/bin"):
        print("detection: haproxy is not installed")
        return
    hosts = [f"127.0.9.{i + 1}" for i in range(SERVERS)]
    pids = {host: serve(host) for host in hosts}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        haproxy, log = start_haproxy(directory, hosts)
        try:
            killed, ours, theirs = measure(directory, hosts, pids, log)
        finally:
            haproxy.terminate()
            haproxy.wait()
            for pid in pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    took = {
        "PyBal, held connection": [ours[host] - at for host, at in killed.items() if ours.get(host, 0) > at],
        "HAProxy 2.6, defaults": [theirs[host] - at for host, at in killed.items() if theirs.get(host, 0) > at],
    }
    for what, seconds in took.items():
        report(what, seconds)
    mine, haproxys = (statistics.median(seconds) for seconds in took.values())
    print(f"  faster than HAProxy by a factor of {haproxys / mine:.0f} (target {TARGET})")


def report(what: str, seconds: list[float]) -> None:
    median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(f"  crash to depool, {what}: median {median:.1f} ms, worst {worst:.1f} ms, {len(seconds)} of {KILLED} seen")


def measure(
    directory: Path, hosts: Sequence[str], pids: dict[str, int], log: socket.socket
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    pool = directory / "pool"
    pool.write_text("".join(f"{{'host': '{host}'}}\n" for host in hosts))
    service = Service(
        "web", IPProtocol.TCP, ip_address("192.0.2.1"), PORT, "wrr", monitors=("ProxyFetch", "IdleConnection")
    )
    monitors = (ProxyFetchSettings(("http://www.example.org/",)), IdleConnectionSettings())
    reactor = Loop()
    backend = Recorder()
    app = App(
        Loaded(Settings((ServiceSettings(service, SourceSettings(f"file://{pool}"), monitors),)), (), ""),
        file=ConfigurationFile("/nonexistent", KINDS),
        reactor=reactor,
        held=reactor.held,
        backend=backend,
        lookup=dns_lookup(reactor),
        random=Random(1),
        notifier=Notifier({}, reactor),
        log=Log(lambda _: None),
        runtime=directory,
    )
    killed: dict[str, float] = {}
    theirs: dict[str, float] = {}

    def kill_one() -> None:
        host = hosts[len(killed) * SERVERS // KILLED]
        os.kill(pids[host], signal.SIGKILL)
        killed[host] = time.monotonic()
        if len(killed) < KILLED:
            reactor.callLater(PAUSE, kill_one)

    def listen() -> None:
        try:
            while True:
                line = log.recv(4096).decode()
                if " is DOWN" in line:
                    theirs.setdefault(line.partition("Server web/")[2].partition(" ")[0], time.monotonic())
        except BlockingIOError:
            pass
        if len(killed) == KILLED and all(
            min(theirs.get(h, 0), backend.gone.get(h, 0)) > at for h, at in killed.items()
        ):
            reactor.crash()

    reactor.callWhenRunning(app.start)
    reactor.callLater(6.0, kill_one)
    reactor.callLater(60.0, reactor.crash)
    listening = LoopingCall(listen)
    listening.clock = reactor
    listening.start(0.005)
    reactor.run(installSignalHandlers=False)
    return killed, backend.gone, theirs


if __name__ == "__main__":
    main()
