"""A process with only the engine and its monitors, on the event loop of the daemon.

``python -m bench.checks.engine KIND SERVERS SECONDS PORT``
"""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter
from ipaddress import IPv4Address
from random import Random

from bench.checks.load import HOST, NAME, Load
from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import prepare
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.runtime.file_values import inline
from pybal.runtime.loop import install


def settings(load: Load) -> MonitorSettings:
    interval = load.interval
    table: dict[str, MonitorSettings] = {
        "tcp": TCPConnectSettings(interval=interval),
        "http": ProxyFetchSettings((f"http://{HOST}/check",), interval=interval),
        "https": ProxyFetchSettings((f"https://{HOST}/check",), interval=interval),
        "dns": DNSQuerySettings((NAME,), interval=interval),
        "idle": IdleConnectionSettings(),
    }
    return table[load.kind]


def main() -> None:
    load = Load.of(sys.argv[1:])
    reactor = install()
    engine = Engine(reactor)
    engine.start()
    service = Service("bench", IPProtocol.TCP, IPv4Address("192.0.2.1"), load.port, "rr")
    plan = prepare(settings(load), service, engine=engine, random=Random(1), files=inline(reactor))

    down: Counter[str] = Counter()

    def report(report: Report) -> None:
        if not report.up:
            down[report.reason] += 1

    for address in load.addresses:
        plan.monitor(str(address), address, report).start()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.run(installSignalHandlers=False)
    for reason, times in down.most_common(3):
        print(f"engine: went down {times} times: {reason}", file=sys.stderr)
    print(f"lag {engine.lateness.quantile(0.99)}")


if __name__ == "__main__":
    main()
