"""etc/pybal.conf: it loads, shows every option, and every commented option has its default."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pybal.config.general import GLOBAL_OPTIONS
from pybal.config.parse import parse
from pybal.config.services import service_options
from pybal.config.settings import Settings
from pybal.monitors.kinds import KINDS
from tests.harness.reference import EXAMPLE, GLOBAL

LINES = EXAMPLE.read_text().splitlines()

OPTION = re.compile(r"#?([a-z][a-z0-9_.-]*) = ")
WITHOUT_DEFAULT = {name for name, found in GLOBAL.items() if found.example}
"""Options of [global] whose values in the file are examples; those of a scheduler's flags are, too."""


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


def test_example_loads_without_warnings_and_uses_every_monitor() -> None:
    assert {name for each in settings(set()).services for name in each.service.monitors} == set(KINDS)


def test_example_shows_every_option_and_no_other() -> None:
    assert {name for section, _, name in options() if section == "global"} == GLOBAL_OPTIONS
    assert {name for section, _, name in options() if section != "global"} == service_options(KINDS)


@pytest.mark.parametrize(("index", "name"), COMMENTED)
def test_commented_option_has_its_default(index: int, name: str) -> None:
    if name.startswith("scheduler"):
        assert settings({index}).services[0].service.scheduler_flags[0] == "mh-port"
    elif name.startswith("bgp-"):
        assert settings({index, *BGP_ON}, bgp=True) == settings(BGP_ON, bgp=True)
    else:
        assert settings({index}) == settings(set())


def test_example_loads_with_bgp() -> None:
    assert settings(BGP_ON, bgp=True).bgp is not None
