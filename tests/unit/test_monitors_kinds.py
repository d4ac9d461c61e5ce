"""The table of kinds, and the objects that the monitors of one service share."""

from __future__ import annotations

import ssl
from ipaddress import IPv4Address, IPv6Address
from random import Random
from socket import AF_INET, AF_INET6
from typing import NamedTuple, cast

import pytest
from twisted.internet.task import Clock

from pybal.checks.engine import Engine
from pybal.checks.socket_check import Target
from pybal.core.model import IPProtocol, Service
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.grpc import GRPCSettings
from pybal.monitors.kinds import KINDS, name_of, prepare
from pybal.monitors.proxyfetch import ProxyFetchFactory, ProxyFetchSettings
from pybal.monitors.tls import TLSSettings
from pybal.runtime.file_values import inline
from tests.harness.kind_settings import minimal

SERVICE = Service("svc", IPProtocol.TCP, IPv4Address("192.0.2.1"), 8080, "wlc")


@pytest.fixture
def engine() -> Engine:
    return Engine(Clock())  # type: ignore[arg-type]  # never started


class NameAndPort(NamedTuple):
    name: str = "svc"
    port: int = 8080


def factory(engine: Engine, *urls: str, http_status: int = 200) -> ProxyFetchFactory:
    made = prepare(
        ProxyFetchSettings(urls, http_status), SERVICE, engine=engine, random=Random(1), files=inline(Clock())
    )
    assert isinstance(made, ProxyFetchFactory)
    return made


@pytest.mark.parametrize(
    "settings", [*map(minimal, KINDS), GRPCSettings(tls=True), TLSSettings(name="a.example", verify=True)]
)
def test_factory_and_monitor_have_the_name_of_the_kind(engine: Engine, settings: MonitorSettings) -> None:
    one = prepare(settings, SERVICE, engine=engine, random=Random(1), files=inline(Clock()))
    monitor = one.monitor("h", IPv4Address("127.0.0.1"), lambda _report: None)
    assert one.name == monitor.name == name_of(settings)


@pytest.mark.parametrize("kind", KINDS)
def test_factory_uses_only_name_and_port_of_a_service(engine: Engine, kind: str) -> None:
    settings = minimal(kind)
    narrow = cast("Service", NameAndPort())
    assert prepare(settings, narrow, engine=engine, random=Random(1), files=inline(Clock())).name == kind
    assert settings.port_of(narrow) == (0 if kind == "ICMP" else 8080)


def test_port_option_takes_precedence_over_the_service_port() -> None:
    assert TLSSettings(port=636).port_of(SERVICE) == 636


def test_checks_of_a_service_share_one_unverified_tls_context(engine: Engine) -> None:
    requests = factory(engine, "https://a.example/", "https://b.example/", "http://c.example/").requests
    contexts = [request.context for request in requests]
    assert contexts[0] is contexts[1]
    assert contexts[0] is not None
    assert contexts[0].is_ready(lambda: None, 1.0, wait=True)
    assert (contexts[0].last.verify_mode, contexts[0].last.check_hostname) == (ssl.CERT_NONE, False)
    assert contexts[2] is None
    assert [request.server_name for request in requests] == ["a.example", "b.example", ""]


@pytest.mark.parametrize(
    ("wanted", "statuses"),
    [
        (200, {200, 201, 202}),
        (201, {201}),
        (404, {404}),
        (301, {301, 302, 303}),
        (303, {301, 302, 303}),
        (304, {304}),
    ],
)
def test_http_status_accepts_what_pybal_115_accepted(engine: Engine, wanted: int, statuses: set[int]) -> None:
    request = factory(engine, "http://a.example/", http_status=wanted).requests[0]
    assert (set(request.statuses), request.wanted) == (statuses, wanted)


def test_record_type_follows_the_address_family() -> None:
    assert Target.of(IPv4Address("192.0.2.1"), 80) == (AF_INET, ("192.0.2.1", 80), None)
    assert Target.of(IPv6Address("2001:db8::1"), 80) == (AF_INET6, ("2001:db8::1", 80), None)
