"""Options of ProxyFetch and of intervals: accepted and refused values."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.config.pattern import Pattern
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import KINDS
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.udp import UDPSettings

SERVICE = """[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wlc
config = file:///pools/web
monitors = ['ProxyFetch', 'IdleConnection', 'UDP']
proxyfetch.url = https://a.example/
"""


def monitors(*options: str) -> tuple[MonitorSettings, ...]:
    parsed = parse(SERVICE + "\n".join(options), "f", KINDS)
    assert parsed.warnings == ()
    return parsed.settings.services[0].monitors


def proxyfetch(*options: str) -> ProxyFetchSettings:
    found = monitors(*options)[0]
    assert isinstance(found, ProxyFetchSettings)
    return found


def refusal(*options: str) -> str:
    with pytest.raises(ConfigError) as refused:
        monitors(*options)
    assert len(refused.value.problems) == 1
    return str(refused.value)


def test_proxyfetch_reads_all_options() -> None:
    assert proxyfetch(
        "proxyfetch.method = HEAD",
        "proxyfetch.headers = ['X-Forwarded-Proto: https', 'Accept:*/*']",
        "proxyfetch.host = b.example:8080",
        "proxyfetch.http-version = 1.1",
        "proxyfetch.statuses = 200-299, 404",
        r"proxyfetch.body-regex = '\d+ ok$'",
        "proxyfetch.max-body = 1000",
        "proxyfetch.verify = yes",
        "proxyfetch.ca = /etc/ssl/ca.pem",
        "proxyfetch.sni = c.example",
        "proxyfetch.port = 8443",
        "proxyfetch.source = 192.0.2.10",
    ) == ProxyFetchSettings(
        ("https://a.example/",),
        method="HEAD",
        headers=(("X-Forwarded-Proto", "https"), ("Accept", "*/*")),
        host="b.example:8080",
        http_version="1.1",
        statuses=((200, 299), (404, 404)),
        body_regex=Pattern(r"\d+ ok$"),
        max_body=1000,
        verify=True,
        ca="/etc/ssl/ca.pem",
        sni="c.example",
        port=8443,
        source=IPv4Address("192.0.2.10"),
    )


@pytest.mark.parametrize(
    ("option", "found", "wanted"),
    [
        ("method = get", "'get'", "a method in capitals"),
        ("method = CONNECT", "'CONNECT'", "a method in capitals"),
        (r"method = GET\r\nX", r"'GET\\r\\nX'", "a method in capitals"),
        ("headers = X", "'X'", "a header 'Name: value' in printable ASCII, without line ends"),
        (r"headers = ['X: a\r\nHost: evil']", r"'X: a\r\nHost: evil'", "a header 'Name: value' in printable ASCII"),
        (r"headers = ['X: a\nY: b']", r"'X: a\nY: b'", "a header 'Name: value' in printable ASCII"),
        (r"headers = ['X: a\0']", r"'X: a\x00'", "a header 'Name: value' in printable ASCII"),
        (r"headers = ['X\r: a']", r"'X\r: a'", "a header 'Name: value' in printable ASCII"),
        ("headers = ['host: b.example']", "'host: b.example'", "a header other than host, which PyBal sets"),
        ("headers = Content-Length: 5", "'Content-Length: 5'", "a header other than Content-Length"),
        (r"host = 'a\r\nX: b'", r'''"'a\\r\\nX: b'"''', "one text"),
        ("host = a b", "'a b'", "HOST or HOST:PORT"),
        ("http-version = 2", "'2'", "one of 1.0, 1.1"),
        ("statuses = 299-200", "'299-200'", "HTTP statuses such as 200, or ranges such as 200-299"),
        ("statuses = 2xx", "'2xx'", "HTTP statuses such as 200"),
        ("statuses = 600", "'600'", "HTTP statuses such as 200"),
        ("body-regex = (a", "an unmatched ( in '(a'", "a regular expression"),
        ("body-regex = a++", "a possessive quantifier in 'a++'", "a regular expression"),
        ("body-regex = (?>a)", "(?>: no groups but ( ) and (?: ) in '(?>a)'", "a regular expression"),
        ("max-body = 0", "'0'", "a number of bytes from 1 to 67108864"),
        ("ca = /ca.pem", "'/ca.pem'", "proxyfetch.verify = yes as well"),
        ("sni = 192.0.2.1", "'192.0.2.1'", "a host name, not an address"),
        ("port = 65536", "'65536'", "a port number, or 0 for the port of the service"),
        ("source = 2001:db8::1", "'2001:db8::1'", "an IPv4 address, like ip and the servers"),
        ("source = 0.0.0.0", "'0.0.0.0'", "the address of a host"),
        ("jitter = 0.6", "'0.6'", "a share from 0 to 0.5 (0.25 is 25 %)"),
        ("rise = 0", "'0'", "a whole number from 1 to 1000"),
        ("fast-interval = 0", "'0'", "seconds, more than 0"),
    ],
)
def test_proxyfetch_refuses_invalid_values(option: str, found: str, wanted: str) -> None:
    name = option.partition(" ")[0]
    assert refusal(f"proxyfetch.{option}").startswith(f"f:9: [web] proxyfetch.{name}: found {found}; expected {wanted}")


def test_proxyfetch_refuses_verify_without_https() -> None:
    assert "a URL https://host/path as well" in refusal("proxyfetch.url = http://a.example/", "proxyfetch.verify = 1")


@pytest.mark.parametrize("text", ['""', "''", "[]"])
def test_empty_value_is_the_default(text: str) -> None:
    names = ("host", "headers", "statuses", "sni", "source", "ca") if text == "[]" else ("host", "sni", "source", "ca")
    assert proxyfetch(*(f"proxyfetch.{name} = {text}" for name in names)) == proxyfetch()


def test_fast_interval_equal_to_the_interval_is_the_default() -> None:
    assert proxyfetch("proxyfetch.interval = 7", "proxyfetch.fast-interval = 7").fast_interval is None
    assert proxyfetch("proxyfetch.interval = 7", "proxyfetch.fast-interval = 10").fast_interval == 10.0


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"IdleConnection"}))
def test_every_interval_kind_has_the_common_options(kind: str) -> None:
    options = {name.removeprefix(KINDS[kind].prefix) for name in KINDS[kind].options}
    assert options >= {"interval", "timeout", "rise", "fall", "fast-interval", "down-interval", "jitter"}


def test_every_kind_reads_its_own_intervals() -> None:
    _, idle, udp = monitors(
        "idleconnection.timeout = 5",
        "idleconnection.fall = 2",
        "udp.rise = 2",
        "udp.fall = 3",
        "udp.fast-interval = 1",
        "udp.down-interval = 30",
        "udp.jitter = .1",
        "udp.timeout = 2",
    )
    assert idle == IdleConnectionSettings(timeout=5.0, fall=2)
    assert udp == UDPSettings(timeout=2.0, rise=2, fall=3, fast_interval=1.0, down_interval=30.0, jitter=0.1)
