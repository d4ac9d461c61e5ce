"""Pool lists over TLS from a real nginx: trusted CAs, client certificates, and errors."""

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
UNTRUSTED = "TLS: certificate expired or not signed by a trusted CA"


class TLSServers:
    """Server blocks of nginx, one port per kind of certificate, and the client's files."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        stranger = Authority(directory, "stranger")
        self.ca = str(authority.file)
        self.client = str(authority.issue("client", host="balancer.example"))
        files = {
            "good": authority.issue("good"),
            "expired": authority.issue("expired", days=-3),
            "wrong-name": authority.issue("wrong-name", host="b.example"),
            "unknown-ca": stranger.issue("unknown-ca"),
            "self-signed": self_signed(directory),
            "client-required": authority.issue("client-required"),
        }
        self.ports = dict(zip(files, free_ports(len(files)), strict=True))
        verify = f"ssl_client_certificate {self.ca}; ssl_verify_client on;"
        self.config = "".join(
            SERVER.format(
                listen=listening(self.ports[kind], "ssl"), file=file, more=verify if kind == "client-required" else ""
            )
            for kind, file in files.items()
        )


@pytest.fixture(scope="module")
def tls_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSServers]:
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
    """Return the list or the error, without the URL."""

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
        ("wrong-name", "TLS: certificate does not match host name a.example"),
        ("unknown-ca", UNTRUSTED),
        ("self-signed", UNTRUSTED),
        ("client-required", "HTTP 400, wanted 200"),
    ],
)
def test_source_accepts_only_a_server_with_a_valid_certificate(
    tls_servers: TLSServers, kind: str, expected: tuple[Member, ...] | str
) -> None:
    assert first_report(tls_servers.ports[kind], AccessSettings(ca=tls_servers.ca)) == expected


def test_source_uses_the_system_cas_when_no_file_is_set(tls_servers: TLSServers) -> None:
    assert first_report(tls_servers.ports["good"], AccessSettings()) == UNTRUSTED


def test_source_sends_its_client_certificate(tls_servers: TLSServers) -> None:
    access = AccessSettings(ca=tls_servers.ca, certificate=tls_servers.client, key=tls_servers.client)
    assert first_report(tls_servers.ports["client-required"], access) == ONE


def test_source_refuses_a_certificate_that_lacks_the_ip_address(tls_servers: TLSServers) -> None:
    error = first_report(tls_servers.ports["good"], AccessSettings(ca=tls_servers.ca), "127.0.0.1")
    assert error == "TLS: certificate does not match address 127.0.0.1"


def test_source_reports_an_unresolved_host_name(tls_servers: TLSServers) -> None:
    error = first_report(tls_servers.ports["good"], AccessSettings(ca=tls_servers.ca), "c.example")
    assert error == "cannot resolve c.example: no such name (NXDOMAIN)"


@pytest.mark.parametrize(
    ("connected", "expected"),
    [
        (lambda _: None, "no TLS handshake within 5 s"),
        (Peer.close, "connection lost: no TLS handshake"),
        (Peer.reset, "connection lost: no TLS handshake"),
        (lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS: wrong version number (no TLS on this port)"),
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
    reactor.close()
    assert reports == [expected]
