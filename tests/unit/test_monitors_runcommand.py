"""The command line that RunCommand runs for a server."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from twisted.internet.task import Clock

from pybal.checks.engine import Engine
from pybal.config.command_options import ServerField
from pybal.core.model import Address, IPProtocol, Service
from pybal.monitors.kinds import prepare
from pybal.monitors.runcommand import RunCommandFactory, RunCommandSettings
from pybal.runtime.file_values import inline

HOST, IP, PORT = ServerField


def factory(*arguments: str | ServerField) -> RunCommandFactory:
    service = Service("search_9200", IPProtocol.TCP, IPv4Address("192.0.2.1"), 9200, "wrr")
    settings = RunCommandSettings(command="/usr/lib/check", arguments=arguments)
    engine = Engine(Clock())  # type: ignore[arg-type]  # never started
    made = prepare(settings, service, engine=engine, random=Random(1), files=inline(Clock()))
    assert isinstance(made, RunCommandFactory)
    return made


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ()),
        (("-v", "a b", ""), ("-v", "a b", "")),
        ((HOST, IP, PORT), ("web1.example", "192.0.2.7", "9200")),
        (("host", "server.host", "$1", "{host}", "%h"), ("host", "server.host", "$1", "{host}", "%h")),
    ],
)
def test_arguments_replace_fields_with_facts_of_the_server(
    arguments: tuple[str | ServerField, ...], expected: tuple[str, ...]
) -> None:
    argv = factory(*arguments).argv("web1.example", IPv4Address("192.0.2.7"))
    assert argv == ("/usr/lib/check", *expected)


@pytest.mark.parametrize("address", [IPv4Address("192.0.2.7"), IPv6Address("2001:db8::7")])
def test_command_has_the_address_of_its_server(address: Address) -> None:
    assert factory(IP).argv("web1.example", address) == ("/usr/lib/check", str(address))
