"""Warnings about valid settings that are probably mistakes, for ``pybal check-config``. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.config import ini
from pybal.config.errors import Problem, shown
from pybal.config.option import Kinds
from pybal.config.settings import ServiceSettings, Settings


def lint(text: bytes, path: str, kinds: Kinds, settings: Settings) -> Iterator[Problem]:
    """Yield the warnings about a file with these settings."""
    document = ini.read(text, path)
    for repeat in document.repeats:
        if repeat.name:
            found = f"the option a second time (first in line {repeat.first}); the last one counts"
        else:
            found = f"the section a second time (first in line {repeat.first}); it continues the first"
        yield Problem(path, repeat.line, repeat.section, repeat.name, found, "")
    for service in settings.services:
        section = document.sections.get(service.service.name)
        if section is not None:
            yield from _unused(path, section, service, kinds)
            yield from _slow(path, section, service, kinds)
        if not service.monitors:
            found = "no monitors: every server counts as up (set monitors, such as [ 'ProxyFetch' ])"
            yield Problem(path, service.line, service.service.name, "", found, "")


def _unused(path: str, section: ini.Section, service: ServiceSettings, kinds: Kinds) -> Iterator[Problem]:
    """Yield the options of monitors that a service does not use."""
    for name, kind in kinds.items():
        if name in service.service.monitors:
            continue
        for entry in section.entries.values():
            if entry.name in kind.options:
                found = (
                    f"an option of a monitor that is not in use (add {shown(name)} to monitors, or remove the option)"
                )
                yield Problem(path, entry.line, section.name, entry.name, found, "")


def _slow(path: str, section: ini.Section, service: ServiceSettings, kinds: Kinds) -> Iterator[Problem]:
    """Yield the time limits of checks that are longer than the interval between two checks."""
    for name, monitor in zip(service.service.monitors, service.monitors, strict=True):
        timeout, interval = getattr(monitor, "timeout", 0.0), getattr(monitor, "interval", 0.0)
        if timeout > interval > 0:
            option = f"{kinds[name].prefix}timeout"
            entry = section.entries.get(option) or section.entries.get(f"{kinds[name].prefix}interval")
            found = f"{timeout:g} s, longer than the interval of {interval:g} s: a hanging server is found late"
            yield Problem(path, entry.line if entry else section.line, section.name, option, found, "")
