"""ProxyFetch with options against a real nginx: certificates, names, HTTP/1.1, chunks, bodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.config.pattern import Pattern
from pybal.monitors.kinds import refusal
from pybal.monitors.proxyfetch import ProxyFetchSettings
from tests.harness.certificates import Authority, self_signed
from tests.harness.scripted_server import MonitoredServer
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import free_ports
from tests.harness.stepped_reactor import run

CONFIG = """
    server {{
        {listen}
        location /from {{ return 200 "$remote_addr $server_protocol $request_method $http_host $http_x_a"; }}
        location /page.shtml {{ ssi on; }}
        location /204 {{ return 204; }}
    }}
    {servers}
"""
SERVER = """
    server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {file}; ssl_certificate_key {file};
              location / {{ return 200 "$ssl_server_name"; }} }}
"""
KINDS = ("good", "expired", "other", "stranger", "own")


class Nginx:
    """The ports of nginx, and the authority of the good certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plain, *ports = free_ports(1 + len(KINDS))
        self.ports = dict(zip(KINDS, ports, strict=True))
        authority = Authority(directory)
        self.ca = str(authority.file)
        self.files = {
            "good": authority.issue("good"),
            "expired": authority.issue("expired", days=-1),
            "other": authority.issue("other", host="b.example"),
            "stranger": Authority(directory, "unknown").issue("stranger"),
            "own": self_signed(directory),
        }


@pytest.fixture(scope="module", name="nginx")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    directory = tmp_path_factory.mktemp("nginx")
    one = Nginx(directory)
    (directory / "page.shtml").write_text("<p>hello</p>" * 5000 + "<p>bye</p>")
    servers = "".join(SERVER.format(port=port, file=one.files[kind]) for kind, port in one.ports.items())
    with nginx(directory, CONFIG.format(listen=listening(one.plain), servers=servers), one.plain):
        yield one


def said(settings: ProxyFetchSettings, port: int, host: str = "127.0.0.1") -> str:
    """Return the reason of the first report, empty for up."""

    async def main(reactor: EPollReactor) -> str:
        async with MonitoredServer(reactor, host) as setup:
            setup.monitor(replace(settings, timeout=10.0), port=port)
            report = await setup.report()
            assert report.up == (not report.reason)
            return report.reason

    return run(main)


class TestVerified:
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("good", ""),
            ("expired", "tls: certificate has expired"),
            ("other", "tls: hostname mismatch, certificate is not valid for 'a.example'"),
            ("stranger", "tls: unable to get local issuer certificate"),
            ("own", "tls: self-signed certificate"),
        ],
    )
    def test_verify_reports_why_a_certificate_is_refused(self, nginx: Nginx, kind: str, reason: str) -> None:
        settings = ProxyFetchSettings(("https://a.example/",), verify=True, ca=nginx.ca)
        assert said(settings, nginx.ports[kind]) == reason

    @pytest.mark.parametrize("kind", KINDS)
    def test_verify_is_off_by_default(self, nginx: Nginx, kind: str) -> None:
        assert said(ProxyFetchSettings(("https://a.example/",)), nginx.ports[kind]) == ""

    def test_sni_option_replaces_the_host_of_the_url(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(
            ("https://a.example/",), verify=True, ca=nginx.ca, sni="b.example", body_regex=Pattern("^b.example$")
        )
        assert said(settings, nginx.ports["other"]) == ""

    def test_verify_uses_the_system_authorities_by_default(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(("https://a.example/",), verify=True)
        assert said(settings, nginx.ports["good"]) == "tls: unable to get local issuer certificate"

    def test_verify_requires_an_existing_file(self, nginx: Nginx) -> None:
        missing = ProxyFetchSettings(("https://a.example/",), verify=True, ca=str(nginx.directory / "none"))
        found = refusal(missing)
        assert found is not None
        assert (found.option, found.found.endswith("(No such file or directory)")) == ("proxyfetch.ca", True)
        assert refusal(replace(missing, ca=nginx.ca)) is None
        assert refusal(replace(missing, ca=str(nginx.directory / "page.shtml"))) is not None


class TestRequest:
    def test_request_has_all_configured_options(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(
            ("http://a.example/from",),
            method="POST",
            http_version="1.1",
            host="c.example:8080",
            headers=(("X-A", "b"),),
            source=ip_address("127.0.0.9"),
            body_regex=Pattern(r"^127\.0\.0\.9 HTTP/1\.1 POST c\.example:8080 b$"),
        )
        assert said(settings, nginx.plain) == ""

    def test_source_option_accepts_an_ipv6_address(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(
            ("http://a.example/from",), source=ip_address("::1"), body_regex=Pattern("^::1 HTTP/1.0 GET a.example $")
        )
        assert said(settings, nginx.plain, "::1") == ""

    def test_chunked_body_is_read_with_http_11(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(
            ("http://a.example/page.shtml",), http_version="1.1", body_regex=Pattern("(?i)</P><p>BYE</p>$")
        )
        assert said(settings, nginx.plain) == ""
        settings = replace(settings, body_regex=Pattern("farewell"))
        assert said(settings, nginx.plain) == "body: no match for 'farewell' in 60010 bytes"
        assert said(replace(settings, max_body=60_009), nginx.plain) == "body: more than 60009 bytes"

    def test_head_request_reads_headers_only(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(("http://a.example/page.shtml",), method="HEAD", http_version="1.1")
        assert said(settings, nginx.plain) == ""

    def test_statuses_accept_a_range(self, nginx: Nginx) -> None:
        settings = ProxyFetchSettings(("http://a.example/204",), statuses=((200, 299),))
        assert said(settings, nginx.plain) == ""
        settings = replace(settings, urls=("http://a.example/none",))
        assert said(settings, nginx.plain) == "status: HTTP 404, wanted 200-299"
