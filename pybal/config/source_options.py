"""The sections [etcd NAME], [http NAME] and [k8s NAME]: how the servers of pool sources are reached, and who we are to them.

NAME is what stands for the server in ``config``: ``conf1:2379`` in ``etcd://conf1:2379/pools/web``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pybal.config.option import names_of, read_options
from pybal.config.options import Options
from pybal.config.settings import AccessSettings, SourceSettings

_SECTION = re.compile(r"(etcd|http|k8s)[ \t]+(\S.*)", re.IGNORECASE)


def is_access_section(name: str) -> bool:
    """Tell whether a section is about the server of pool sources, however its name is spelt: it is no service."""
    return _SECTION.fullmatch(name) is not None


class AccessSections:
    """The sections about servers, and which of them services make use of."""

    def __init__(self, sections: Sequence[Options]) -> None:
        self._sections = sections
        self._places: dict[tuple[str, str], Options] = {}
        self._found: dict[tuple[str, str], AccessSettings] = {}
        self._unused = set(range(len(sections)))
        for options in sections:
            kind, server = _about(options.name)
            if not options.name.startswith(f"{kind} "):
                options.refuse("", "a section of this name", f"[{kind} NAME], in small letters and with a blank")
            twin = self._places.setdefault((kind, server), options)
            if twin is not options:
                options.refuse("", f"the server of [{twin.name}] (line {twin.line})", "another one in each section")
            self._found[kind, server] = read_options(AccessSettings, options, variant=kind)

    def of(self, source: SourceSettings) -> SourceSettings:
        """Return the settings of a source with what is said of its server, if anything is."""
        key = server_of(source.url)
        if key not in self._places:
            return source
        self._unused.discard(self._sections.index(self._places[key]))
        return replace(source, access=self._found[key])

    def finish(self) -> None:
        """Note the options that nobody knows, and the sections that no service uses."""
        for number, options in enumerate(self._sections):
            options.finish(ACCESS_OPTIONS[_about(options.name)[0]])
            if number in self._unused:
                options.warn(
                    "", "a section that no service uses", "the server of a config option, as it is written there"
                )


def server_of(url: str) -> tuple[str, str]:
    """Return the kind and the name of the server of a pool source, as they may stand in the name of a section."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    server = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return "http" if scheme == "https" else scheme, server.lower()


def _about(name: str) -> tuple[str, str]:
    match = _SECTION.fullmatch(name)
    return (match[1].lower(), match[2].strip().lower()) if match else ("", "")


ACCESS_OPTIONS = {kind: names_of(AccessSettings, variant=kind) for kind in ("etcd", "http", "k8s")}
