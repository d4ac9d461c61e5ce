"""The places of the pages, by the name that a page has in its comment ``<!-- place: NAME -->``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType

from tests.docs.guest_machine import guest_machine
from tests.docs.network import network
from tests.docs.place import Place

PLACES: Mapping[str, Callable[[Path], AbstractContextManager[Place]]] = MappingProxyType(
    {"network": network, "guest": guest_machine}
)
"""Each makes its place, with files in an empty directory. ``guest`` must be made inside a guest."""
