"""Sample journals of two incidents, made by whole daemons. Needs root.

``python -m tests.harness.journal_stories DIRECTORY`` takes two minutes. Each is written to its own folder, ``journal-1`` and ``journal-2``, for readers who know only the documentation:

1. A deployment turns the URL of the check of ``web`` into a redirect, so that all of its servers fail. Then the weight of one server
   is edited, which has nothing to do with it. The URL is repaired at the end.
2. A rack with half of the servers of ``text`` dies while two servers of the other rack are disabled. The threshold keeps the dead
   ones pooled. The disabled ones are enabled, later the rack returns.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep

from tests.harness.daemon_process import Daemon, WebServer, daemon

PORT = 80
CALM = 8.0
"""Seconds without an event."""
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
control-socket = {directory}/control.sock
ipvs-backend = memory
journal = yes
"""
SERVICE = """
[{name}]
protocol = tcp
ip = 192.0.2.{number}
port = 80
scheduler = wrr
depool-threshold = {threshold}
config = file://{directory}/{name}.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/health']
proxyfetch.interval = 1
proxyfetch.timeout = 1
"""
_NAMES = 'mount --bind "$0" /etc/hosts && exec "$@"'
"""Runs a command with other names of hosts."""


class Story:
    """A daemon with web servers at 10.0.0.0/24; must run in its own network namespace."""

    def __init__(self, directory: Path, services: Mapping[str, tuple[float, Sequence[str]]]) -> None:
        self.directory = directory
        self.servers: dict[str, WebServer] = {}
        self.pools = {name: dict.fromkeys(hosts, 10) for name, (_, hosts) in services.items()}
        self.disabled: set[str] = set()
        conf, names = CONF.format(directory=directory), ["127.0.0.1 localhost"]
        for number, (name, (threshold, hosts)) in enumerate(services.items(), 1):
            conf += SERVICE.format(directory=directory, name=name, number=number, threshold=threshold)
            for host in hosts:
                address = f"10.0.0.{len(names) + 10}"
                names.append(f"{address} {host}")
                subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
                self.servers[host] = WebServer(address, PORT)
            self.write(name)
        (directory / "pybal.conf").write_text(conf)
        (directory / "hosts").write_text("\n".join(names) + "\n")

    def write(self, name: str) -> None:
        """Write the list of a service."""
        lines = [
            f"{{'host': '{host}', 'weight': {weight}, 'enabled': {host not in self.disabled}}}\n"
            for host, weight in self.pools[name].items()
        ]
        (self.directory / f"{name}.pool").write_text("".join(lines))

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Run the daemon; stop it in order at the end, then the servers."""
        names = str(self.directory / "hosts")
        prefix = ("env", f"STATE_DIRECTORY={self.directory}", "unshare", "-m", "sh", "-c", _NAMES, names)
        with daemon(self.directory, prefix=prefix, endpoint="http://127.0.0.1:9090") as found:
            yield found
            found.stop()
        for server in self.servers.values():
            server.stop()


@contextmanager
def lost(servers: Sequence[WebServer]) -> Iterator[None]:
    """Let servers not respond, like a rack without its switch: a full backlog drops SYNs."""
    with ExitStack() as stack:
        for server in servers:
            server.stop()
            silent = stack.enter_context(socket.create_server((server.host, server.port), backlog=0))
            for _ in range(3):
                full = stack.enter_context(socket.socket())
                full.setblocking(False)
                full.connect_ex(silent.getsockname())
        yield
    for server in servers:
        server.start()


def redirected_check(directory: Path) -> None:
    """Make the first journal."""
    web, api = [f"web{n}.example.org" for n in range(1, 7)], [f"api{n}.example.org" for n in range(1, 4)]
    story = Story(directory, {"web": (0.5, web), "api": (0.5, api)})
    with story.running() as pybal:
        pybal.wait(lambda: pybal.get("/pools/web").count("/up/pooled") == 6, "six servers pooled")
        sleep(CALM)
        story.servers["api2.example.org"].stop()
        sleep(4)
        story.servers["api2.example.org"].start()
        sleep(CALM)
        for host in web:
            story.servers[host].status = 301
        sleep(CALM)
        story.pools["web"]["web4.example.org"] = 20
        story.write("web")
        sleep(CALM)
        for host in web:
            story.servers[host].status = 200
        pybal.wait(lambda: pybal.get("/pools/web").count("/up/pooled") == 6, "six servers pooled again")
        sleep(CALM)


def dead_rack(directory: Path) -> None:
    """Make the second journal."""
    text = [f"cp{n}.example.org" for n in range(1001, 1009)]
    story = Story(directory, {"text": (0.7, text), "dns": (0.5, [f"dns{n}.example.org" for n in range(1, 4)])})
    story.disabled = {"cp1005.example.org", "cp1006.example.org"}
    story.write("text")
    with story.running() as pybal:
        pybal.wait(lambda: pybal.get("/pools/text").count("/up/pooled") == 6, "six servers pooled")
        sleep(CALM)
        with lost([story.servers[host] for host in text[:4]]):
            sleep(2 * CALM)
            story.disabled.clear()
            story.write("text")
            sleep(CALM)
        pybal.wait(lambda: pybal.get("/pools/text").count("/up/pooled") == 8, "eight servers pooled")
        sleep(CALM)


def make(target: Path) -> None:
    """Make both journals. Must run in its own network namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for number, story in enumerate[Callable[[Path], None]]((redirected_check, dead_rack), 1):
        with tempfile.TemporaryDirectory() as name:
            story(Path(name))
            subprocess.run(["ip", "addr", "flush", "to", "10.0.0.0/24", "dev", "lo"], check=True)
            shutil.copytree(Path(name, "journal"), target / f"journal-{number}")


def main() -> None:
    """Run in a new network namespace."""
    (target,) = map(Path, sys.argv[1:])
    if os.environ.get("JOURNAL_STORIES"):
        make(target)
    else:
        command = ["unshare", "-n", sys.executable, "-m", "tests.harness.journal_stories", str(target)]
        subprocess.run(command, env={**os.environ, "JOURNAL_STORIES": "1"}, check=True)


if __name__ == "__main__":
    main()
