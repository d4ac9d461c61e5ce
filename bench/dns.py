"""CPU per DNS check: PyBal's engine and DNSQuery beside the client of twisted.names, which PyBal 1.15 checks with.

Both ask one unbound the same question at the same rate, by turns in one run: PyBal as monitors of many servers,
twisted.names with as many resolvers (one alone would ask once for many), without the monitors that PyBal 1.15 has
around them. CPU is user and system time of the whole process while answers are counted.
"""

from __future__ import annotations

import gc
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import cycle
from pathlib import Path
from random import Random

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import LoopingCall
from twisted.names.client import Resolver
from twisted.python.failure import Failure

from pybal.checks.engine import Engine
from pybal.config.settings import DNSQuerySettings
from pybal.model import IPProtocol, Report, Service
from pybal.monitors.kinds import prepare

HOST = "127.0.0.1"
NAME = "www.test"
RATES = (200, 1000)
INTERVAL = 2.0  # seconds
ROUNDS = 3
WARM_UP = 2.0  # seconds
MEASURED = 6.0  # seconds
TARGET = 0.3  # times twisted.names: 0.15 x PyBal 1.15, of whose cost twisted.names is half

_UNBOUND = """
server:
    interface: {host}
    port: {port}
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{directory}"
    use-syslog: no
    logfile: "{directory}/log"
    num-threads: 1
    local-zone: "test." static
    local-data: "{name}. A 192.0.2.7"
remote-control:
    control-enable: no
"""

Count = Callable[[], int]


def pybal(reactor: EPollReactor, port: int, rate: int) -> Count:
    """Start monitors, and return how many answers they had."""
    engine = Engine(reactor)
    engine.start()
    service = Service("bench", IPProtocol.UDP, IPv4Address("192.0.2.1"), port, "rr")
    plan = prepare(DNSQuerySettings((NAME,), interval=INTERVAL), service, engine=engine, random=Random(1))

    def report(report: Report) -> None:
        if not report.up:
            print(report.reason, file=sys.stderr)

    monitors = [plan.monitor(HOST, IPv4Address(HOST), report) for _ in range(int(rate * INTERVAL))]
    for monitor in monitors:
        monitor.start()
    return lambda: sum(monitor.up_results for monitor in monitors)


def twisted_names(reactor: EPollReactor, port: int, rate: int) -> Count:
    """Start asking, and return how many answers came."""
    resolvers = cycle([Resolver(servers=[(HOST, port)], reactor=reactor) for _ in range(int(rate * INTERVAL))])
    answers = 0

    def answered(_records: object) -> None:
        nonlocal answers
        answers += 1

    def failed(failure: Failure) -> None:
        print(failure, file=sys.stderr)

    def ask(times: int) -> None:
        for _ in range(times * rate // 100):
            next(resolvers).lookupAddress(NAME, (5,)).addCallbacks(answered, failed)

    asking = LoopingCall.withCount(ask)
    asking.clock = reactor
    asking.start(0.01)
    return lambda: answers


ASKERS = {"pybal": pybal, "twisted.names": twisted_names}


def ask(asker: str, port: int, rate: int) -> None:
    """Be one of the two, and print CPU seconds and answers."""
    reactor = EPollReactor()
    reactor.seconds = time.monotonic
    count = ASKERS[asker](reactor, port, rate)
    before: list[float] = []

    def begin() -> None:
        gc.collect()
        gc.freeze()
        before.extend((time.process_time(), count()))

    def end() -> None:
        print(time.process_time() - before[0], count() - before[1])
        reactor.crash()

    reactor.callLater(WARM_UP, begin)
    reactor.callLater(WARM_UP + MEASURED, end)
    reactor.run(installSignalHandlers=False)


def measure(asker: str, port: int, rate: int) -> tuple[float, float]:
    """Return microseconds of CPU per answer, and answers a second."""
    command = [sys.executable, "-m", "bench.dns", asker, str(port), str(rate)]
    seconds, answers = map(float, subprocess.check_output(command).split())
    return seconds / max(1, answers) * 1e6, answers / MEASURED


def unbound(directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Return a running unbound, and its port."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
    config = directory / "unbound.conf"
    config.write_text(_UNBOUND.format(host=HOST, port=port, directory=directory, name=NAME))
    process = subprocess.Popen([shutil.which("unbound") or "/usr/sbin/unbound", "-d", "-c", str(config)])
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return process, port
        time.sleep(0.05)


def main() -> None:
    print(f"CPU per DNS check, {ROUNDS} rounds of {MEASURED:g} s, medians")
    print(f"{'checks/s':>10} {'PyBal':>10} {'twisted.names':>14} {'ratio':>7}   target")
    with tempfile.TemporaryDirectory() as name:
        server, port = unbound(Path(name))
        try:
            for rate in RATES:
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    ours.append(measure("pybal", port, rate))
                    theirs.append(measure("twisted.names", port, rate))
                own, made = (statistics.median(values) for values in zip(*ours, strict=True))
                peer = statistics.median(micros for micros, _ in theirs)
                print(f"{made:10.0f} {own:7.1f} µs {peer:11.1f} µs {own / peer:7.2f}   ≤ {TARGET}", flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ask(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
