"""Parser of pybal.conf: text to settings, or all problems together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pybal.config import ini
from pybal.config.conflicts import Place, refuse_conflicts
from pybal.config.errors import ConfigError, Problem
from pybal.config.general import GLOBAL_OPTIONS, read_control_socket, read_global
from pybal.config.option import Kinds
from pybal.config.options import Options, unknown
from pybal.config.peers import ADDRESS, PEER_OPTIONS, is_peer_section
from pybal.config.services import read_service, service_options
from pybal.config.settings import Settings
from pybal.config.source_options import AccessSections, is_access_section

GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A valid configuration and its warnings."""

    settings: Settings
    warnings: tuple[Problem, ...] = ()


def parse(text: str | bytes, path: str, kinds: Kinds) -> ParsedConfig:
    """Return the settings in the text of a file; ``path`` is its name in problems.

    Raises :class:`ConfigError` with all problems.
    """
    document = ini.read(text, path)
    section = document.sections.pop(GLOBAL, ini.Section(GLOBAL, 1))
    general = Options(path, section, document.defaults)
    peers = _peers(path, document, section)
    settings = read_global(general, peers)
    general.finish(GLOBAL_OPTIONS)
    for peer in peers:
        peer.finish(PEER_OPTIONS)
    servers = _take(path, document, is_access_section, document.defaults)
    places = [Options(path, section, document.defaults) for section in document.sections.values()]
    known = service_options(kinds)
    services = list(_services(places, AccessSections(servers), settings, kinds, known))
    if not places:
        general.problems.append(Problem(path, 1, "", "", "no service section", "at least one"))
    refuse_conflicts(general, settings, services, peers)

    views = [general, *peers, *servers, *places]
    problems = _in_order([*document.problems, *(problem for view in views for problem in view.problems)])
    unused = _unused_defaults(path, document.defaults, GLOBAL_OPTIONS | known, views)
    warnings = _in_order([*unused, *(warning for view in views for warning in view.warnings)])
    if problems:
        raise ConfigError(problems, warnings)
    return ParsedConfig(replace(settings, services=tuple(service for _, service in services)), warnings)


def _services(
    places: Sequence[Options], accesses: AccessSections, settings: Settings, kinds: Kinds, known: frozenset[str]
) -> Iterator[Place]:
    """Yield the services without problems, and their sections."""
    for options in places:
        if options.name.strip().lower() == GLOBAL:
            options.refuse("", "a section of this name", f"[{GLOBAL}], in lower case and without blanks")
            continue
        service = read_service(options, settings.bgp, kinds)
        options.finish(known)
        service = replace(service, source=accesses.of(service.source))
        if not options.problems:
            yield options, service
    accesses.finish()


def control_socket(text: str | bytes, path: str) -> str:
    """Return the option ``control-socket`` of a file that may have problems; empty if absent."""
    document = ini.read(text, path)
    section = document.sections.get(GLOBAL, ini.Section(GLOBAL, 1))
    return read_control_socket(Options(path, section, document.defaults))


def _peers(path: str, document: ini.Document, general: ini.Section) -> list[Options]:
    """Remove the sections of peers from the document; the options of [global] apply to them."""
    inherited = ini.Section(ini.DEFAULT, 0, {**document.defaults.entries, **general.entries})
    inherited.entries.pop(ADDRESS, None)
    peers = _take(path, document, is_peer_section, inherited)
    for peer in peers:
        if not peer.name.startswith("bgp "):
            peer.refuse("", "a section of this name", "[bgp NAME], in lower case and with a blank")
    return peers


def _take(path: str, document: ini.Document, matching: Callable[[str], bool], inherited: ini.Section) -> list[Options]:
    """Remove the sections with ``matching`` names from the document and return them."""
    names = [name for name in document.sections if matching(name)]
    return [Options(path, document.sections.pop(name), inherited) for name in names]


def _unused_defaults(
    path: str, defaults: ini.Section, known: frozenset[str], views: Sequence[Options]
) -> list[Problem]:
    used = known.union(*(view.referenced for view in views))
    return [
        Problem(path, entry.line, defaults.name, name, unknown(name, known), "")
        for name, entry in defaults.entries.items()
        if name not in used
    ]


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems sorted by line; those of DEFAULT, found once per section, only once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))
