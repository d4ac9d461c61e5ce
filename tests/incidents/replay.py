"""The replay of a public incident: its hosts, its page, and the invariants that hold all the time.

A replay is a test in ``in_guest/``. Its inputs are calls of Python; what an operator sees is in the sections of its page, docs/incidents/:
:meth:`Replay.play` writes the files of a section and runs its commands, until they print what the page shows. At the end every section
with a command has been played, so that the page is what happened.
"""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.docs.network import Machine, writing
from tests.docs.page import ROOT, Page, read
from tests.docs.place import Result
from tests.docs.play import difference, play
from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import RequestLoop
from tests.harness.guest.network import Host, LVSNetwork, lab
from tests.incidents.invariants import Invariants

PAGES = ROOT / "docs/incidents"
PATIENCE = 120.0
"""Longest time until outputs are as a page shows, in seconds; long, because the machine is shared."""
DRAFT = bool(os.environ.get("INCIDENT_DRAFT"))
"""A switch to print outputs that differ from the page, and go on: set by ``--draft``."""
DOMAIN = "example.org"
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)


class Balancer:
    """A host with IPVS and its own /etc, /run and /var, for ``systemctl start pybal``."""

    def __init__(self, name: str, host: Host, hosts: str) -> None:
        self.name = name
        self.host = host
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv4.vs.expire_nodest_conn", 1)  # as `pybal doctor` wants it
        with host.entered():
            self._machine = Machine(host.stack, name, hosts, net=False)

    def run(self, command: str) -> Result:
        return self._machine.run(command)

    def shell(self, command: str) -> None:
        """Run a command. Raises AssertionError if it fails."""
        self._machine.shell(command)

    def write(self, path: str, text: str) -> None:
        """Write a file below /etc."""
        self._machine.shell(writing(path, text))

    def read(self, path: str) -> str:
        """Return a file of the host. Raises OSError."""
        return Path(f"{self.root}{path}").read_text()

    @property
    def root(self) -> Path:
        """The root of its files, for this process."""
        return Path(f"/proc/{self._machine.process}/root")

    @property
    def log(self) -> str:
        """The log of the daemon, empty before its first start."""
        try:
            return self.read("/var/log/pybal.log")
        except FileNotFoundError:
            return ""

    def get(self, path: str) -> str:
        """Return the body at ``path`` of the endpoints. Raises OSError."""
        with self.host.entered(), urllib.request.urlopen(f"http://127.0.0.1:9090{path}", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def alerts(self) -> str:
        """Return all alerts, one in a line: severity, service or ``pybal``, kind and text. Raises OSError."""
        return self.get("/v1/alerts")

    def destinations(self, port: int) -> Sequence[str]:
        """Return the addresses to which IPVS sends new connections of a port."""
        found, inside = [], False
        with self.host.entered():
            lines = Path("/proc/thread-self/net/ip_vs").read_text().splitlines()
        for line in lines:
            words = line.split()
            if words[0] in {"TCP", "UDP"}:
                inside = words[1].endswith(f":{port:04X}")
            elif inside and words[0] == "->" and int(words[3]):
                found.append(_address(words[1]))
        return found


def _address(text: str) -> str:
    """Return the address of ``0A00000B:0050``."""
    return ".".join(str(byte) for byte in bytes.fromhex(text.partition(":")[0]))


class Replay:
    """A network, the page of the incident, and the invariants.

    ``servers`` are the names of the servers, which each balancer finds in /etc/hosts.
    """

    def __init__(self, name: str, network: LVSNetwork, servers: Sequence[str]) -> None:
        self.network = network
        self.invariants = Invariants()
        self._page = read(PAGES / f"{name}.md")
        self._hosts = "127.0.0.1 localhost\n" + "".join(
            f"{host.address} {server}.{DOMAIN} {server}\n"
            for server, host in zip(servers, network.servers, strict=True)
        )
        self._balancers: dict[str, Balancer] = {}
        self._played: list[str] = []

    def balancer(self, name: str, host: Host | None = None) -> Balancer:
        """Make a host a balancer, by default the director. The prompts of the page have its name."""
        made = self._balancers[name] = Balancer(name, host or self.network.director, self._hosts)
        self.invariants.add(f"{name}: no traceback", lambda: made.log if "Traceback" in made.log else "")
        return made

    def keep_pooled(self, balancer: Balancer, port: int, floor: int) -> None:
        """Add the invariant that IPVS of a balancer has at least ``floor`` servers at ``port``."""

        def violation() -> str:
            found = balancer.destinations(port)
            return "" if len(found) >= floor else f"{found}"

        self.invariants.add(f"{balancer.name}: {floor} servers at port {port}", violation)

    def keep_served(self, clients: RequestLoop, but: int = 0) -> None:
        """Add the invariant that no request of the clients fails, except as many as ``but``."""

        def violation() -> str:
            return "" if len(clients.failures) <= but else f"{clients.failures}"

        self.invariants.add(f"at most {but} failed requests", violation)

    def keep_answering(self, clients: RequestLoop, seconds: float) -> None:
        """Add the invariant that the clients receive a response at least once in ``seconds``."""

        def violation() -> str:
            silence = time.monotonic() - clients.latest
            return "" if silence <= seconds else f"no response for {silence:.1f} s: {clients.failures[-1:]}"

        self.invariants.add(f"a response every {seconds:g} s", violation)

    def expect(self, balancer: Balancer, alert: str, within: float = PATIENCE) -> None:
        """Wait for an alert that begins with these words, for ``within`` seconds at most."""
        self._await(balancer, lambda: f"\n{alert}" in f"\n{balancer.alerts()}", f"the alert {alert!r}", within)

    def expect_end(self, balancer: Balancer, words: str, within: float = PATIENCE) -> None:
        """Wait until no alert has these words, such as the service, for ``within`` seconds at most."""
        self._await(
            balancer, lambda: f" {words} " not in balancer.alerts(), f"the end of the alerts of {words}", within
        )

    def _await(self, balancer: Balancer, done: Callable[[], bool], what: str, within: float) -> None:
        def holding() -> bool:
            self.invariants.check()
            return done()

        began = time.monotonic()
        wait_for(holding, lambda: f"no {what}:\n{balancer.alerts()}\n{balancer.log[-4000:]}", within)
        print(f"\nmeasured: {balancer.name}: {what} after {time.monotonic() - began:.1f} s")

    def play(self, heading: str, within: float = PATIENCE) -> None:
        """Write the files of a section of the page and run its commands.

        Raises AssertionError if an output is not as the page shows ``within`` seconds.
        """
        section = _section(self._page, heading)
        self._played.append(heading)
        for played in play(section, self, 20.0 if DRAFT else within):
            self.invariants.check()
            if not played.expected:
                self._differs(difference(section, played))

    def _differs(self, text: str) -> None:
        if DRAFT:
            print(text)
            return
        logs = "".join(f"-- log of {each.name}\n{each.log[-4000:]}" for each in self._balancers.values())
        raise AssertionError(text + logs)

    def finish(self) -> None:
        """Check that the page has nothing that was not played."""
        headings = _HEADING.findall(self._page.text)
        assert self._played == [each for each in headings if _is_playable(_section(self._page, each))]

    # The place in which the page is played, see tests.docs.place.

    def begin(self, hosts: Collection[str]) -> None:
        assert {*hosts} <= {*self._balancers}, f"{self._page.name} names {hosts}"

    def run(self, host: str, command: str) -> Result:
        return self._balancers[host].run(command)

    def write(self, host: str, path: str, text: str) -> None:
        self._balancers[host].write(path, text)


def _section(page: Page, heading: str) -> Page:
    """Return a page with one section, whose lines have their numbers."""
    found = next((each for each in _HEADING.finditer(page.text) if each[1] == heading), None)
    assert found, f"{page.name} has no section {heading!r}"
    following = _HEADING.search(page.text, found.end())
    end = following.start() if following else len(page.text)
    return Page(page.name, "\n" * page.text.count("\n", 0, found.start()) + page.text[found.start() : end])


def _is_playable(section: Page) -> bool:
    return any(block.language == "console" or ":/" in block.title for block in section.blocks)


@contextmanager
def replay(name: str, servers: Sequence[str]) -> Iterator[Replay]:
    """Replay the incident of the page ``name``; the thread is in no host."""
    with lab(len(servers)) as network:
        made = Replay(name, network, servers)
        with made.invariants.watched():
            yield made
        made.finish()
