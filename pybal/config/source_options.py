"""The sections [etcd NAME], [http NAME] and [k8s NAME]: how the servers of pool sources are reached, and who we are to them.

NAME is what stands for the server in ``config``: ``conf1:2379`` in ``etcd://conf1:2379/pools/web``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pybal.config.convert import boolean, each, optional_hostname, optional_text
from pybal.config.options import Options, asked_by
from pybal.config.settings import AccessSettings, SourceSettings
from pybal.config.url_options import endpoint

_SECTION = re.compile(r"(etcd|http|k8s)[ \t]+(\S.*)", re.IGNORECASE)
_endpoints = each(endpoint)


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
            self._found[kind, server] = read_access(options)

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
            options.finish(_OPTIONS[_about(options.name)[0]])
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


def read_access(options: Options) -> AccessSettings:
    """Return what a section says, and note what does not go together."""
    access = _READERS[_about(options.name)[0]](options)
    if access.endpoints and access.discovery:
        options.refuse("discovery-srv", access.discovery, "nothing beside endpoints: they are the servers")
    if bool(access.certificate) != bool(access.key):
        missing = "key" if access.certificate else "certificate"
        options.refuse(missing, "nothing", "a file in PEM form: certificate and key go together")
    if bool(access.user) != bool(access.password_file):
        missing = "password-file" if access.user else "user"
        options.refuse(missing, "nothing", "user and password-file together")
    if access.user and access.token_file:
        options.refuse("token-file", access.token_file, "nothing beside user: one of them says who we are")
    return access


def _about(name: str) -> tuple[str, str]:
    match = _SECTION.fullmatch(name)
    return (match[1].lower(), match[2].strip().lower()) if match else ("", "")


def _etcd(options: Options) -> AccessSettings:
    return AccessSettings(
        endpoints=options.get("endpoints", _endpoints, ()),
        discovery=options.get("discovery-srv", optional_hostname, ""),
        tls=options.get("tls", boolean, True),
        ca=options.get("ca", optional_text, ""),
        certificate=options.get("certificate", optional_text, ""),
        key=options.get("key", optional_text, ""),
        user=options.get("user", optional_text, ""),
        password_file=options.get("password-file", optional_text, ""),
    )


def _http(options: Options) -> AccessSettings:
    return AccessSettings(
        ca=options.get("ca", optional_text, ""),
        certificate=options.get("certificate", optional_text, ""),
        key=options.get("key", optional_text, ""),
        user=options.get("user", optional_text, ""),
        password_file=options.get("password-file", optional_text, ""),
        token_file=options.get("token-file", optional_text, ""),
    )


def _k8s(options: Options) -> AccessSettings:
    return AccessSettings(
        ca=options.get("ca", optional_text, ""),
        certificate=options.get("certificate", optional_text, ""),
        key=options.get("key", optional_text, ""),
        token_file=options.get("token-file", optional_text, ""),
    )


_READERS = {"etcd": _etcd, "http": _http, "k8s": _k8s}

_OPTIONS = {kind: asked_by(reader) for kind, reader in _READERS.items()}
