"""DNSQuery and UDP against unbound, BIND, NSD and dnsmasq: healthy, hanging, dead, reloading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.udp import UDPSettings
from tests.harness.real_monitors import first_results, last_reason, start_monitors
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.bind import bind
from tests.harness.servers.dnsmasq import dnsmasq
from tests.harness.servers.nsd import nsd
from tests.harness.servers.process import Server, free_ports
from tests.harness.servers.unbound import unbound
from tests.harness.stepped_reactor import run

WWW = DNSQuerySettings(("www.test",), interval=0.05, timeout=5.0)
UDP = UDPSettings(interval=0.05, timeout=0.1, icmp_timeout=0.1)


@dataclass(frozen=True, slots=True)
class NameServer:
    server: Server
    port: int
    lost_queries: int
    """Queries per client that a reload may lose: NSD ends children that have just read one."""


@pytest.fixture(scope="module", params=[unbound, bind, nsd, dnsmasq], ids=["unbound", "BIND", "NSD", "dnsmasq"])
def names(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    make: Callable[[Path, int], Server] = request.param
    (port,) = free_ports(1)
    with make(tmp_path_factory.mktemp("names"), port) as server:
        yield NameServer(server, port, lost_queries=int(make is nsd))


def asking(*hostnames: str, fail_on_nxdomain: bool = False) -> DNSQuerySettings:
    return replace(WWW, hostnames=hostnames, fail_on_nxdomain=fail_on_nxdomain)


class TestHealthy:
    def test_server_is_up_with_any_number_of_records(self, names: NameServer) -> None:
        assert first_results(names.port, asking("www.test"), asking("four.test"), asking("large.test")) == [""] * 3

    def test_large_answer_is_read_over_tcp(self, names: NameServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitors = start_monitors(setup, names.port, asking("large.test"))
                await setup.until(lambda: all(monitor.up for monitor in monitors))
                assert all(next(iter(monitor.history())).result.received > 1000 for monitor in monitors)

        run(main)

    def test_nxdomain_is_up_unless_configured_otherwise(self, names: NameServer) -> None:
        strict = asking("no.test", fail_on_nxdomain=True)
        assert first_results(names.port, asking("no.test"), strict) == ["", "answer: NXDOMAIN for no.test A"]

    def test_ports_are_open(self, names: NameServer) -> None:
        assert first_results(names.port, UDP, TCPConnectSettings()) == ["", ""]


class TestBroken:
    def test_refusing_server_is_down(self, names: NameServer) -> None:
        assert first_results(names.port, asking("refused.example")) == ["answer: REFUSED for refused.example A"]

    @pytest.mark.parametrize("names", [unbound, bind, nsd], indirect=True, ids=["unbound", "BIND", "NSD"])
    def test_failing_server_is_down(self, names: NameServer) -> None:
        assert first_results(names.port, asking("broken.example")) == ["answer: SERVFAIL for broken.example A"]

    def test_hanging_server_is_down_but_its_ports_are_open(self, names: NameServer) -> None:
        names.server.pause()
        try:
            reasons = first_results(names.port, replace(WWW, timeout=0.4), UDP, TCPConnectSettings())
        finally:
            names.server.resume()
        assert reasons == ["query: TIME without an answer", "", ""]
        assert first_results(names.port, WWW) == [""]

    def test_dead_server_refuses_and_restarted_server_is_up(self, names: NameServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                # A query in flight when the server dies is neither answered nor refused.
                monitors = start_monitors(setup, names.port, replace(WWW, timeout=1.0), UDP)
                await setup.until(lambda: all(monitor.up for monitor in monitors))
                names.server.kill()
                try:
                    reasons = ["query: refused", "icmp: refused"] * 2
                    await setup.until(lambda: [last_reason(monitor) for monitor in monitors] == reasons)
                    assert not any(monitor.up for monitor in monitors)
                finally:
                    names.server.start()
                failures = [monitor.down_results for monitor in monitors]
                await setup.until(lambda: all(monitor.up for monitor in monitors))
                assert all(m.down_results <= n + 1 for m, n in zip(monitors, failures, strict=True))

        run(main, timeout=120.0)

    def test_reload_keeps_the_server_up(self, names: NameServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                often = replace(WWW, interval=0.01, timeout=10.0, fall=2)
                monitors = start_monitors(setup, names.port, often, replace(often, hostnames=("large.test",)))
                await setup.until(lambda: all(monitor.up for monitor in monitors))
                enough = [monitor.up_results + 50 for monitor in monitors]
                names.server.reload()
                await setup.until(lambda: all(m.up_results >= n for m, n in zip(monitors, enough, strict=True)))
                assert [monitor.down_transitions for monitor in monitors] == [0] * 4
                assert max(monitor.down_results for monitor in monitors) <= names.lost_queries

        run(main, timeout=120.0)
