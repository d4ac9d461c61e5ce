"""Which path says what: the answers to requests, from what the daemon holds at that moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from pybal.model import Snapshot
from pybal.monitors.base import Monitor
from pybal.status import views
from pybal.status.metrics import Family

TEXT = b"text/plain"
JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its body is whole, or comes in pieces each of which is quickly made."""

    body: bytes | Iterator[bytes]
    content_type: bytes = TEXT
    code: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that may be asked of the daemon.

    ``monitors`` gives each running monitor with the names of its service and host. ``ipvs_text`` and ``ipvs_json``
    tell what the IPVS backend holds. ``families`` gives metrics that are known elsewhere.
    """

    clock: IReactorTime
    snapshot: Callable[[], Snapshot]
    monitors: Callable[[], Iterable[tuple[str, str, Monitor]]]
    ipvs_text: Callable[[], str]
    ipvs_json: Callable[[], object]
    families: Callable[[], Iterable[Family]] = tuple

    def answer(self, path: bytes, *, as_json: bool) -> Answer:
        """Return what is said at ``path``, which is still URL-encoded and has no query."""
        raise NotImplementedError
