"""Warnings about valid settings that are probably mistakes, for ``pybal check-config``. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pybal.config import ini
from pybal.config.convert import boolean
from pybal.config.errors import Problem, shown
from pybal.config.option import Group, Kinds, declared, options_of
from pybal.config.options import Options, Suggestions
from pybal.config.parse import GLOBAL
from pybal.config.settings import ServiceSettings, Settings

_UNSET = ("''", "'(unspecified)'")
"""Values of templates for options that are not in use."""


def lint(document: ini.Document, path: str, kinds: Kinds, settings: Settings) -> Iterator[Problem]:
    """Yield the warnings about a file with these settings."""
    for repeat in document.repeats:
        if repeat.name:
            found = f"the option a second time (first in line {repeat.first}); the last one counts"
        else:
            found = f"the section a second time (first in line {repeat.first}); it continues the first"
        yield Problem(path, repeat.line, repeat.section, repeat.name, found, "")
    yield from _decorated_names(path, document)
    general = document.sections.get(GLOBAL, ini.Section(GLOBAL, 1))
    yield from _switched_off(path, general, document.defaults)
    for service in settings.services:
        section = document.sections.get(service.service.name)
        if section is not None:
            yield from _unused(path, section, service, kinds)
            yield from _slow(path, section, service, kinds)
        if not service.monitors:
            found = "no monitors: every server counts as up (set monitors, such as [ 'ProxyFetch' ])"
            yield Problem(path, service.line, service.service.name, "", found, "")


def _decorated_names(path: str, document: ini.Document) -> Iterator[Problem]:
    """Yield the names of sections that begin or end with a blank, or begin with a second bracket."""
    for name, section in document.sections.items():
        bare = name.strip().lstrip("[").strip()
        if bare != name:
            wanted = "a name without blanks around it, in one pair of brackets"
            yield Problem(path, section.line, name, "", "a section of this name", wanted, f"[{bare}]")


def _switched_off(path: str, section: ini.Section, defaults: ini.Section) -> Iterator[Problem]:
    """Yield invalid values in parts that are switched off, and options in parts without a switch."""
    for member in fields(Settings):
        part = declared(member)
        if not isinstance(part, Group) or not part.switch:
            continue
        options = Options(path, section, defaults)
        if options.get(part.switch.name, boolean, False):
            continue
        names = [each.name for each in options_of(part.declared, part.prefix) if options.sets(each.name)]
        for each in options_of(part.declared, part.prefix):
            options.get(each.name, each.convert, each.default)
        for _ in options.finish(frozenset(section.entries), Suggestions()):
            pass
        yield from (problem for problem in options.problems if problem.found not in _UNSET)
        if names and not options.sets(part.switch.name):
            found = f"without effect, because {part.switch.name} is not set (set {part.switch.name} = yes to use it)"
            yield Problem(path, options.line_of(names[0]), section.name, names[0], found, "")


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
