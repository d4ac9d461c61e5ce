"""The kinds of pool source, by the scheme of the URL in ``config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from twisted.internet.interfaces import IReactorTime

from pybal.sources.base import Source
from pybal.sources.file import FileSource

#: What makes a source of each scheme.
SUPPORTED: Mapping[str, Callable[..., Source]] = MappingProxyType({"file": FileSource})


def build(url: str, *, clock: IReactorTime, random: Random, allow_empty: bool) -> Source:
    """Return the source at ``url``, not started yet; its scheme must be one of :data:`SUPPORTED`.

    ``random`` spreads polls over time. With ``allow_empty`` a list of nobody is believed.
    """
    scheme = url.partition(":")[0]
    return SUPPORTED[scheme](url, clock=clock, random=random, allow_empty=allow_empty)
