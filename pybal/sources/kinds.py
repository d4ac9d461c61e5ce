"""The kinds of pool source, by the scheme of the URL in ``config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any

from pybal.config.settings import SourceSettings
from pybal.sources.base import Source
from pybal.sources.file import FileSource

#: What makes a source of each scheme.
SUPPORTED: Mapping[str, Callable[..., Source]] = MappingProxyType({"file": FileSource})


def build(
    settings: SourceSettings,
    *,
    reactor: Any,  # noqa: ANN401  # Twisted has no type for a reactor that provides several interfaces
    random: Random,
) -> Source:
    """Return the source that ``settings`` are of, not started yet; the scheme must be one of :data:`SUPPORTED`.

    ``random`` spreads polls over time.
    """
    return SUPPORTED[settings.scheme](settings, reactor=reactor, random=random)
