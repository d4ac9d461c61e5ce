"""The sections [etcd NAME], [http NAME] and [k8s NAME]: access to the servers of pool sources.

NAME is the server as written in ``config``: ``conf1:2379`` in ``etcd://conf1:2379/pools/web``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pybal.config.exposed_sources import expose_source
from pybal.config.option import names_of, read_options
from pybal.config.options import Options, Suggestions
from pybal.config.settings import AccessSettings, SourceSettings

_SECTION = re.compile(r"(etcd|http|k8s)[ \t]+(\S.*)", re.IGNORECASE)


def is_access_section(name: str) -> bool:
    """Return whether a section configures a server of pool sources, in any spelling of its name."""
    return _SECTION.fullmatch(name) is not None


class AccessSections:
    """The sections of servers, and whether services use them."""

    def __init__(self, sections: Sequence[Options]) -> None:
        self._sections = sections
        self._places: dict[tuple[str, str], Options] = {}
        self._found: dict[tuple[str, str], AccessSettings] = {}
        self._unused = {options.name for options in sections}
        for options in sections:
            kind, server = _kind_and_server(options.name)
            if not options.name.startswith(f"{kind} "):
                wanted = f"[{kind} NAME], in lower case and with a blank"
                options.refuse("", "a section of this name", wanted, f"[{kind} {server}]")
            twin = self._places.setdefault((kind, server), options)
            if twin is not options:
                options.refuse("", f"the server of [{twin.name}] (line {twin.line})", "one section per server")
            self._found[kind, server] = read_options(AccessSettings, options, variant=kind)

    def of(self, source: SourceSettings, service: Options) -> SourceSettings:
        """Return the settings of a source with the access to its server, if a section configures it.

        Its exposures are added to that section or to the one of its ``service``.
        """
        key = server_of(source.url)
        section = self._places.get(key)
        if section is not None:
            self._unused.discard(section.name)
            source = replace(source, access=self._found[key])
        expose_source(source, service, section)
        return source

    def finish(self, suggestions: Suggestions) -> Iterator[None]:
        """Add warnings for unknown options and unused sections."""
        for options in self._sections:
            yield from options.finish(ACCESS_OPTIONS[_kind_and_server(options.name)[0]], suggestions)
            if options.name in self._unused:
                options.warn("", "unused section (no config option names this server)")


def server_of(url: str) -> tuple[str, str]:
    """Return kind and name of the server of a pool source, as in the name of a section."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    server = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return "http" if scheme == "https" else scheme, server.lower()


def _kind_and_server(name: str) -> tuple[str, str]:
    match = _SECTION.fullmatch(name)
    return (match[1].lower(), match[2].strip().lower()) if match else ("", "")


ACCESS_OPTIONS = {kind: names_of(AccessSettings, variant=kind) for kind in ("etcd", "http", "k8s")}
