"""The kinds of pool source, selected by the URL in ``config``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from pybal.config.settings import SourceSettings
from pybal.config.source_options import server_of
from pybal.http import trust
from pybal.runtime.file_values import FileValues
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources import credentials
from pybal.sources.base import Source
from pybal.sources.cache import ListCache
from pybal.sources.dns.srv import srv_source
from pybal.sources.etcd.v3 import etcd3_source
from pybal.sources.file import file_source
from pybal.sources.file_poll import FilePoll
from pybal.sources.http import http_source
from pybal.sources.kubernetes.source import kubernetes_source
from pybal.sources.pool_source import PoolSource
from pybal.sources.state_files import StateFiles


def etcd2_source(settings: SourceSettings, **parts: Any) -> Source:  # noqa: ANN401  # those of the factory
    """Return the source of etcd's API v2, whose module needs python-etcd; see :func:`missing`."""
    from pybal.sources.etcd import v2  # noqa: PLC0415

    return v2.etcd2_source(settings, **parts)


#: The factory of each kind.
SUPPORTED: Mapping[str, Callable[..., Source]] = MappingProxyType(
    {
        "file": file_source,
        "http": http_source,
        "https": http_source,
        "k8s": kubernetes_source,
        "dns+srv": srv_source,
        "etcd": etcd2_source,
        "etcd?api=2": etcd2_source,
        "etcd?api=3": etcd3_source,
    }
)


class SourceRefusal(NamedTuple):
    """An unusable option and its section."""

    section: str
    option: str
    found: str
    wanted: str


def refusals(settings: Iterable[SourceSettings]) -> Iterator[SourceRefusal]:
    """Yield the unusable options of these sources, once per server; PyBal must not start with them."""
    servers = {server_of(source.url): source.access for source in settings}
    for server, access in servers.items():
        unusable = trust.refusal(access) or credentials.refusal(access)
        if unusable:
            yield SourceRefusal(" ".join(server), unusable.option, unusable.found, unusable.wanted)


def missing(settings: SourceSettings) -> str:
    """Return the package that a source needs and how to install it; empty if it can be imported.

    Imports the package, python-etcd for etcd's API v2, which takes 0.1 s and reads files: call it outside the event loop, and
    before :func:`build`.
    """
    if SUPPORTED.get(kind_of(settings)) is etcd2_source:
        try:
            import pybal.sources.etcd.v2  # noqa: F401, PLC0415
        except ImportError as error:
            return f"python-etcd to be installed (apt install python3-etcd, or append ?api=3): {error}"
    return ""


def kind_of(settings: SourceSettings) -> str:
    """Return the key for :data:`SUPPORTED`: the scheme, and for etcd also the query."""
    query = settings.url.partition("?")[2] if settings.scheme == "etcd" else ""
    return f"{settings.scheme}?{query}" if query else settings.scheme


def build(
    settings: SourceSettings,
    cache: ListCache | None = None,
    *,
    service: str,
    reactor: Reactor,
    random: Random,
    poll: FilePoll,
    files: FileValues,
    turns: Turns,
    state: StateFiles,
    wall: Callable[[], datetime],
) -> PoolSource:
    """Return the source of ``settings`` for a ``service``, not started; see :class:`PoolSource`.

    Its kind must be in :data:`SUPPORTED`. ``random`` spreads reads over time; ``poll`` looks at pool files, ``files`` reads secrets.
    Lists are parsed in ``turns``, and saved by ``state``.
    """
    more: dict[str, object] = {"files": poll if settings.scheme == "file" else files}
    if settings.scheme != "dns+srv":
        more["turns"] = turns
    source = SUPPORTED[kind_of(settings)](settings, reactor=reactor, random=random, **more)
    return PoolSource(source, settings, cache, service=service, clock=reactor, state=state, wall=wall)
