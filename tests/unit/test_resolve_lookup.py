"""The hosts file and resolv.conf, without a DNS server."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.resolve import LookupFailed, LookupResult, dns_lookup
from pybal.resolve.lookup import HOSTS_TTL
from pybal.resolve.servers import nameservers

HOSTS = """
127.0.0.1   localhost
::1         localhost ip6-localhost
10.0.0.1    web1.example.net web1   # the first
10.0.0.2    WEB2
10.0.0.12   web2
2001:db8::1 web1
10.0.0.999  broken
#10.0.0.3   web3
10.0.0.4
"""


class NoReactor(Clock):
    """A reactor that fails any attempt to query a server."""


def look_up(path: Path, host: str, version: int) -> LookupResult:
    return result_of(Deferred.fromCoroutine(dns_lookup(cast("Any", NoReactor()), hosts=str(path))(host, version)))


def result_of(lookup: Deferred[LookupResult]) -> LookupResult:
    answers: list[LookupResult] = []
    failures: list[BaseException] = []
    lookup.addCallbacks(answers.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    return answers[0]


def addresses(path: Path, host: str, version: int) -> list[str]:
    return [str(address) for address in look_up(path, host, version).addresses]


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return path


def test_lookup_reads_the_hosts_file_without_a_server(hosts: Path) -> None:
    assert addresses(hosts, "web1", 4) == ["10.0.0.1"]
    assert addresses(hosts, "web1", 6) == ["2001:db8::1"]
    assert addresses(hosts, "web1.example.net", 4) == ["10.0.0.1"]
    assert look_up(hosts, "web1", 4).ttl == HOSTS_TTL


def test_lookup_ignores_case_and_the_final_dot(hosts: Path) -> None:
    assert addresses(hosts, "Web2.", 4) == ["10.0.0.2", "10.0.0.12"]


@pytest.mark.parametrize("content", [HOSTS, ""])
def test_lookup_of_localhost_never_uses_dns(hosts: Path, content: str) -> None:
    hosts.write_text(content)
    assert addresses(hosts, "localhost", 4) == ["127.0.0.1"]
    assert addresses(hosts, "LOCALHOST.", 6) == ["::1"]
    assert addresses(hosts, "db.localhost", 4) == ["127.0.0.1"]


def test_lookup_returns_localhost_without_a_hosts_file(tmp_path: Path) -> None:
    assert addresses(tmp_path / "none", "localhost", 4) == ["127.0.0.1"]


def test_lookup_reloads_a_changed_hosts_file(hosts: Path) -> None:
    lookup = dns_lookup(cast("Any", NoReactor()), hosts=str(hosts))
    found = []
    for number, address in enumerate(("10.0.0.1", "10.0.0.2")):
        hosts.write_text(f"{address} web1\n")
        os.utime(hosts, ns=(number, number))
        found.append(result_of(Deferred.fromCoroutine(lookup("web1", 4))).addresses)
    assert found == [(ip_address("10.0.0.1"),), (ip_address("10.0.0.2"),)]


@pytest.mark.parametrize("host", ["", ".", "a..b", "a b", "é.example", "a" * 64, "a." * 127 + "a", "a\0b", "a\n"])
def test_lookup_refuses_an_invalid_name_without_a_query(hosts: Path, host: str) -> None:
    with pytest.raises(LookupFailed, match="not a valid DNS name") as failed:
        look_up(hosts, host, 4)
    assert failed.value.definite


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ("127.0.0.1",)),
        ("search example.net\nnameserver\nnameserver example.net\n", ("127.0.0.1",)),
        ("nameserver 10.0.0.1\nnameserver 2001:DB8::1 # second\n", ("10.0.0.1", "2001:db8::1")),
        ("# nameserver 10.0.0.9\n;nameserver 10.0.0.8\n nameserver\t10.0.0.1\n", ("10.0.0.1",)),
        ("nameserver fe80::1%eth0\n", ("fe80::1%eth0",)),
        ("".join(f"nameserver 10.0.0.{i}\n" for i in range(1, 6)), ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
    ],
)
def testnameservers_returns_the_servers_of_resolv_conf(text: str, servers: tuple[str, ...]) -> None:
    assert nameservers(text.encode()) == servers
