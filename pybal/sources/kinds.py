"""The kinds of pool source, by the scheme of the URL in ``config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from types import MappingProxyType
from typing import Any

from pybal.config.settings import SourceSettings
from pybal.sources.base import Source
from pybal.sources.file import FileSource
from pybal.sources.guarded import GuardedSource
from pybal.sources.kept import Kept
from pybal.sources.srv import SRVSource

#: What makes a source of each scheme.
SUPPORTED: Mapping[str, Callable[..., Source]] = MappingProxyType({"file": FileSource, "dns+srv": SRVSource})


def build(
    settings: SourceSettings,
    kept: Kept | None = None,
    *,
    reactor: Any,  # noqa: ANN401  # Twisted has no type for a reactor that provides several interfaces
    random: Random,
    wall: Callable[[], datetime],
) -> GuardedSource:
    """Return the source that ``settings`` are of, under guard and not started yet; see :class:`GuardedSource`.

    Its scheme must be one of :data:`SUPPORTED`. ``random`` spreads polls over time.
    """
    source = SUPPORTED[settings.scheme](settings, reactor=reactor, random=random)
    return GuardedSource(source, settings, kept, clock=reactor, wall=wall)
