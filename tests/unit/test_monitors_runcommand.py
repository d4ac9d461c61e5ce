"""What RunCommand runs for a server."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from twisted.internet.task import Clock

from pybal.checks.engine import Engine
from pybal.config.command_options import ServerField
from pybal.config.settings import RunCommandSettings
from pybal.core.model import Address, IPProtocol, Service
from pybal.monitors.runcommand import RunCommandFactory

HOST, IP, PORT = ServerField


def plan(*arguments: str | ServerField) -> RunCommandFactory:
    service = Service("search_9200", IPProtocol.TCP, IPv4Address("192.0.2.1"), 9200, "wrr")
    settings = RunCommandSettings("/usr/lib/check", arguments)
    engine = Engine(Clock())  # type: ignore[arg-type]  # never started
    return RunCommandFactory(settings, service, engine=engine, random=Random(1))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ()),
        (("-v", "a b", ""), ("-v", "a b", "")),
        ((HOST, IP, PORT), ("web1.example", "192.0.2.7", "9200")),
        (("host", "server.host", "$1", "{host}", "%h"), ("host", "server.host", "$1", "{host}", "%h")),
    ],
)
def test_facts_about_the_server_take_the_places_of_their_names(
    arguments: tuple[str | ServerField, ...], expected: tuple[str, ...]
) -> None:
    argv = plan(*arguments).argv("web1.example", IPv4Address("192.0.2.7"))
    assert argv == ("/usr/lib/check", *expected)


@pytest.mark.parametrize("address", [IPv4Address("192.0.2.7"), IPv6Address("2001:db8::7")])
def test_every_server_has_a_command_of_its_own_address(address: Address) -> None:
    assert plan(IP).argv("web1.example", address) == ("/usr/lib/check", str(address))
    monitor = plan(IP).monitor("web1.example", address, lambda _report: None)
    assert monitor._command._argv == ("/usr/lib/check", str(address))
