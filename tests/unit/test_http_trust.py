"""Certificates of servers are verified, and ours are shown; what is no good is said in words."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.config.settings import AccessSettings
from pybal.http.tls_errors import tls_reason
from pybal.http.trust import Trust, Unusable, refusal
from tests.harness.certificates import Authority, self_signed

_DONE = Failure(ConnectionDone())
HOST = "conf.example"
OTHER_NAME = "the server's certificate is of another name"
UNTRUSTED = "the server's certificate has expired, or is up to no authority that we trust"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.issue("server", host=HOST)
    made.issue("old", host=HOST, days=-1)
    made.issue("ours", host="balancer.example")
    self_signed(made.directory, HOST)
    return made


@implementer(IHandshakeListener)
class Talk(Protocol):
    """What becomes of a connection: an empty text once it is secured, else the words why it is not."""

    outcome: str | None = None

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's
        self.outcome = ""

    def connectionLost(self, reason: Failure = _DONE) -> None:  # noqa: N802  # Twisted's
        assert reason.value
        self.outcome = tls_reason(reason.value) or str(reason.value)


class Server:
    """The other end of a connection, in memory."""

    def __init__(self, both: Path, ca: Path | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # so that the handshake ends with who we are
        context.load_cert_chain(both)
        if ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(ca)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def step(self, data: bytes) -> bytes:
        self.incoming.write(data)
        with suppress(ssl.SSLError):
            self.tls.do_handshake()
        return self.outgoing.read()


def connect(trust: Trust, server: Server, host: str = HOST) -> str:
    """Return why there is no connection, an empty text when there is one."""
    factory = Factory.forProtocol(Talk)
    talk: Any = TLSMemoryBIOFactory(trust.creatorForNetloc(host.encode(), 2379), True, factory).buildProtocol(None)
    transport = StringTransport()
    talk.makeConnection(transport)
    inner: Talk = talk.wrappedProtocol
    while inner.outcome is None:
        data = transport.value()
        transport.clear()
        answer = server.step(data)
        if answer:
            talk.dataReceived(answer)
        if transport.disconnecting or transport.disconnected:
            talk.connectionLost(_DONE)
    return str(inner.outcome)


def test_a_certificate_up_to_our_authority_and_of_that_name_is_believed(authority: Authority) -> None:
    trust = Trust(AccessSettings(ca=str(authority.file)))
    assert connect(trust, Server(authority.directory / "server.both")) == ""
    assert connect(trust, Server(authority.directory / "server.both")) == ""


@pytest.mark.parametrize("file", ["old.both", "own.both"])
def test_a_certificate_that_has_expired_or_that_nobody_we_trust_has_signed_is_refused(
    authority: Authority, file: str
) -> None:
    assert connect(Trust(AccessSettings(ca=str(authority.file))), Server(authority.directory / file)) == UNTRUSTED


def test_a_certificate_of_another_name_is_refused(authority: Authority) -> None:
    trust = Trust(AccessSettings(ca=str(authority.file)))
    assert connect(trust, Server(authority.directory / "server.both"), "other.example") == OTHER_NAME
    assert connect(trust, Server(authority.directory / "server.both"), "[::1]") == OTHER_NAME


def test_without_a_file_the_systems_authorities_count_and_ours_is_none_of_them(authority: Authority) -> None:
    assert connect(Trust(AccessSettings()), Server(authority.directory / "server.both")) == UNTRUSTED


def test_our_certificate_is_shown(authority: Authority) -> None:
    ours = AccessSettings(
        ca=str(authority.file),
        certificate=str(authority.directory / "ours.both"),
        key=str(authority.directory / "ours.key"),
    )
    server = Server(authority.directory / "server.both", authority.file)
    assert connect(Trust(ours), server) == ""
    certificate = server.tls.getpeercert() or {}
    assert certificate["subject"] == ((("commonName", "balancer.example"),),)


def test_a_server_that_wants_a_certificate_where_we_have_none_is_said(authority: Authority) -> None:
    server = Server(authority.directory / "server.both", authority.file)
    assert "alert" in connect(Trust(AccessSettings(ca=str(authority.file))), server)


def test_files_that_change_are_read_again(authority: Authority, tmp_path: Path) -> None:
    """Certificates are renewed, and the daemon runs for years."""
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.directory / "own.crt", ca)
    trust = Trust(AccessSettings(ca=str(ca)))
    assert connect(trust, Server(authority.directory / "server.both")) == UNTRUSTED
    ca.unlink()
    with pytest.raises(Unusable, match="No such file or directory"):
        trust.creatorForNetloc(b"conf.example", 2379)
    shutil.copy(authority.file, ca)
    assert connect(trust, Server(authority.directory / "server.both")) == ""


def test_a_file_of_several_authorities_is_read_whole(authority: Authority, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"ours:\n" + (authority.directory / "own.crt").read_bytes() + authority.file.read_bytes())
    assert connect(Trust(AccessSettings(ca=str(ca))), Server(authority.directory / "server.both")) == ""


def test_good_files_are_not_refused(authority: Authority) -> None:
    both = str(authority.directory / "ours.both")
    assert refusal(AccessSettings()) is None
    assert refusal(AccessSettings(ca=str(authority.file), certificate=both, key=both)) is None


def refused(**files: str) -> str:
    unusable = refusal(AccessSettings(**files))  # type: ignore[arg-type]
    assert isinstance(unusable, Unusable)
    return str(unusable)


def test_files_that_cannot_be_used_are_refused_with_the_reason(authority: Authority, tmp_path: Path) -> None:
    folder = authority.directory
    crt, key = str(folder / "ours.crt"), str(folder / "ours.key")
    bad = tmp_path / "bad"
    bad.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", key, "-out", locked], check=True, capture_output=True
    )
    wanted = "wanted a file of certificates in PEM form"
    assert refused(ca="/none") == f"ca: /none (No such file or directory), {wanted}"
    assert refused(ca=str(tmp_path)) == f"ca: {tmp_path} (Is a directory), {wanted}"
    assert refused(ca=str(bad)) == f"ca: no certificate in {bad}, {wanted}"
    assert refused(ca=key) == f"ca: no certificate in {key}, {wanted}"
    assert refused(certificate="/none", key=key) == f"certificate: /none (No such file or directory), {wanted}"
    wanted = "wanted the key of the certificate in PEM form, without a password"
    assert refused(certificate=crt, key="/none") == f"key: /none (No such file or directory), {wanted}"
    assert refused(certificate=crt, key=crt) == f"key: no usable key in {crt}, {wanted}"
    assert refused(certificate=crt, key=str(locked)) == f"key: no usable key in {locked}, {wanted}"
    server = str(folder / "server.key")
    assert refused(certificate=crt, key=server) == f"key: {server}, wanted that of {crt}"
