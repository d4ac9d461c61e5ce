"""The replay of a journal with a million events: 116 services with 95 servers each.

``batches`` has 200 reports in each record, as in a mass failure; ``single`` has one in each record. A report is an event.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from pybal.client.replay import checked
from pybal.core.events import Gathered, Listed, Reported, Resolved
from pybal.core.model import IPProtocol, Member, Pool, Report, Service
from pybal.core.policy import serving, step
from pybal.journal.reader import Reader
from pybal.journal.records import event_record, head, header, plain, pool_in_parts
from pybal.journal.values import placements

SERVICES = 116
SERVERS = 95
TARGET = 10.0
"""Seconds for a million events, on two cores."""
DAY = "2026-11-30T08:00:00.000Z"


def main(options: Sequence[str] = ()) -> None:
    """Print the seconds for a million events, by the size of a batch."""
    parser = argparse.ArgumentParser("bench replay")
    parser.add_argument("--events", type=int, default=1_000_000)
    events: int = parser.parse_args(options).events
    with tempfile.TemporaryDirectory() as name:
        for word, batch, number in (("batches", 200, events), ("single", 1, max(1, events // 5))):
            path = Path(name) / f"{word}.jsonl"
            with path.open("w") as file:
                file.writelines(lines(number, batch))
            began = time.monotonic()
            replay, _ = checked(Reader(path))
            took = time.monotonic() - began
            assert not replay.differences
            assert replay.counts.reports >= number
            rate = f"{took / number * 1e6:.1f} us for an event, {took / number * 1e6:.0f} s for a million"
            size = path.stat().st_size / number
            print(f"  {word:8}: {number} events of {size:.0f} bytes, {rate} (target {TARGET:.0f})", flush=True)


def lines(events: int, batch: int) -> Iterator[str]:
    """Yield the lines of a journal, with ``events`` reports in all, ``batch`` in each record."""
    n, random, up = 1, Random(1), [[True] * SERVERS for _ in range(SERVICES)]
    yield header(1, 0.0, DAY) + "".join(plain(pybal="2", host="lvs1", run="1"))
    pools = []
    for number in range(SERVICES):
        vip = IPv4Address("192.0.2.0") + number
        pool = Pool(Service(f"s{number}", IPProtocol.TCP, vip, 80, "mh", monitors=("ProxyFetch",)))
        hosts = [f"cp{number}-{server}.example.org" for server in range(SERVERS)]
        pool = step(pool, Listed(tuple(map(Member, hosts))))
        pool = step(pool, Resolved({host: IPv4Address("10.0.0.0") + number * 256 + i for i, host in enumerate(hosts)}))
        pool = step(pool, Gathered([Reported(host, "ProxyFetch", Report(True)) for host in hosts]))
        pools.append(pool)
        n += 1
        yield head(n, 0.0, DAY) + "".join(pool_in_parts(number, pool))
    for done in range(0, events, batch):
        number = random.randrange(SERVICES)
        pool = pools[number]
        reports = []
        for _ in range(batch):
            server = random.randrange(SERVERS)
            passes = up[number][server] = not up[number][server]
            host = f"cp{number}-{server}.example.org"
            reason = "" if passes else "connect: refused"
            report = Report(passes, reason, done / 100, reason)
            reports.append(Reported(host, "ProxyFetch", report, pool.servers[host].address))
        event = Gathered(reports)
        pools[number] = step(pool, event)
        placed = placements(pool, pools[number])
        n += 1
        yield head(n, done / 100, DAY) + "".join(
            event_record(number, f"s{number}", event, placed, serving(pools[number]))
        )


if __name__ == "__main__":
    main()
