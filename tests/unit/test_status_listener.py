"""HTTP semantics of the endpoints, in memory: methods, headers, bodies and hosts."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock

from pybal.core.model import IPProtocol, Service
from pybal.ipvs.audit import Findings, Reading
from pybal.ipvs.goal import Intent
from pybal.ipvs.model import Traffic, entry, key_of
from tests.harness.snapshots import pool, server, snapshot, status
from tests.harness.status_client import Client, clock_until_all_is_closed, code, factory

WEB = Service("web", IPProtocol.TCP, ip_address("10.2.1.1"), 80, "wrr")
READING = Reading(None, 0.0, (), [((ip_address("10.0.0.11"), 80), Traffic(1, 2, 3, 4, 5))])
FINDINGS = Findings(
    interval=15.0,
    repairs=True,
    age=3.0,
    problem="",
    drift={},
    intents={key_of(WEB): Intent(WEB, entry(WEB, {}), verified=True)},
    readings={key_of(WEB): READING},
    foreign=(),
    retired={},
)


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield from clock_until_all_is_closed()


def scraped(clock: Clock) -> Client:
    """Return a client of a balancer with one service, one server and the traffic to it."""
    routes = status(clock, snapshot(pool("web", server("a"))))
    return Client(factory(clock, replace(routes, audit=lambda: FINDINGS)))


def test_response_is_http(clock: Clock) -> None:
    client = Client(factory(clock))
    head, _, body = client.get().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain" in lines
    assert b"Content-Length: 26" in lines
    assert body == b"OK - All pools are healthy"
    client.hang_up()


def test_json_requires_exactly_its_accept_header(clock: Clock) -> None:
    client = Client(factory(clock))
    exact = "Host: localhost\nAccept: text/html\nAccept: application/json\n"
    assert b"Content-Type: application/json\r\n" in client.get(headers=exact)
    for other in ("application/json;q=0.9", "text/html, application/json", "*/*"):
        assert b"Content-Type: text/plain\r\n" in client.get(headers=f"Host: localhost\nAccept: {other}\n")
    client.hang_up()


def test_metrics_are_text_format_0_0_4_when_openmetrics_is_accepted(clock: Clock) -> None:
    client = Client(factory(clock))
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=1.0.0;q=0.5"
    response = client.get("/metrics", headers=f"Host: localhost\nAccept: {accept}\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in response
    assert b"Content-Length: " in response
    assert b"# EOF" not in response
    client.hang_up()


def test_query_is_ignored(clock: Clock) -> None:
    client = Client(factory(clock))
    assert client.get("/alerts?format=json").endswith(b"OK - All pools are healthy")
    client.hang_up()


def test_query_selects_the_series_of_a_scrape(clock: Clock) -> None:
    client = scraped(clock)
    whole, services, ipvs, both, other = (
        client.get(f"/metrics?{query}")
        for query in ("", "services=1", "ipvs=1", "services=1&ipvs=1", "services=0&ipvs=&x=1&services=1")
    )
    pooled, counted = b'\npybal_server_pooled{host="a",service="web"} 1.0\n', b"\npybal_ipvs_destination_bytes_total{"
    assert [text.count(pooled) for text in (whole, services, ipvs, both, other)] == [1, 0, 1, 0, 1]
    assert [text.count(counted) for text in (whole, services, ipvs, both, other)] == [0, 0, 1, 1, 0]
    assert [text.count(b"\npybal_service_servers{") for text in (whole, services, both)] == [1, 1, 1]
    client.hang_up()


def test_compressed_scrapes_with_another_query_are_kept_apart(clock: Clock) -> None:
    client = scraped(clock)
    headers = "Host: localhost\nAccept-Encoding: gzip\n"
    bodies = [
        gzip.decompress(client.get(f"/metrics{query}", headers).partition(b"\r\n\r\n")[2])
        for query in ("", "?services=1", "", "?services=1")
    ]
    assert [b"pybal_server_pooled" in body for body in bodies] == [True, False, True, False]
    client.hang_up()


def test_head_response_is_that_of_get_without_a_body(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.get(method="HEAD")
    assert b"Content-Length: 26\r\n" in response
    assert response.endswith(b"\r\n\r\n")
    assert code(client.get("/metrics", method="HEAD")) == 200
    assert client.get().endswith(b"healthy")
    client.hang_up()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"])
def test_other_methods_are_refused_with_the_allowed_ones(clock: Clock, method: str) -> None:
    client = Client(factory(clock))
    response = client.get(method=method)
    assert code(response) == 405
    assert b"Allow: GET, HEAD\r\n" in response
    client.hang_up()


@pytest.mark.parametrize(
    ("method", "framing", "answered"),
    [
        ("GET", "Content-Length: 5\n", 413),
        ("GET", "Transfer-Encoding: chunked\n", 413),
        ("POST", "Content-Length: 99999999999\n", 405),
        ("GET", "Content-Length: x\n", 400),
    ],
)
def test_request_with_body_is_refused_unread_and_closes_the_connection(
    clock: Clock, method: str, framing: str, answered: int
) -> None:
    client = Client(factory(clock))
    assert code(client.get(headers=f"Host: localhost\n{framing}", method=method)) == answered
    assert client.closed
    assert client.send("hello") == b""
    assert client.send("GET /alerts HTTP/1.1\n\n") == b""
    client.hang_up()


def test_pipelined_requests_are_answered_in_order(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.send("GET /alerts HTTP/1.1\n\nGET /nope HTTP/1.1\n\n")
    assert response.index(b"healthy") < response.index(b"404")
    client.hang_up()


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "a" * 20000,
        "GET / HTTP/1.1\nX: " + "a" * 20000,
        "GET / HTTP/1.1\n" + "X: aaaa\n" * 3000,
        "GET / HTTP/1.1\n" + "X:\n" * 101 + "\n",
        "GET / HTTP/1.1\n nothing to continue" + "\n\n",
        "hello\n\n",
    ],
)
def test_invalid_or_oversized_head_is_refused(clock: Clock, head: str) -> None:
    client = Client(factory(clock))
    assert code(client.send(head)) in {400, 431}
    assert client.closed
    client.hang_up()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:9090",
        "127.0.0.1:9090",
        "[::1]:9090",
        "[2001:db8::1]",
        "lvs1.example.org.",
        "LVS1.example.org:9090",
    ],
)
def test_host_header_may_be_a_local_name_or_any_address(clock: Clock, host: str) -> None:
    client = Client(factory(clock, host_names=["lvs1.example.org"]))
    assert code(client.get(headers=f"Host: {host}\n")) == 200
    client.hang_up()


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "[x]"]
)
def test_host_header_with_a_foreign_name_is_refused_on_loopback(clock: Clock, host: str) -> None:
    client = Client(factory(clock))
    response = client.get(headers=f"Host: {host}\n")
    assert code(response) == (200 if host == "[::1" else 421)
    assert (b"healthy" in response) == (host == "[::1")
    client.hang_up()


def test_two_host_headers_are_refused(clock: Clock) -> None:
    client = Client(factory(clock))
    assert code(client.get(headers="Host: localhost\nHost: evil.example\n")) == 421
    client.hang_up()


def test_http_1_0_requires_no_host_and_closes_the_connection(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.send("GET /alerts HTTP/1.0\n\n")
    assert response.endswith(b"\r\n\r\nOK - All pools are healthy")
    assert client.closed
    client.hang_up()


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_other_addresses_accept_any_host_header(clock: Clock, ip: str) -> None:
    kind = IPv6Address if ip_address(ip).version == 6 else IPv4Address
    client = Client(factory(clock), kind("TCP", ip, 9090))
    assert code(client.get(headers="Host: pybal-alias.example\n")) == 200
    client.hang_up()


def test_page_forbids_frames_and_foreign_scripts(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.get("/")
    assert b"frame-ancestors 'none'" in response
    assert b"script-src 'self'" in response
    assert b"X-Content-Type-Options: nosniff\r\n" in response
    client.hang_up()


@pytest.mark.parametrize("path", ["/", "/v1/status", "/metrics", "/absent"])
def test_responses_stay_within_their_origin(clock: Clock, path: str) -> None:
    client = Client(factory(clock))
    response = client.get(path)
    assert b"Cross-Origin-Resource-Policy: same-origin\r\n" in response
    assert b"Referrer-Policy: no-referrer\r\n" in response
    assert b"Access-Control-Allow-Origin" not in response
    client.hang_up()
