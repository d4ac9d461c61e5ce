"""ProxyFetch and IdleConnection against a real nginx: statuses, redirects, chunks, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from pybal.checks import tls
from pybal.checks.http_check import CheckRequest, HTTPCheck
from pybal.checks.result import PASSED, Result
from pybal.checks.socket_check import Target
from pybal.core.model import Report
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.runtime.file_values import FileValue, inline
from tests.harness.certificates import self_signed
from tests.harness.scripted_server import MonitoredServer, Peer
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import free_ports
from tests.harness.stepped_reactor import run

CONFIG = """
    client_header_timeout 1s;
    ssl_certificate {directory}/own.crt; ssl_certificate_key {directory}/own.key;
    server {{
        {listen}
        location /ok {{ return 200 "ok"; }}
        location /500 {{ return 500; }}
        location /503 {{ return 503; }}
        location /204 {{ return 204; }}
        location /moved {{ return 301 /ok; }}
        location /found {{ return 302 /ok; }}
        location /see {{ return 303 /ok; }}
        location /page.shtml {{ ssi on; }}
    }}
    server {{ listen 127.0.0.1:{https} ssl default_server; ssl_reject_handshake on; }}
    server {{ listen 127.0.0.1:{https} ssl; server_name a.example; location / {{ return 200 "$ssl_server_name"; }} }}
    server {{
        listen 127.0.0.1:{https} ssl; server_name b.example;
        location / {{ return 503; }}
        location /big {{ }}
    }}
"""


class Nginx:
    """The ports of nginx."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.http, self.https = free_ports(2)


@pytest.fixture(scope="module", name="nginx")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    directory = tmp_path_factory.mktemp("nginx")
    one = Nginx(directory)
    self_signed(directory)
    (directory / "page.shtml").write_text("<p>hello</p>" * 5000)
    (directory / "big").write_bytes(bytes(3_000_000))
    config = CONFIG.format(directory=directory, listen=listening(one.http), https=one.https)
    with nginx(directory, config, one.https):
        yield one


def unverified() -> FileValue[ssl.SSLContext]:
    """Return a context that accepts any certificate."""
    context = tls.shared(inline(Clock()))
    context.fresh()
    return context


def first_report(port: int, url: str, http_status: int = 200, host: str = "127.0.0.1") -> tuple[bool, str]:
    async def main(reactor: EPollReactor) -> Report:
        async with MonitoredServer(reactor, host) as setup:
            setup.monitor(ProxyFetchSettings((url,), http_status=http_status, timeout=10), port=port)
            return await setup.report()

    report = run(main)
    return report.up, report.reason


class TestHTTP:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_status_200_is_up(self, nginx: Nginx, host: str) -> None:
        assert first_report(nginx.http, "http://www.example/ok", host=host) == (True, "")

    @pytest.mark.parametrize(("path", "status"), [("500", 500), ("503", 503), ("204", 204), ("nowhere", 404)])
    def test_other_statuses_are_down_unless_configured(self, nginx: Nginx, path: str, status: int) -> None:
        url = f"http://www.example/{path}"
        assert first_report(nginx.http, url) == (False, f"status: HTTP {status}, wanted 200")
        assert first_report(nginx.http, url, http_status=status) == (True, "")

    @pytest.mark.parametrize(("path", "status"), [("moved", 301), ("found", 302), ("see", 303)])
    def test_redirects_are_not_followed(self, nginx: Nginx, path: str, status: int) -> None:
        url = f"http://www.example/{path}"
        assert first_report(nginx.http, url) == (False, f"status: HTTP {status}, wanted 200")
        assert first_report(nginx.http, url, http_status=301) == (True, "")

    def test_server_receives_the_request_of_pybal_115(self, nginx: Nginx) -> None:
        assert first_report(nginx.http, "http://www.example/ok?seen=1")[0]
        lines = (nginx.directory / "access.log").read_text().splitlines()
        assert [line for line in lines if '"GET /ok?seen=1 HTTP/1.0" 200 2 "-" "Twisted PageGetter"' in line]

    @pytest.mark.parametrize("path", ["ok", "page.shtml"], ids=["content-length", "chunked"])
    def test_response_on_a_kept_open_connection_ends_the_check(self, nginx: Nginx, path: str) -> None:
        data = f"GET /{path} HTTP/1.1\r\nHost: www.example\r\n\r\n".encode()
        result = fetch(nginx.http, CheckRequest("", 0, data, 200, frozenset((200,))))
        assert (result.verdict, result.duration < 20) == (PASSED, True)


class TestHTTPS:
    def test_server_name_selects_the_certificate(self, nginx: Nginx) -> None:
        assert first_report(nginx.https, "https://a.example/") == (True, "")
        assert first_report(nginx.https, "https://b.example/") == (False, "status: HTTP 503, wanted 200")

    def test_openssl_error_is_the_reason(self, nginx: Nginx) -> None:
        assert first_report(nginx.https, "https://c.example/") == (False, "tls: tlsv1 unrecognized name")
        assert first_report(nginx.https, "https://127.0.0.1/") == (False, "tls: tlsv1 unrecognized name")

    def test_plain_http_server_is_down(self, nginx: Nginx) -> None:
        assert first_report(nginx.http, "https://a.example/ok") == (
            False,
            "tls: wrong version number (no TLS on this port)",
        )

    def test_plain_request_to_a_tls_port_gets_status_400(self, nginx: Nginx) -> None:
        assert first_report(nginx.https, "http://a.example/") == (False, "status: HTTP 400, wanted 200")

    def test_large_body_is_read_from_many_records(self, nginx: Nginx) -> None:
        assert first_report(nginx.https, "https://b.example/big") == (True, "")

    def test_https_response_on_a_kept_open_connection_ends_the_check(self, nginx: Nginx) -> None:
        data = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
        request = CheckRequest("", 0, data, 200, frozenset((200,)), unverified(), "a.example")
        assert fetch(nginx.https, request).verdict is PASSED

    def test_handshake_and_answer_have_separate_times(self, nginx: Nginx) -> None:
        data = b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n"
        result = fetch(nginx.https, CheckRequest("", 0, data, 200, frozenset((200,)), unverified(), "a.example"))
        assert list(result.phases) == ["connect", "tls", "first byte", "headers", "body"]
        assert result.phases["tls"] > 0
        assert min(result.phases.values()) >= 0
        assert sum(result.phases.values()) == pytest.approx(result.duration)

    @pytest.mark.parametrize(
        ("act", "reason"),
        [
            (Peer.close, "tls: connection closed during the handshake"),
            (lambda peer: peer.say(b"220 mail.example ESMTP\r\n"), "tls: wrong version number (no TLS on this port)"),
            (lambda _peer: None, "tls: handshake timeout after "),
        ],
    )
    def test_server_without_tls_is_down(self, act: object, reason: str) -> None:
        async def main(reactor: EPollReactor) -> Report:
            async with MonitoredServer(reactor) as setup:
                setup.server.connected = act  # type: ignore[assignment]  # one of the above
                setup.monitor(ProxyFetchSettings(("https://a.example/",), timeout=0.5))
                return await setup.report()

        report = run(main)
        assert not report.up
        assert report.reason.startswith(reason)


def test_server_that_closes_idle_connections_stays_up(nginx: Nginx) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            monitor = setup.monitor(IdleConnectionSettings(timeout_clean_reconnect=0.5), port=nginx.http)
            await setup.until(lambda: monitor.up_results >= 3)
            assert (monitor.up, monitor.down_results, len(setup.reports)) == (True, 0, 1)

    run(main)


def fetch(port: int, request: CheckRequest) -> Result:
    """Return the result of one check."""

    async def main(reactor: EPollReactor) -> Result:
        async with MonitoredServer(reactor) as setup:
            told: Deferred[Result] = Deferred()
            target = Target.of(ip_address("127.0.0.1"), port)
            check = HTTPCheck(setup.engine, target, 10.0, lambda _check, result: told.callback(result), request)
            setup.engine.soon(check.start)
            return await told

    return run(main)
