"""TLS against a real nginx with certificates of all kinds, and against servers without TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import provider

from pybal.checks.tls_handshake import REFUSAL_SECONDS
from pybal.monitors.kinds import refusal
from pybal.monitors.tls import EXPIRY, TLSSettings
from tests.harness.certificates import Authority, self_signed
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer, Peer, follow_ups
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.openssl import openssl_server
from tests.harness.servers.process import free_ports
from tests.harness.stepped_reactor import run

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
SERVER = """
    server {{
        {listen} ssl_certificate {file}; ssl_certificate_key {file};
        server_name {name}; ssl_protocols {protocols};
    }}
"""


class TLSServer:
    """The ports of the servers by kind of certificate, and the files."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
        files = {
            "valid": self.authority.issue("valid"),
            "old-protocol": self.authority.issue("old-protocol"),
            "expiring": self.authority.issue("expiring", days=5),
            "expired": self.authority.issue("expired", days=-3),
            "wrong-name": self.authority.issue("wrong-name", host="b.example"),
            "unknown-ca": self.stranger.issue("unknown-ca"),
            "self-signed": self_signed(directory),
        }
        self.ports = dict(zip(files, free_ports(len(files)), strict=True))
        self.own = directory / "own.crt"
        self.config = ""
        for kind, file in files.items():
            self.add(kind, file, "_", "TLSv1.2" if kind == "old-protocol" else "TLSv1.3")
        self.add("wrong-name", files["valid"], "a.example", "TLSv1.3")

    def add(self, kind: str, file: Path, name: str, protocols: str) -> None:
        listen = listening(self.ports[kind], "ssl")
        self.config += SERVER.format(listen=listen, file=file, name=name, protocols=protocols)

    def settings(self, **options: Any) -> TLSSettings:
        return TLSSettings(**{"name": "a.example", "verify": True, "ca": str(self.authority.file), **options})


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSServer]:
    directory = tmp_path_factory.mktemp("tls")
    tls_server = TLSServer(directory)
    with nginx(directory, tls_server.config, tls_server.ports["valid"]):
        yield tls_server


def first(settings: TLSSettings, port: int, host: str = "127.0.0.1") -> tuple[bool, str, list[float]]:
    """Return the first report and, from the metric, the days until the certificate expires."""

    async def main(reactor: EPollReactor) -> tuple[bool, str, list[float]]:
        async with MonitoredServer(reactor, host) as setup:
            monitor = setup.monitor(settings, port=port)
            report = await setup.report()
            expiry = [sample.value for sample in samples_of(monitor) if sample.metric == EXPIRY]
            days = [(value - datetime.now(UTC).timestamp()) / 86400 for value in expiry]
            return report.up, report.reason, days

    return run(main)


class TestCertificates:
    @HOSTS
    @pytest.mark.parametrize("kind", ["valid", "old-protocol"])
    def test_valid_certificate_is_up_and_reports_its_days(self, tls_server: TLSServer, kind: str, host: str) -> None:
        up, reason, days = first(tls_server.settings(), tls_server.ports[kind], host)
        assert (up, reason) == (True, "")
        assert 89 < days[0] < 90

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("expired", "tls: certificate has expired"),
            ("unknown-ca", "tls: unable to get local issuer certificate"),
            ("self-signed", "tls: self-signed certificate"),
        ],
    )
    def test_invalid_certificate_is_down_with_verify(self, tls_server: TLSServer, kind: str, reason: str) -> None:
        assert first(tls_server.settings(), tls_server.ports[kind]) == (False, reason, [])
        assert first(tls_server.settings(name=""), tls_server.ports[kind]) == (False, reason, [])

    @pytest.mark.parametrize("kind", ["expired", "unknown-ca", "self-signed", "wrong-name"])
    def test_any_certificate_is_up_without_verify(self, tls_server: TLSServer, kind: str) -> None:
        up, reason, days = first(tls_server.settings(verify=False, ca="", name="c.example"), tls_server.ports[kind])
        assert (up, reason) == (True, "")
        assert (days[0] > 0) == (kind != "expired")

    def test_host_name_is_verified_when_configured(self, tls_server: TLSServer) -> None:
        up, reason, _ = first(tls_server.settings(name="c.example"), tls_server.ports["valid"])
        assert not up
        assert reason.startswith("tls: hostname mismatch, certificate is not valid for 'c.example'")
        assert first(tls_server.settings(name=""), tls_server.ports["valid"])[0]

    def test_server_name_selects_the_certificate(self, tls_server: TLSServer) -> None:
        assert first(tls_server.settings(name="a.example"), tls_server.ports["wrong-name"])[0]
        assert first(tls_server.settings(name="b.example"), tls_server.ports["wrong-name"])[0]
        assert not first(tls_server.settings(name="c.example"), tls_server.ports["wrong-name"])[0]

    def test_system_authorities_reject_an_unknown_authority(self, tls_server: TLSServer) -> None:
        up, reason, _ = first(tls_server.settings(ca=""), tls_server.ports["valid"])
        assert (up, reason) == (False, "tls: unable to get local issuer certificate")

    def test_self_signed_certificate_can_be_trusted(self, tls_server: TLSServer) -> None:
        assert first(tls_server.settings(ca=str(tls_server.own)), tls_server.ports["self-signed"])[0]

    @pytest.mark.parametrize(("limit", "up"), [(0, True), (4, True), (6, False)])
    def test_certificate_near_its_expiry_is_down_with_fail_days(
        self, tls_server: TLSServer, limit: int, up: bool
    ) -> None:
        is_up, reason, days = first(tls_server.settings(fail_days=limit), tls_server.ports["expiring"])
        assert is_up == up
        assert reason == ("" if up else "tls: the certificate expires in 5.0 days, wanted 6")
        assert 4.9 < days[0] < 5

    def test_expired_certificate_is_down_with_fail_days(self, tls_server: TLSServer) -> None:
        settings = tls_server.settings(verify=False, ca="", fail_days=1)
        up, reason, days = first(settings, tls_server.ports["expired"])
        assert (up, reason) == (False, "tls: the certificate expired 3.0 days ago, wanted 1")
        assert days[0] < -3

    @pytest.mark.parametrize(("limit", "count"), [(0, 0), (4, 0), (14, 1)])
    def test_expiry_is_logged_once(self, tls_server: TLSServer, limit: int, count: int) -> None:
        logged: list[str] = []

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            if event.get("system") == "svc TLS":
                logged.append(formatEvent(event))

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(
                    tls_server.settings(warn_days=limit, interval=0.05), port=tls_server.ports["expiring"]
                )
                await setup.until(lambda: monitor.up_results >= 3)

        globalLogPublisher.addObserver(observe)
        try:
            run(main)
        finally:
            globalLogPublisher.removeObserver(observe)
        assert logged == ["server.example: certificate expires in 5.0 days"] * count

    def test_history_has_the_duration_of_the_handshake(self, tls_server: TLSServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(tls_server.settings(), port=tls_server.ports["valid"])
                await setup.report()
                (past,) = monitor.history()
                assert list(past.result.phases) == ["connect", "tls"]
                assert past.result.phases["tls"] > 0

        run(main)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_server_that_demands_a_client_certificate_is_down(version: str, tmp_path: Path) -> None:
    with openssl_server(self_signed(tmp_path), version, "-Verify", "1", "-verify_return_error") as port:
        up, reason, _ = first(TLSSettings(), port)
    assert not up
    assert reason in {"tls: tlsv13 alert certificate required", "tls: sslv3 alert handshake failure"}


@pytest.mark.parametrize("options", [("-num_tickets", "0"), ("-verify", "1"), ("-tls1_2",)], ids=" ".join)
def test_server_that_demands_no_client_certificate_is_up(options: tuple[str, ...], tmp_path: Path) -> None:
    """One without session tickets sends nothing after the handshake; the wait is not part of the duration."""

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(TLSSettings(), port=port)
            began = reactor.seconds()
            assert (await setup.report()).up
            (past,) = monitor.history()
            waited = reactor.seconds() - began - past.result.duration
            assert waited >= REFUSAL_SECONDS - 0.01 or options != ("-num_tickets", "0")

    with openssl_server(self_signed(tmp_path), *options) as port:
        run(main)


def test_server_that_closes_after_the_handshake_is_down(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    context.num_tickets = 0

    def shake_hands_and_leave(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def received(data: bytes) -> None:
            incoming.write(data)
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                peer.say(outgoing.read())
            else:
                peer.close()

        peer.on_data = received

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.server.connected = shake_hands_and_leave
            setup.monitor(TLSSettings())
            assert (await setup.report()).reason == "tls: connection closed after the handshake"

    run(main)


def test_unreadable_authority_is_refused_before_start(tls_server: TLSServer, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_text("no certificate")
    assert refusal(tls_server.settings()) is None
    for name, why in (("nowhere", "No such file or directory"), ("garbage", "[X509: NO_CERTIFICATE_OR_CRL_FOUND]")):
        found = refusal(tls_server.settings(ca=str(tmp_path / name)))
        assert found is not None
        assert found.option == "tls.ca"
        assert found.found.startswith(f"{tmp_path / name} ({why}")
    assert refusal(TLSSettings(ca=str(tmp_path / "nowhere"))) is None


def half_close(peer: Peer) -> None:
    peer.transport.loseWriteConnection()


def drip(peer: Peer, rest: bytes = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x03" * 1000) -> None:
    """Send the beginning of a long record, a byte every 20 ms."""
    if not peer.closed:
        peer.say(rest[:1])
        reactor: Any = peer.transport.reactor  # Twisted declares too narrow a type
        reactor.callLater(0.02, drip, peer, rest[1:])


class TestOthers:
    @HOSTS
    @pytest.mark.parametrize(
        ("act", "reason"),
        [
            (Peer.close, "tls: connection closed during the handshake"),
            (half_close, "tls: connection closed during the handshake"),
            (Peer.reset, "tls: reset during the handshake"),
            (lambda peer: peer.say(b"220 mail.example ESMTP\r\n"), "tls: wrong version number (no TLS on this port)"),
            (lambda peer: peer.say(b"\x16\x03\x03\x00\x05garbage"), "tls: "),
            (lambda _peer: None, "tls: handshake timeout after "),
            (drip, "tls: handshake timeout after "),
        ],
        ids=["close", "half close", "reset", "plain text", "garbage", "silence", "drip"],
    )
    def test_server_without_tls_is_down(self, act: Callable[[Peer], object], reason: str, host: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor, host) as setup:
                setup.server.connected = act
                setup.monitor(TLSSettings(timeout=0.4))
                report = await setup.report()
                assert not report.up
                assert report.reason.startswith(reason)
                setup.stop_monitors()
                await setup.pause(0.03)

        run(main)

    def test_refused_connection_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                await setup.server.stop()
                setup.monitor(TLSSettings(timeout=0.4))
                assert (await setup.report()).reason == "connect: refused"

        run(main)

    def test_hanging_connection_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                    taken.connect(full.getsockname())
                    setup.monitor(TLSSettings(timeout=0.4), port=full.getsockname()[1])
                    assert (await setup.report()).reason == "connect: no response for 400 ms"
                    setup.stop_monitors()

        run(main)


def test_first_failure_is_followed_up_by_a_tcp_connection(tmp_path: Path) -> None:
    [port] = free_ports(1)
    listen, file = listening(port, "ssl"), self_signed(tmp_path)
    config = SERVER.format(listen=listen, file=file, name="_", protocols="TLSv1.3")

    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            await setup.server.stop()
            with nginx(tmp_path, config, port):
                monitor = setup.monitor(TLSSettings(interval=0.05, timeout=5.0), port=port)
                assert (await setup.report()).up
            # The loop was blocked until nginx had ended, so no connection was refused.
            setup.server.port = port
            setup.server.connected = lambda peer: peer.say(b"no TLS here\r\n")
            setup.server.listen(reactor, setup.host)
            assert (await setup.report()).reason == "tls: wrong version number (no TLS on this port)"
            await setup.until(lambda: follow_ups(monitor))
            await setup.until(lambda: monitor.down_results >= 3)
            assert follow_ups(monitor) == [("TCP only", "passed")]
            assert setup.engine.follow_ups.taken == 0

    run(main)
