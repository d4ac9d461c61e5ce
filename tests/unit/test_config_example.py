"""etc/pybal.conf says what the parser does: every option, nothing else, with its true default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.config.general import GLOBAL_OPTIONS
from pybal.config.parse import parse
from pybal.config.services import service_options
from pybal.config.settings import Settings
from pybal.monitors.kinds import KINDS

TEXT = (Path(__file__).parents[2] / "etc" / "pybal.conf").read_text()
LINES = TEXT.splitlines()

OPTION = re.compile(r"#?([a-z][a-z0-9_.-]*) = ")
WITHOUT_DEFAULT = {"bgp-local-asn", "bgp-peer-address", "bgp-nexthop-ipv4", "bgp-nexthop-ipv6"}
"""Commented out, with a value that is only an example, as are the flags of a scheduler."""


def options() -> Iterator[tuple[str, int, str]]:
    """Yield section, index of the line, and name of every option, commented out or not."""
    section = ""
    for index, line in enumerate(LINES):
        if header := re.match(r"\[(.+)\]", line):
            section = header[1]
        elif option := OPTION.match(line):
            yield section, index, option[1]


COMMENTED = [(index, name) for _, index, name in options() if LINES[index].startswith("#")]
BGP_ON = {index for index, name in COMMENTED if name in WITHOUT_DEFAULT}


def settings(uncommented: set[int], *, bgp: bool = False) -> Settings:
    lines = [line.removeprefix("#") if index in uncommented else line for index, line in enumerate(LINES)]
    if bgp:
        lines[LINES.index("#bgp = no")] = "bgp = yes"
    parsed = parse("\n".join(lines), "etc/pybal.conf", KINDS)
    assert parsed.warnings == ()
    return parsed.settings


def test_the_example_loads_without_a_warning_and_uses_every_monitor() -> None:
    services = settings(set()).services
    assert {name for each in services for name in each.service.monitors} == {
        "ProxyFetch",
        "IdleConnection",
        "DNSQuery",
        "UDP",
        "RunCommand",
        "TCPConnect",
        "TLS",
        "gRPC",
        "ICMP",
    }


def test_every_option_that_the_parser_knows_is_in_the_example_and_no_other() -> None:
    assert {name for section, _, name in options() if section == "global"} == GLOBAL_OPTIONS
    assert {name for section, _, name in options() if section != "global"} == service_options(KINDS)


@pytest.mark.parametrize(("index", "name"), COMMENTED)
def test_what_is_commented_out_is_the_default(index: int, name: str) -> None:
    if name.startswith("scheduler"):
        assert settings({index}).services[0].service.scheduler_flags[0] == "mh-port"
    elif name.startswith("bgp-"):
        assert settings({index, *BGP_ON}, bgp=True) == settings(BGP_ON, bgp=True)
    else:
        assert settings({index}) == settings(set())


def test_the_example_of_bgp_loads() -> None:
    assert settings(BGP_ON, bgp=True).bgp is not None
