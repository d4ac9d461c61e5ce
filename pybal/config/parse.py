"""Parser of pybal.conf: text to settings, or all problems together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from pybal.config import ini
from pybal.config.conflicts import Place, refuse_conflicts
from pybal.config.errors import ConfigError, Problem
from pybal.config.general import GLOBAL_OPTIONS, read_global
from pybal.config.option import Kinds
from pybal.config.options import Options, Suggestions
from pybal.config.peers import ADDRESS, PEER_OPTIONS, is_peer_section
from pybal.config.section_names import refuse_section
from pybal.config.sensitive import Sensitive, in_order
from pybal.config.services import REQUIRED, read_service, service_options
from pybal.config.settings import Settings
from pybal.config.source_options import AccessSections, is_access_section
from pybal.core.steps import finish

GLOBAL = "global"

LARGEST = 1 << 20
"""Bytes of a configuration; the 116 services of the largest public deployment take 60,000."""
MOST_SHOWN = 100
"""Problems, and warnings, that are reported of one file."""
_MOST_SORTED = 5_000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """A valid configuration, its warnings and its sensitive parts."""

    settings: Settings
    warnings: tuple[Problem, ...]
    sensitive: Sensitive


def parse(text: str | bytes, path: str, kinds: Kinds) -> ParsedConfig:
    """Return the settings in the text of a file; ``path`` is its name in problems.

    Raises :class:`ConfigError` with all problems, up to a limit.
    """
    return finish(parse_steps(text, path, kinds))


def parse_steps(text: str | bytes, path: str, kinds: Kinds) -> Generator[None, None, ParsedConfig]:
    """Do the same in small steps."""
    if len(text) > LARGEST:
        wanted = f"at most {LARGEST >> 20} MiB"
        raise ConfigError([Problem(path, 0, "", "", f"a file of {len(text):,} bytes", wanted)])
    if isinstance(text, bytes) and text.startswith(_UTF_16):
        raise ConfigError([Problem(path, 1, "", "", "a file in UTF-16", "text in UTF-8; save it in this encoding")])
    known = service_options(kinds)
    document = yield from ini.read_steps(text, path, GLOBAL_OPTIONS | PEER_OPTIONS | known)
    # A file with [global] alone is that of a balancer without services yet; an empty one was lost.
    is_lost = not document.sections and not document.problems
    section = document.sections.pop(GLOBAL, ini.Section(GLOBAL, 1))
    general = Options(path, section, document.defaults)
    peers = _peers(path, document, section)
    settings = read_global(general, peers)
    suggestions = Suggestions({"[global]": GLOBAL_OPTIONS, "the section of a service, or [DEFAULT]": known})
    yield from general.finish(GLOBAL_OPTIONS, suggestions)
    for peer in peers:
        yield from peer.finish(PEER_OPTIONS, suggestions)
    servers = _take(path, document, is_access_section, document.defaults)
    places = [Options(path, section, document.defaults) for section in document.sections.values()]
    accesses = AccessSections(servers)
    services = yield from _services(places, accesses, settings, kinds, suggestions)
    yield from accesses.finish(suggestions)
    if is_lost:
        general.problems.append(Problem(path, 1, "", "", "no section", f"[{GLOBAL}], or one for each service"))
    refuse_conflicts(general, settings, services, peers)

    views = [general, *peers, *servers, *places]
    yield
    omitted = document.omitted + sum(view.omitted_problems for view in views)
    problems = _in_order(path, document.problems, *(view.problems for view in views), omitted=omitted)
    unused = _unused_defaults(path, document.defaults, GLOBAL_OPTIONS | known, views, suggestions)
    yield
    omitted = sum(view.omitted_warnings for view in views)
    warnings = _in_order(path, unused, *(view.warnings for view in views), omitted=omitted)
    yield
    if problems:
        raise ConfigError(problems, warnings)
    sensitive = _sensitive(path, general, views)
    return ParsedConfig(replace(settings, services=tuple(service for _, service in services)), warnings, sensitive)


def _sensitive(path: str, general: Options, views: Sequence[Options]) -> Sensitive:
    exposures = in_order(chain.from_iterable(view.exposures for view in views))
    secrets = tuple(dict.fromkeys(chain.from_iterable(view.secrets for view in views)))
    instrumentation, group = general.place_of("instrumentation_ips"), general.place_of("control-group")
    return Sensitive(path, exposures, secrets, instrumentation, group)


def _services(
    places: Sequence[Options],
    accesses: AccessSections,
    settings: Settings,
    kinds: Kinds,
    suggestions: Suggestions,
) -> Generator[None, None, list[Place]]:
    """Return the services and their sections, those with problems included."""
    services, known = list[Place](), service_options(kinds)
    for options in places:
        yield
        if options.name.strip().lower() == GLOBAL:
            wanted = f"[{GLOBAL}], in lower case and without blanks"
            options.refuse("", "a section of this name", wanted, f"[{GLOBAL}]")
            continue
        if not options.has_own(REQUIRED):
            refuse_section(options)
            continue
        service = read_service(options, settings.bgp, kinds)
        yield from options.finish(known, suggestions)
        service = replace(service, source=accesses.of(service.source, options))
        services.append((options, service))
    return services


def _peers(path: str, document: ini.Document, general: ini.Section) -> list[Options]:
    """Remove the sections of peers from the document; the options of [global] apply to them."""
    inherited = ini.Section(ini.DEFAULT, 0, {**document.defaults.entries, **general.entries})
    inherited.entries.pop(ADDRESS, None)
    peers = _take(path, document, is_peer_section, inherited)
    for peer in peers:
        if not peer.name.startswith("bgp "):
            wanted = "[bgp NAME], in lower case and with a blank"
            peer.refuse("", "a section of this name", wanted, f"[bgp {peer.name[4:].strip()}]")
    return peers


def _take(path: str, document: ini.Document, matching: Callable[[str], bool], inherited: ini.Section) -> list[Options]:
    """Remove the sections with ``matching`` names from the document and return them."""
    names = [name for name in document.sections if matching(name)]
    return [Options(path, document.sections.pop(name), inherited) for name in names]


def _unused_defaults(
    path: str, defaults: ini.Section, known: frozenset[str], views: Sequence[Options], suggestions: Suggestions
) -> list[Problem]:
    used = known.union(*(view.referenced for view in views))
    return [
        Problem(path, entry.line, defaults.name, name, suggestions.message(name, known), "")
        for name, entry in defaults.entries.items()
        if name not in used
    ]


def _in_order(path: str, *found: Sequence[Problem], omitted: int) -> tuple[Problem, ...]:
    """Return the first problems, sorted by line; those of DEFAULT, found once per section, only once."""
    problems = dict.fromkeys(islice(chain.from_iterable(found), _MOST_SORTED))
    omitted += sum(map(len, found)) - _MOST_SORTED if sum(map(len, found)) > _MOST_SORTED else 0
    ordered = sorted(problems, key=lambda problem: problem.line)
    more = len(ordered) - MOST_SHOWN + omitted if len(ordered) > MOST_SHOWN else omitted
    if more:
        ordered[MOST_SHOWN:] = [Problem(path, 0, "", "", f"{more} more problems of this kind", "")]
    return tuple(ordered)
