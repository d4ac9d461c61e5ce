"""DNSQuery against unbound and BIND, IPv4 and IPv6, started by the tests and taken away meanwhile."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.names import dns

from pybal.config.settings import DNSQuerySettings
from pybal.model import Report
from tests.reactor import run
from tests.scripted import World

PATIENCE = 20.0
SETTINGS = DNSQuerySettings(("www.test",), interval=0.2, timeout=5.0)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])

LARGE = 90
"""Addresses of a name: more than a datagram of 512 bytes can hold, no more than BIND allows."""

UNBOUND = """
server:
    interface: 127.0.0.1
    interface: ::1
    access-control: ::1/128 allow
    port: {port}
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{directory}"
    use-syslog: no
    logfile: "{directory}/log"
    do-not-query-address: 192.0.2.1
    local-zone: "test." static
    local-zone: "refused.example." refuse
    local-data: "www.test. A 192.0.2.7"
    local-data: "www.test. AAAA 2001:db8::7"
    local-data: "four.test. A 192.0.2.4"
{large}
forward-zone:
    name: "broken.example."
    forward-addr: 192.0.2.1
remote-control:
    control-enable: no
"""

BIND = """
options {{
    directory "{directory}"; pid-file "{directory}/pid"; session-keyfile none; managed-keys-directory "{directory}";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 port {port} {{ ::1; }};
    recursion no; dnssec-validation no; minimal-responses yes; notify no;
}};
controls {{ }};
zone "test" {{ type primary; file "{directory}/test.zone"; }};
zone "broken.example" {{ type primary; file "{directory}/broken.zone"; }};
"""
BIND_ZONE = """
$TTL 300
@ SOA ns.test. root.test. 1 3600 600 86400 300
@ NS ns
ns A 127.0.0.1
www A 192.0.2.7
www AAAA 2001:db8::7
four A 192.0.2.4
{large}
"""


def free_port() -> int:
    """Return a port that is free at this moment, for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(udp.getsockname()[1])


class NameServer:
    """One program with the names ``www.test``, ``four.test`` (no AAAA) and ``large.test``, on both loopback addresses."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not all(self._answers(host) for host in ("127.0.0.1", "::1")):
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)

    def _answers(self, host: str) -> bool:
        """Tell whether it knows the zone; BIND listens before it does."""
        query = dns.Message(id=1)
        query.queries = [dns.Query("www.test", dns.A, dns.IN)]
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(1.0)
            probe.connect((host, self.port))
            probe.send(query.toStr())
            try:
                return probe.recv(512)[3] & 15 == dns.OK
            except OSError:
                return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None


def unbound(directory: Path, port: int) -> list[str]:
    program = shutil.which("unbound", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs unbound: apt-get install unbound")
    conf = directory / "unbound.conf"
    large = "\n".join(
        f'    local-data: "large.test. {kind}{number}"'
        for number in range(1, LARGE + 1)
        for kind in ("A 10.1.0.", "AAAA 2001:db8::")
    )
    conf.write_text(UNBOUND.format(port=port, directory=directory, large=large))
    return [program, "-d", "-c", str(conf)]


def bind(directory: Path, port: int) -> list[str]:
    program = shutil.which("named", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs BIND: apt-get install bind9")
    large = "\n".join(
        f"large {kind}{number}" for number in range(1, LARGE + 1) for kind in ("A 10.1.0.", "AAAA 2001:db8::")
    )
    (directory / "test.zone").write_text(BIND_ZONE.format(large=large))
    (directory / "broken.zone").write_text("this is no zone\n")
    conf = directory / "named.conf"
    conf.write_text(BIND.format(port=port, directory=directory))
    return [program, "-f", "-n", "1", "-c", str(conf)]


@pytest.fixture(params=[unbound, bind], ids=["unbound", "BIND"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NameServer]:
    command: Callable[[Path, int], list[str]] = request.param
    port = free_port()
    made = NameServer(command(tmp_path, port), port)
    made.start()
    yield made
    made.stop()


def first_report(server: NameServer, host: str, *names: str, fail_on_nxdomain: bool = False) -> Report:
    async def main(reactor: EPollReactor) -> Report:
        async with World(reactor, host) as world:
            settings = replace(SETTINGS, hostnames=names, fail_on_nxdomain=fail_on_nxdomain)
            world.monitor(settings, port=server.port)
            return await world.report()

    return run(main)


def kind(host: str) -> str:
    return "AAAA" if ":" in host else "A"


@HOSTS
def test_a_server_that_knows_the_name_is_up(server: NameServer, host: str) -> None:
    assert first_report(server, host, "www.test", "four.test").up


def test_a_server_that_knows_no_such_address_of_the_name_is_up(server: NameServer) -> None:
    assert first_report(server, "::1", "four.test").up


@HOSTS
def test_a_name_that_does_not_exist_is_up_unless_told_otherwise(server: NameServer, host: str) -> None:
    assert first_report(server, host, "no.test").up
    report = first_report(server, host, "no.test", fail_on_nxdomain=True)
    assert (report.up, report.reason) == (False, f"answer: NXDOMAIN for no.test {kind(host)}")


@HOSTS
def test_an_answer_that_needs_tcp_is_up(server: NameServer, host: str) -> None:
    assert first_report(server, host, "large.test").up


@HOSTS
def test_a_server_that_refuses_to_answer_is_down(server: NameServer, host: str) -> None:
    report = first_report(server, host, "refused.example")
    assert (report.up, report.reason) == (False, f"answer: REFUSED for refused.example {kind(host)}")


@HOSTS
def test_a_server_that_fails_is_down(server: NameServer, host: str) -> None:
    report = first_report(server, host, "broken.example")
    assert (report.up, report.reason) == (False, f"answer: SERVFAIL for broken.example {kind(host)}")


@HOSTS
def test_a_server_that_is_stopped_is_down_and_up_with_the_first_check_after_it_came_back(
    server: NameServer, host: str
) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with World(reactor, host) as world:
            monitor = world.monitor(SETTINGS, port=server.port)
            assert (await world.report()).up
            server.stop()
            assert (await world.report()).reason == "query: refused"
            server.start()
            failures = monitor.down_results
            assert (await world.report()).up
            assert monitor.down_results <= failures + 1

    run(main, timeout=60.0)
