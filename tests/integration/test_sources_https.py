"""Pool lists over TLS from a real nginx: trusted certificates, client certificates, and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.resolve import LookupFailed, LookupResult
from pybal.sources.base import SourceError
from pybal.sources.feed import Feed
from pybal.sources.http import http_source
from tests.harness.certificates import Authority, self_signed
from tests.harness.scripted_server import Peer, Server
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import free_ports
from tests.harness.stepped_reactor import SteppedReactor, run

ONE = (Member("a", 7),)
SERVER = """
    server {{
        {listen} ssl_certificate {file}; ssl_certificate_key {file}; {more}
        location = /pool {{ default_type text/plain; return 200 "{{'host': 'a', 'weight': 7}}\\n"; }}
    }}
"""
UNTRUSTED = "the server's certificate has expired, or is up to no authority that we trust"
OTHER_NAME = "the server's certificate is of another name"


class TLSServers:
    """The nginx servers by kind of certificate: their ports, certificates and configuration."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        stranger = Authority(directory, "stranger")
        self.ca = str(authority.file)
        self.ours = str(authority.issue("ours", host="balancer.example"))
        files = {
            "good": authority.issue("good"),
            "expired": authority.issue("expired", days=-3),
            "wrong-name": authority.issue("wrong-name", host="b.example"),
            "unknown-ca": stranger.issue("unknown-ca"),
            "self-signed": self_signed(directory),
            "client-certificate": authority.issue("client-certificate"),
        }
        self.ports = dict(zip(files, free_ports(len(files)), strict=True))
        verify = f"ssl_client_certificate {self.ca}; ssl_verify_client on;"
        self.config = "".join(
            SERVER.format(
                listen=listening(self.ports[kind], "ssl"),
                file=file,
                more=verify if kind == "client-certificate" else "",
            )
            for kind, file in files.items()
        )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSServers]:
    directory = tmp_path_factory.mktemp("https")
    made = TLSServers(directory)
    with nginx(directory, made.config, made.ports["good"]):
        yield made


async def loopback(host: str, version: int) -> LookupResult:
    if host != "a.example":
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    return LookupResult((ip_address("127.0.0.1" if version == 4 else "::1"),), 60.0)


def source_of(reactor: EPollReactor, port: int, access: AccessSettings, host: str = "a.example") -> Feed:
    settings = SourceSettings(f"https://{host}:{port}/pool", access)
    return http_source(settings, reactor=reactor, random=Random(1), lookup=loopback)


def first_report(port: int, access: AccessSettings, host: str = "a.example") -> tuple[Member, ...] | str:
    """Return the list or the problem that is reported first, without the URL."""

    async def main(reactor: EPollReactor) -> tuple[Member, ...] | str:
        reports: list[tuple[Member, ...] | SourceError] = []
        source = source_of(reactor, port, access, host)
        source.start(reports.append, reports.append)
        while not reports:
            await deferLater(reactor, 0.02, lambda: None)
        source.stop()
        await deferLater(reactor, 0, lambda: None)
        return str(reports[0]).partition("/pool: ")[2] if isinstance(reports[0], SourceError) else reports[0]

    return run(main)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("good", ONE),
        ("expired", UNTRUSTED),
        ("wrong-name", OTHER_NAME),
        ("unknown-ca", UNTRUSTED),
        ("self-signed", UNTRUSTED),
        ("client-certificate", "HTTP 400, wanted 200"),
    ],
)
def test_source_accepts_only_a_valid_certificate(
    servers: TLSServers, kind: str, expected: tuple[Member, ...] | str
) -> None:
    assert first_report(servers.ports[kind], AccessSettings(ca=servers.ca)) == expected


def test_source_trusts_the_system_cas_without_ca_option(servers: TLSServers) -> None:
    assert first_report(servers.ports["good"], AccessSettings()) == UNTRUSTED


def test_source_presents_its_client_certificate(servers: TLSServers) -> None:
    access = AccessSettings(ca=servers.ca, certificate=servers.ours, key=servers.ours)
    assert first_report(servers.ports["client-certificate"], access) == ONE


def test_source_refuses_a_name_certificate_for_an_address(servers: TLSServers) -> None:
    assert first_report(servers.ports["good"], AccessSettings(ca=servers.ca), "127.0.0.1") == OTHER_NAME


def test_source_reports_a_name_without_address(servers: TLSServers) -> None:
    expected = first_report(servers.ports["good"], AccessSettings(ca=servers.ca), "c.example")
    assert expected == "address of c.example: no such name (NXDOMAIN)"


@pytest.mark.parametrize(
    ("connected", "expected"),
    [
        (lambda _: None, "no TLS handshake within 5 s"),
        (Peer.close, "connection lost: no TLS handshake"),
        (Peer.reset, "connection lost: no TLS handshake"),
        (lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS: wrong version number"),
    ],
)
def test_source_reports_a_server_without_tls(connected: Callable[[Peer], None], expected: str) -> None:
    reactor = SteppedReactor()
    server = Server()
    server.connected = connected
    server.listen(reactor, "127.0.0.1")
    reports: list[str] = []
    source = source_of(reactor, server.port, AccessSettings())
    source.start(lambda _: None, lambda error: reports.append(str(error).partition("/pool: ")[2]))
    reactor.advance(7)
    source.stop()
    Deferred.fromCoroutine(server.stop())
    reactor.advance(1)
    assert reactor.getDelayedCalls() == []
    assert reports == [expected]
