"""Pool lists over TLS from a real nginx: who is believed, who we are, and what is said of the rest."""

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


class Site:
    """The ports of the servers, by their kind, and the files."""

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
            "known-only": authority.issue("known-only"),
        }
        self.ports = dict(zip(files, free_ports(len(files)), strict=True))
        know = f"ssl_client_certificate {self.ca}; ssl_verify_client on;"
        self.config = "".join(
            SERVER.format(
                listen=listening(self.ports[kind], "ssl"), file=file, more=know if kind == "known-only" else ""
            )
            for kind, file in files.items()
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("https")
    made = Site(directory)
    with nginx(directory, made.config, made.ports["good"]):
        yield made


async def loopback(host: str, version: int) -> LookupResult:
    if host != "a.example":
        raise LookupFailed("no such name (NXDOMAIN)", definite=True)
    return LookupResult((ip_address("127.0.0.1" if version == 4 else "::1"),), 60.0)


def source_of(reactor: EPollReactor, port: int, access: AccessSettings, host: str = "a.example") -> Feed:
    settings = SourceSettings(f"https://{host}:{port}/pool", access)
    return http_source(settings, reactor=reactor, random=Random(1), lookup=loopback)


def first(port: int, access: AccessSettings, host: str = "a.example") -> tuple[Member, ...] | str:
    """Return the list, or what is said instead, without the URL."""

    async def main(reactor: EPollReactor) -> tuple[Member, ...] | str:
        told: list[tuple[Member, ...] | SourceError] = []
        source = source_of(reactor, port, access, host)
        source.start(told.append, told.append)
        while not told:
            await deferLater(reactor, 0.02, lambda: None)
        source.stop()
        await deferLater(reactor, 0, lambda: None)
        return str(told[0]).partition("/pool: ")[2] if isinstance(told[0], SourceError) else told[0]

    return run(main)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("good", ONE),
        ("expired", UNTRUSTED),
        ("wrong-name", OTHER_NAME),
        ("unknown-ca", UNTRUSTED),
        ("self-signed", UNTRUSTED),
        ("known-only", "HTTP 400, wanted 200"),
    ],
)
def test_a_list_is_believed_of_a_server_whose_certificate_is(
    site: Site, kind: str, said: tuple[Member, ...] | str
) -> None:
    assert first(site.ports[kind], AccessSettings(ca=site.ca)) == said


def test_without_a_file_the_authorities_of_the_system_are_believed(site: Site) -> None:
    assert first(site.ports["good"], AccessSettings()) == UNTRUSTED


def test_our_certificate_is_shown_to_who_asks_for_it(site: Site) -> None:
    access = AccessSettings(ca=site.ca, certificate=site.ours, key=site.ours)
    assert first(site.ports["known-only"], access) == ONE


def test_a_certificate_for_a_name_is_none_for_an_address(site: Site) -> None:
    assert first(site.ports["good"], AccessSettings(ca=site.ca), "127.0.0.1") == OTHER_NAME


def test_a_name_that_has_no_address_is_said(site: Site) -> None:
    said = first(site.ports["good"], AccessSettings(ca=site.ca), "c.example")
    assert said == "address of c.example: no such name (NXDOMAIN)"


@pytest.mark.parametrize(
    ("connected", "said"),
    [
        (lambda _: None, "no TLS handshake within 5 s"),
        (Peer.close, "connection lost: no TLS handshake"),
        (Peer.reset, "connection lost: no TLS handshake"),
        (lambda peer: peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS: wrong version number"),
    ],
)
def test_a_server_that_does_not_speak_tls_is_said(connected: Callable[[Peer], None], said: str) -> None:
    reactor = SteppedReactor()
    server = Server()
    server.connected = connected
    server.listen(reactor, "127.0.0.1")
    told: list[str] = []
    source = source_of(reactor, server.port, AccessSettings())
    source.start(lambda _: None, lambda error: told.append(str(error).partition("/pool: ")[2]))
    reactor.advance(7)
    source.stop()
    Deferred.fromCoroutine(server.stop())
    reactor.advance(1)
    assert reactor.getDelayedCalls() == []
    assert told == [said]
