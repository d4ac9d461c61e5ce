"""TLS trust: server certificates, client certificates, and the errors of both."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.config.settings import AccessSettings
from pybal.http.tls_errors import tls_reason
from pybal.http.trust import Trust, UnusableFile, refusal
from pybal.runtime.file_values import PATIENCE, FileValues, inline
from tests.harness.certificates import Authority, self_signed
from tests.harness.fake_workers import FakeWorkers

_DONE = Failure(ConnectionDone())
HOST = "conf.example"
UNTRUSTED = "certificate expired or not signed by a trusted CA"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", host=HOST)
    authority.issue("old", host=HOST, days=-1)
    authority.issue("ours", host="balancer.example")
    self_signed(authority.directory, HOST)
    return authority


@implementer(IHandshakeListener)
class HandshakeRecorder(Protocol):
    """Records the outcome of a connection: an empty text after the handshake, else the TLS error."""

    outcome: str | None = None

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's
        self.outcome = ""

    def connectionLost(self, reason: Failure = _DONE) -> None:  # noqa: N802  # Twisted's
        assert reason.value
        self.outcome = tls_reason(reason.value) or str(reason.value)


class TLSServer:
    """The server side of a TLS connection, in memory."""

    def __init__(self, both: Path, ca: Path | None = None) -> None:
        context = self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # the handshake then includes the client certificate
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


def trusting(access: AccessSettings, files: FileValues | None = None) -> Trust:
    return Trust(access, files or inline(Clock()))


def creator(trust: Trust, host: str) -> IOpenSSLClientConnectionCreator:
    """Return the creator for a host, or raise the error of its files."""
    found: list[IOpenSSLClientConnectionCreator] = []
    failures: list[BaseException] = []
    Deferred.fromCoroutine(trust.creator(host)).addCallbacks(found.append, lambda each: failures.append(each.value))
    if failures:
        raise failures[0]
    return found[0]


def connect(trust: Trust, server: TLSServer, host: str = HOST) -> str:
    """Return the TLS error of a connection, empty if the handshake succeeds."""
    factory = Factory.forProtocol(HandshakeRecorder)
    tls: Any = TLSMemoryBIOFactory(creator(trust, host), True, factory).buildProtocol(None)
    transport = StringTransport()
    tls.makeConnection(transport)
    recorder: HandshakeRecorder = tls.wrappedProtocol
    while recorder.outcome is None:
        data = transport.value()
        transport.clear()
        answer = server.step(data)
        if answer:
            tls.dataReceived(answer)
        if transport.disconnecting or transport.disconnected:
            tls.connectionLost(_DONE)
    return str(recorder.outcome)


def test_trust_accepts_a_certificate_of_its_ca_and_host_name(authority: Authority) -> None:
    trust = trusting(AccessSettings(ca=str(authority.file)))
    assert connect(trust, TLSServer(authority.directory / "server.both")) == ""
    assert connect(trust, TLSServer(authority.directory / "server.both")) == ""


@pytest.mark.parametrize("file", ["old.both", "own.both"])
def test_trust_refuses_an_expired_or_untrusted_certificate(authority: Authority, file: str) -> None:
    assert connect(trusting(AccessSettings(ca=str(authority.file))), TLSServer(authority.directory / file)) == UNTRUSTED


def test_trust_refuses_a_certificate_for_another_host_name(authority: Authority) -> None:
    trust = trusting(AccessSettings(ca=str(authority.file)))
    assert (
        connect(trust, TLSServer(authority.directory / "server.both"), "other.example")
        == "certificate does not match host name other.example"
    )
    assert (
        connect(trust, TLSServer(authority.directory / "server.both"), "[::1]")
        == "certificate does not match address ::1"
    )


def test_trust_verifies_a_host_name_without_its_final_dot(authority: Authority) -> None:
    server = TLSServer(authority.directory / "server.both")
    names = list[str | None]()
    server.context.sni_callback = lambda _socket, name, _context: names.append(name)
    assert connect(trusting(AccessSettings(ca=str(authority.file))), server, f"{HOST}.") == ""
    assert names == [HOST]


def test_trust_verifies_the_server_name_instead_of_the_host(authority: Authority) -> None:
    trust = trusting(AccessSettings(ca=str(authority.file), server_name=HOST))
    assert connect(trust, TLSServer(authority.directory / "server.both"), "other.example") == ""
    assert connect(trust, TLSServer(authority.directory / "server.both"), "192.0.2.1") == ""
    other = trusting(AccessSettings(ca=str(authority.file), server_name="other.example"))
    expected = "certificate does not match host name other.example"
    assert connect(other, TLSServer(authority.directory / "server.both")) == expected


@pytest.mark.parametrize("file", ["server.both", "old.both", "own.both"])
def test_trust_accepts_any_certificate_without_verification(authority: Authority, file: str) -> None:
    """PyBal 1.15 did not verify etcd."""
    trust = trusting(AccessSettings(verify=False))
    assert connect(trust, TLSServer(authority.directory / file), "other.example") == ""


def test_trust_uses_the_system_cas_when_no_file_is_set(authority: Authority) -> None:
    assert connect(trusting(AccessSettings()), TLSServer(authority.directory / "server.both")) == UNTRUSTED


def test_trust_sends_the_client_certificate(authority: Authority) -> None:
    ours = AccessSettings(
        ca=str(authority.file),
        certificate=str(authority.directory / "ours.both"),
        key=str(authority.directory / "ours.key"),
    )
    server = TLSServer(authority.directory / "server.both", authority.file)
    assert connect(trusting(ours), server) == ""
    certificate = server.tls.getpeercert() or {}
    assert certificate["subject"] == ((("commonName", "balancer.example"),),)


def test_missing_client_certificate_is_reported(authority: Authority) -> None:
    server = TLSServer(authority.directory / "server.both", authority.file)
    assert "alert" in connect(trusting(AccessSettings(ca=str(authority.file))), server)


def test_trust_reloads_changed_files(authority: Authority, tmp_path: Path) -> None:
    """Certificates are renewed while the daemon runs."""
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.directory / "own.crt", ca)
    trust = trusting(AccessSettings(ca=str(ca)))
    assert connect(trust, TLSServer(authority.directory / "server.both")) == UNTRUSTED
    ca.unlink()
    with pytest.raises(UnusableFile, match="No such file or directory"):
        creator(trust, "conf.example")
    shutil.copy(authority.file, ca)
    assert connect(trust, TLSServer(authority.directory / "server.both")) == ""


def test_trust_reads_all_cas_of_a_file(authority: Authority, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"ours:\n" + (authority.directory / "own.crt").read_bytes() + authority.file.read_bytes())
    assert connect(trusting(AccessSettings(ca=str(ca))), TLSServer(authority.directory / "server.both")) == ""


def test_refusal_returns_none_for_usable_files(authority: Authority) -> None:
    both = str(authority.directory / "ours.both")
    assert refusal(AccessSettings()) is None
    assert refusal(AccessSettings(ca=str(authority.file), certificate=both, key=both)) is None


def refusal_text(**files: str) -> str:
    unusable = refusal(AccessSettings(**files))  # type: ignore[arg-type]
    assert isinstance(unusable, UnusableFile)
    return str(unusable)


def test_refusal_names_the_defect_of_an_unusable_file(authority: Authority, tmp_path: Path) -> None:
    folder = authority.directory
    crt, key = str(folder / "ours.crt"), str(folder / "ours.key")
    bad = tmp_path / "bad"
    bad.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", key, "-out", locked], check=True, capture_output=True
    )
    wanted = "wanted a PEM file with certificates"
    assert refusal_text(ca="/none") == f"ca: /none (No such file or directory), {wanted}"
    assert refusal_text(ca=str(tmp_path)) == f"ca: {tmp_path} (Is a directory), {wanted}"
    assert refusal_text(ca=str(bad)) == f"ca: no certificate in {bad}, {wanted}"
    assert refusal_text(ca=key) == f"ca: no certificate in {key}, {wanted}"
    assert refusal_text(certificate="/none", key=key) == f"certificate: /none (No such file or directory), {wanted}"
    wanted = "wanted a PEM file with the private key of the certificate, without a password"
    assert refusal_text(certificate=crt, key="/none") == f"key: /none (No such file or directory), {wanted}"
    assert refusal_text(certificate=crt, key=crt) == f"key: no usable key in {crt}, {wanted}"
    assert refusal_text(certificate=crt, key=str(locked)) == f"key: no usable key in {locked}, {wanted}"
    server = str(folder / "server.key")
    assert refusal_text(certificate=crt, key=server) == f"key: {server}, wanted the private key of {crt}"


def test_clients_with_the_same_files_share_a_context(authority: Authority) -> None:
    files = inline(Clock())
    first, second = (trusting(AccessSettings(ca=str(authority.file)), files) for _ in range(2))

    def context(trust: Trust, host: str) -> object:
        return creator(trust, host).clientConnectionForTLS(TLSMemoryBIOProtocol(Factory(), Protocol())).get_context()

    assert context(first, "conf") is context(second, "other")
    assert context(first, "conf") is not context(trusting(AccessSettings(), files), "conf")


def test_connections_of_a_shared_context_verify_their_own_hosts(authority: Authority) -> None:
    trust = trusting(AccessSettings(ca=str(authority.file)))
    server = authority.directory / "server.both"
    assert [connect(trust, TLSServer(server), host) == "" for host in ("other.example", HOST, "[::1]", HOST)] == [
        False,
        True,
        False,
        True,
    ]


def test_hung_file_system_fails_a_connection_that_needs_it(authority: Authority) -> None:
    clock, threads = Clock(), FakeWorkers()
    threads.hold = True
    ca = str(authority.file)
    waiting = Deferred.fromCoroutine(trusting(AccessSettings(ca=ca), FileValues(threads, clock)).creator("conf"))
    failures: list[str] = []
    waiting.addErrback(lambda failure: failures.append(str(failure.value)))
    clock.advance(PATIENCE)
    assert failures == [f"TLS: {ca} (no response from the file system for 2 s)"]


def test_trust_offers_tls_1_2_and_1_3_only(authority: Authority) -> None:
    made = creator(trusting(AccessSettings(ca=str(authority.file))), HOST)
    tls: Any = TLSMemoryBIOFactory(made, True, Factory.forProtocol(HandshakeRecorder)).buildProtocol(None)
    transport = StringTransport()
    tls.makeConnection(transport)
    # RFC 8446 §4.2.1: the extension supported_versions (43), 5 bytes, a list of 4 bytes, TLS 1.3 and 1.2.
    assert b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03" in transport.value()
    tls.connectionLost(_DONE)
