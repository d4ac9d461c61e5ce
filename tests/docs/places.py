"""The places of the pages, by the name that a page has in its comment ``<!-- place: NAME -->``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from tests.docs.guest_machine import guest_machine
from tests.docs.network import network
from tests.docs.place import Place

PLACES: Mapping[str, Callable[[], AbstractContextManager[Place]]] = MappingProxyType(
    {"network": network, "guest": guest_machine}
)
"""Each makes its place. ``guest`` must be made inside a guest."""
