"""Every TCP monitor against nginx, lighttpd, and nginx behind HAProxy and Varnish."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.pattern import Pattern
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.tls import TLSSettings
from tests.harness.certificates import Authority
from tests.harness.real_monitors import check_restart, first_results, start_monitors
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.haproxy import bound, haproxy
from tests.harness.servers.lighttpd import lighttpd
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import Server, free_ports
from tests.harness.servers.varnish import varnish
from tests.harness.stepped_reactor import run

VERSIONS = ("1.0", "1.1")
METHODS = ("GET", "HEAD")
IDLE = IdleConnectionSettings(timeout_clean_reconnect=0.2, max_delay=0.5)
RELOADS = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2, "lighttpd": signal.SIGUSR1}
KINDS = ("good", "expired", "other")
STATUSES = (500, 503)

NGINX = """
    gzip on; gzip_min_length 1; gzip_http_version 1.0; gzip_proxied any; gzip_types *;
    client_header_timeout 1s;
    server {{
        {listen}
        location /ok {{ return 200 ok; }}
        location /500.sh {{ return 500; }}
        location /503.sh {{ return 503; }}
        location /moved {{ return 301 /ok; }}
        location /204 {{ return 204; }}
        location /chunked.sh {{ ssi on; ssi_types *; try_files /page =404; }}
    }}
"""
NGINX_TLS = (
    "server {{ {listen} ssl_certificate {file}; ssl_certificate_key {file}; location / {{ return 200 ok; }} }}\n"
)
FRONTEND = """
frontend {name}
{bind}
    timeout client 1s
    default_backend origin
"""
HAPROXY = """
frontend tcp
{bind}
    mode tcp
    timeout client 1s
    default_backend tcp
backend tcp
    mode tcp
    server origin 127.0.0.1:{origin}
backend origin
    timeout server 300ms
    server origin 127.0.0.1:{origin}
"""
LIGHTTPD = """
url.redirect = ( "^/moved$" => "/ok" )
"""
LIGHTTPD_TLS = """
$SERVER["socket"] == "{host}:{port}" {{ ssl.engine = "enable" ssl.pemfile = "{file}" }}
"""
PAGE = "<p>hello</p>" * 5000 + "<p>bye</p>"


@dataclass(frozen=True, slots=True)
class HTTPServer:
    """A server with its port, its TLS ports by kind of certificate, and its origin if any."""

    name: str
    server: Server
    port: int
    secure: dict[str, int]
    authority: str = ""
    origin: Server | None = None
    tcp_port: int = 0


class Certificates:
    """The files of valid and invalid certificates."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        self.authority = str(authority.file)
        self.files = {
            "good": authority.issue("good"),
            "expired": authority.issue("expired", days=-3),
            "other": authority.issue("other", host="b.example"),
        }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def origin(directory: Path, port: int, certificates: Certificates | None = None, *, master: bool = False) -> HTTPServer:
    """Return an nginx with all pages."""
    (directory / "page").write_text(PAGE)
    secure = dict(zip(KINDS, free_ports(len(KINDS)), strict=True)) if certificates else {}
    http = NGINX.format(listen=listening(port))
    for kind, number in secure.items():
        assert certificates is not None
        http += NGINX_TLS.format(listen=listening(number, "ssl"), file=certificates.files[kind])
    server = nginx(directory, http, port, master=master)
    return HTTPServer("nginx", server, port, secure, certificates.authority if certificates else "")


def behind_haproxy(directory: Path, certificates: Certificates) -> HTTPServer:
    port, behind, tcp_port, *secure = free_ports(3 + len(KINDS))
    (directory / "origin").mkdir()
    text = FRONTEND.format(name="plain", bind=bound(port))
    for kind, number in zip(KINDS, secure, strict=True):
        text += FRONTEND.format(name=kind, bind=bound(number, "ssl", "crt", str(certificates.files[kind])))
    text += HAPROXY.format(bind=bound(tcp_port), origin=behind)
    one = origin(directory / "origin", behind).server
    ports = dict(zip(KINDS, secure, strict=True))
    return HTTPServer("haproxy", haproxy(directory, text, port), port, ports, certificates.authority, one, tcp_port)


def behind_varnish(directory: Path, certificates: Certificates) -> HTTPServer:
    del certificates  # without TLS
    port, behind = free_ports(2)
    (directory / "origin").mkdir()
    return HTTPServer(
        "varnish", varnish(directory, port, behind), port, {}, "", origin(directory / "origin", behind).server
    )


def lighttpd_server(directory: Path, certificates: Certificates) -> HTTPServer:
    port, *secure = free_ports(1 + len(KINDS))
    (directory / "ok").write_text("ok")
    (directory / "chunked.sh").write_text(f"echo Status: 200; echo; echo '{PAGE}'\n")
    for status in STATUSES:
        (directory / f"{status}.sh").write_text(f"echo Status: {status}; echo; echo no\n")
    (directory / "204").write_text("")
    text = LIGHTTPD
    for kind, number in zip(KINDS, secure, strict=True):
        for host in ("127.0.0.1", "[::1]"):
            text += LIGHTTPD_TLS.format(host=host, port=number, file=certificates.files[kind])
    ports = dict(zip(KINDS, secure, strict=True))
    return HTTPServer("lighttpd", lighttpd(directory, text, port), port, ports, certificates.authority)


def nginx_server(directory: Path, certificates: Certificates) -> HTTPServer:
    return origin(directory, free_ports(1)[0], certificates, master=True)


Make = Callable[[Path, Certificates], HTTPServer]
SITES: dict[str, Make] = {
    "nginx": nginx_server,
    "haproxy": behind_haproxy,
    "varnish": behind_varnish,
    "lighttpd": lighttpd_server,
}


@pytest.fixture(scope="module", params=SITES)
def http_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[HTTPServer]:
    made = SITES[request.param](tmp_path_factory.mktemp(request.param), certificates)
    with ExitStack() as stack:
        if made.origin is not None:
            stack.enter_context(made.origin)
        stack.enter_context(made.server)
        yield made


def of(*names: str) -> pytest.MarkDecorator:
    """Limit a test to these servers."""
    return pytest.mark.parametrize("http_server", names, indirect=True, scope="module")


def fetching(path: str, **options: object) -> ProxyFetchSettings:
    settings = ProxyFetchSettings((f"http://a.example/{path}",), interval=0.05, timeout=5.0)
    return replace(settings, **options)  # type: ignore[arg-type]  # by name


def https(**options: object) -> ProxyFetchSettings:
    return fetching("", urls=("https://a.example/ok",), **options)


GET = b"GET /ok HTTP/1.0\r\nHost: a.example\r\n\r\n"
EXPECT = TCPConnectSettings(send=GET, expect=b" 200 OK\r\n", interval=0.05, timeout=5.0)
KEEP_ALIVE = (("Connection", "keep-alive"),)


class TestHealthy:
    @pytest.mark.parametrize("path", ["ok", "chunked.sh"])
    def test_page_is_up_with_each_version_and_method(self, http_server: HTTPServer, path: str) -> None:
        settings = [
            fetching(path, method=method, http_version=version, headers=headers)
            for method in ("GET", "HEAD")
            for version in VERSIONS
            for headers in ((), KEEP_ALIVE)
        ]
        assert first_results(http_server.port, *settings) == [""] * 8

    def test_body_regex_matches_the_page(self, http_server: HTTPServer) -> None:
        page = [fetching("chunked.sh", http_version=v, body_regex=Pattern("<p>bye</p>$")) for v in VERSIONS]
        assert first_results(http_server.port, *page) == [""] * 2
        page = [replace(settings, body_regex=Pattern("farewell")) for settings in page]
        size = 60_011 if http_server.name == "lighttpd" else 60_010
        assert first_results(http_server.port, *page) == [f"body: no match for 'farewell' in {size} bytes"] * 2

    @of("nginx", "haproxy", "varnish")
    def test_compressed_page_is_up_but_does_not_match(self, http_server: HTTPServer) -> None:
        page = fetching("chunked.sh", headers=(("Accept-Encoding", "gzip"),))
        fetched, searched = first_results(http_server.port, page, replace(page, body_regex=Pattern("bye")))
        assert fetched == ""
        assert re.fullmatch(r"body: no match for 'bye' in \d+ bytes, content-encoding 'gzip'", searched)

    @pytest.mark.parametrize(("path", "status"), [("500.sh", 500), ("503.sh", 503), ("none", 404), ("moved", 301)])
    def test_other_status_is_down_unless_configured(self, http_server: HTTPServer, path: str, status: int) -> None:
        asked = [fetching(path, http_version=version, method=method) for version in VERSIONS for method in METHODS]
        assert first_results(http_server.port, *asked) == [f"status: HTTP {status}, wanted 200"] * 4
        asked = [replace(settings, http_status=status) for settings in asked]
        assert first_results(http_server.port, *asked) == [""] * 4
        asked = [replace(settings, http_status=200, statuses=((300, 599),)) for settings in asked]
        assert first_results(http_server.port, *asked) == [""] * 4

    def test_tcp_connection_is_up_with_and_without_expect(self, http_server: HTTPServer) -> None:
        first, second, third = first_results(
            http_server.port, TCPConnectSettings(), EXPECT, replace(EXPECT, expect=b"ready")
        )
        assert (first, second, third) == ("", "", "answer: connection closed after SOME bytes without 'ready'")

    def test_server_that_closes_idle_connections_stays_up(self, http_server: HTTPServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                ports = [
                    http_server.port,
                    *http_server.secure.values(),
                    *([http_server.tcp_port] if http_server.tcp_port else []),
                ]
                monitors = [monitor for port in ports for monitor in start_monitors(setup, port, IDLE)]
                await setup.until(lambda: all(monitor.up_results >= 2 for monitor in monitors))
                assert [monitor.down_results for monitor in monitors] == [0] * len(monitors)

        run(main)


class TestTLS:
    @of("nginx", "haproxy", "lighttpd")
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("good", ""),
            ("expired", "tls: certificate has expired"),
            ("other", "tls: hostname mismatch, certificate is not valid for 'a.example'"),
        ],
    )
    def test_certificate_is_verified_when_configured(self, http_server: HTTPServer, kind: str, reason: str) -> None:
        verified = [https(http_version=version, verify=True, ca=http_server.authority) for version in VERSIONS]
        tls = TLSSettings("a.example", verify=True, ca=http_server.authority)
        assert first_results(http_server.secure[kind], *verified, tls) == [reason] * 3
        assert first_results(http_server.secure[kind], https(), TLSSettings()) == ["", ""]

    def test_port_without_tls_is_down(self, http_server: HTTPServer) -> None:
        silent = http_server.name == "varnish"
        reason = (
            "tls: connection closed during the handshake"
            if silent
            else "tls: wrong version number (no TLS on this port)"
        )
        assert first_results(http_server.port, https(), TLSSettings()) == [reason] * 2


class TestBroken:
    """Tests that restore the server afterwards."""

    def test_hanging_server_accepts_connections_only(self, http_server: HTTPServer) -> None:
        secured = []
        http_server.server.pause()
        try:
            plain = first_results(
                http_server.port, fetching("ok", timeout=0.4), replace(EXPECT, timeout=0.4), TCPConnectSettings(), IDLE
            )
            if http_server.secure:
                secured = first_results(http_server.secure["good"], https(timeout=0.4), TLSSettings(timeout=0.4))
        finally:
            http_server.server.resume()
        assert plain == [
            "headers: TIME without a byte (connected in TIME)",
            "answer: TIME without a byte (connected in TIME)",
            "",  # the kernel responds instead
            "",
        ]
        assert secured == ["tls: handshake timeout after TIME (connected in TIME)"] * len(secured)
        assert first_results(http_server.port, fetching("ok"), EXPECT) == ["", ""]

    def test_dead_server_refuses_and_restarted_server_is_up(self, http_server: HTTPServer) -> None:
        settings = (fetching("ok"), EXPECT, TCPConnectSettings(interval=0.05), IDLE)
        check_restart(http_server.server, http_server.port, *settings)

    @of("haproxy", "varnish")
    def test_proxy_reports_a_dead_or_hanging_origin(self, http_server: HTTPServer) -> None:
        assert http_server.origin is not None
        http_server.origin.pause()
        try:
            hanging = first_results(http_server.port, fetching("ok"), TCPConnectSettings())
        finally:
            http_server.origin.resume()
        http_server.origin.kill()
        try:
            dead = first_results(http_server.port, fetching("ok"), TCPConnectSettings())
        finally:
            http_server.origin.start()
        timeout = 504 if http_server.name == "haproxy" else 503
        assert hanging == [f"status: HTTP {timeout}, wanted 200", ""]
        assert dead == ["status: HTTP 503, wanted 200", ""]

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitors = start_monitors(setup, http_server.port, fetching("ok"))
                # Varnish does not retry a refusing backend for 250 ms.
                await setup.until(lambda: all(monitor.up for monitor in monitors))

        run(main)

    @of(*RELOADS)
    def test_reload_keeps_the_server_up(self, http_server: HTTPServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                # lighttpd accepts no request until the old connections have closed.
                patient = replace(EXPECT, timeout=30.0)
                often = {"interval": 0.01}
                fetched = start_monitors(
                    setup, http_server.port, fetching("ok", **often), fetching("chunked.sh", **often), patient
                )
                idle = start_monitors(setup, http_server.port, IDLE)
                await setup.until(lambda: all(monitor.up for monitor in fetched + idle))
                before = [monitor.up_results for monitor in idle]
                http_server.server.reload(RELOADS[http_server.name])
                # An idle connection is closed cleanly and replaced.
                await setup.until(lambda: all(m.up_results > n for m, n in zip(idle, before, strict=True)))
                enough = [monitor.up_results + 10 for monitor in fetched]
                await setup.until(lambda: all(m.up_results >= n for m, n in zip(fetched, enough, strict=True)))
                assert [monitor.down_results for monitor in fetched + idle] == [0] * 8
                assert len(setup.reports) == 8

        run(main)
