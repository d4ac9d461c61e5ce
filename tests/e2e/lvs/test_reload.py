"""Reload under load fails no connection; with 11,000 servers it is cheap and minimal."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.harness.daemon_process import PATIENCE, Daemon, daemon, wait_for
from tests.harness.guest import namespace
from tests.harness.guest.clients import OpenConnection, RequestLoop
from tests.harness.guest.network import VIP, LVSNetwork, lab

ENDPOINT = "http://127.0.0.1:9090"
CONF = """
[DEFAULT]
protocol = tcp
ip = {vip}
scheduler = wrr
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.5

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
ipvs-remove-grace = 1
{general}
[same]
port = 80
config = file://{directory}/web.pool

[{name}]
port = 81
config = file://{directory}/web.pool
{other}
{more}"""
MORE = "[more]\nport = 82\nconfig = file://{directory}/web.pool\n"

CHANGES: dict[str, dict[str, str]] = {
    "a scheduler": {"other": "scheduler = mh"},
    "its flags": {"other": "scheduler = mh\nscheduler-flag = mh-port"},
    "a threshold": {"other": "depool-threshold = .9"},
    "a monitor more": {"other": "monitors = ['ProxyFetch', 'IdleConnection', 'TCPConnect']"},
    "an option of a monitor": {"other": "proxyfetch.interval = 0.7"},
    "no monitor at all": {"other": "monitors = []"},
    "shared checks": {"other": "share-checks = yes"},
    "another source": {"other": "config = file://{directory}/same.pool"},
    "another name": {"name": "another"},
    "a service more": {"more": MORE},
    "endpoints": {"general": "instrumentation_ips = ['127.0.0.1', '::1']"},
    "all of it": {
        "name": "another",
        "other": "scheduler = sh\nmonitors = ['TCPConnect']\nconfig = file://{directory}/same.pool",
        "more": MORE,
        "general": "suspect-self = off\nipvs-audit-interval = 1",
    },
    "original": {},
}
"""Differences from the first configuration, in order."""

TUNNELS = "tunneling = yes"
"""A change of tunneling, which disturbs the changed service only.

Linux keeps one route per destination; the route of a tunnel breaks connections without tunnel.
"""


class TwoServices:
    """A network whose director runs the daemon with two services."""

    def __init__(self, made: LVSNetwork, directory: Path) -> None:
        self.lab = made
        self.directory = directory
        for server in made.servers:
            server.serve(80)
            server.serve(81)
        pool = "".join(f"{{'host': '{server.address}'}}\n" for server in made.servers)
        for name in ("web", "same"):
            (directory / f"{name}.pool").write_text(pool)
        self.configure()

    def configure(self, name: str = "other", **parts: str) -> None:
        texts = {part: parts.get(part, "").format(directory=self.directory) for part in ("general", "other", "more")}
        conf = CONF.format(vip=VIP, directory=self.directory, name=name, **texts)
        (self.directory / "pybal.conf").write_text(conf)

    def table(self, port: int) -> list[str]:
        printed = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout
        return sorted(line for line in printed.splitlines() if f"{VIP}:{port} " in f"{line} ")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TwoServices]:
    with lab(3) as made, made.director.entered():
        yield TwoServices(made, tmp_path)


def test_reload_of_any_change_keeps_all_connections(site: TwoServices, say: Callable[[str], None]) -> None:
    client = site.lab.client
    with daemon(site.directory, endpoint=ENDPOINT) as process, ExitStack() as stack:
        for name in ("same", "other"):
            process.wait(partial(pooled, process, name, 3), f"{name} pooled")
        table = site.table(80)
        assert len(table) == 4
        # Before other connections: the scheduler then gives each server one of them.
        guests = {port: [OpenConnection(client, VIP, port) for _ in site.lab.servers] for port in (80, 81)}
        loads = [stack.enter_context(RequestLoop(client, VIP, port)) for port in (80, 81)]
        for change, parts in CHANGES.items():
            site.configure(**parts)
            outcome = process.reload()
            assert outcome["accepted"], (change, outcome)
            for load in loads:
                wait_for(partial(load.more, load.answered + 10), partial(str, change))
            assert [load.failures for load in loads] == [[], []], change
            assert site.table(80) == table, change
        say(f"{sum(load.answered for load in loads)} connections during {len(CHANGES)} reloads, none failed")
        names = [server.name for server in site.lab.servers]
        assert sorted(guest.answer() for guest in guests[81]) == names
        site.configure(other=TUNNELS)
        assert process.reload()["accepted"]
        wait_for(partial(loads[0].more, loads[0].answered + 10), lambda: "clients served")
        assert loads[0].failures == []
        assert site.table(80) == table
        assert sorted(guest.answer() for guest in guests[80]) == names


def pooled(process: Daemon, service: str, wanted: int) -> bool:
    return process.get(f"/pools/{service}").count("/up/pooled") == wanted


SERVICES, SERVERS = 116, 95
LARGE = """
[DEFAULT]
protocol = tcp
port = 80
scheduler = wrr
initial-state = up
depool-threshold = 1
monitors = ['IdleConnection']
idleconnection.max-delay = 300

[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
ipvs-audit-interval = 3600
"""


@contextmanager
def large(directory: Path) -> Iterator[Daemon]:
    """Run the daemon with 116 services and 11,000 servers in the kernel."""
    sections = []
    for n in range(SERVICES):
        (directory / f"{n}.pool").write_text("".join(f"{{'host': '10.1.{n}.{m}'}}\n" for m in range(1, SERVERS + 1)))
        sections.append(f"[svc{n}]\nip = 10.2.{n}.1\nconfig = file://{directory}/{n}.pool\n")
    (directory / "pybal.conf").write_text(LARGE + "".join(sections))
    with daemon(directory, "-d", endpoint=ENDPOINT) as process:
        wait_for(all_in_kernel, lambda: f"{in_kernel()}\n{process.log[-3000:]}", 2 * PATIENCE)
        yield process


def all_in_kernel() -> bool:
    """Return whether every server is in the kernel, after a while: each reading costs the guest much CPU."""
    time.sleep(3)
    return in_kernel() == SERVICES * SERVERS


def in_kernel() -> int:
    return subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout.count("\n-a ")


def log_from(process: Daemon, offset: int) -> str:
    """Return the log from an offset in bytes; all of it, several megabytes, would take the guest longer."""
    with process.log_file.open("rb") as log:
        log.seek(offset)
        return log.read().decode(errors="replace")


def cpu(process: Daemon) -> float:
    """Return the CPU seconds of a process."""
    words = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_reload_with_11000_servers_applies_one_change_cheaply(tmp_path: Path, say: Callable[[str], None]) -> None:
    with namespace.fresh():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with large(tmp_path) as process:
            text = (tmp_path / "pybal.conf").read_text()
            (tmp_path / "pybal.conf").write_text(text.replace("ip = 10.2.57.1\n", "ip = 10.2.57.1\nscheduler = mh\n"))
            log, before = process.log_file.stat().st_size, cpu(process)
            outcome = process.reload()
            used = cpu(process) - before
            steps = outcome["plan"]["services"]
            assert [step["service"] for step in steps if step["step"] != "keep"] == ["svc57"]
            assert len(steps) == SERVICES
            # After its module; the plan logs the operation too.
            written = partial(log_from, process, log)
            wait_for(lambda: "DEBUG: ipvsadm -E " in written(), lambda: process.log[-3000:], 2 * PATIENCE)
            lines = written().splitlines()
            told = [line.partition("ipvsadm ")[2] for line in lines if "DEBUG: ipvsadm" in line]
            assert told == ["-E -t 10.2.57.1:80 -s mh"]
            assert in_kernel() == SERVICES * SERVERS
            say(f"a reload with {SERVICES * SERVERS} servers took {used:.2f} s of CPU, being asked about it included")
