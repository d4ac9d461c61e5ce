"""The last good list of each service on disk: after a restart, the first list is compared with it.

A balancer boots with it while its pool source is down. One JSON file per service in the state directory, replaced atomically.
A damaged file is ignored::

    {"version": 1, "source": "etcd://conf:4001/…", "time": "2026-11-20T03:00:00+00:00", "members": [["web1", 10, true], …],
     "departed": {"web7": 4.2, …}}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pybal.core.model import Member
from pybal.runtime import atomic_file

VERSION = 1
LARGEST = 4 * 2**20
"""Largest accepted file, in bytes."""


@dataclass(frozen=True, slots=True)
class CachedList:
    """A saved list, the time at which it was saved, and the URL of its source, without credentials.

    ``departed`` are the hosts that had vanished from the list within ``max-depool-window``, with the seconds since then.
    """

    members: tuple[Member, ...]
    time: datetime
    source: str
    departed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


class ListCache:
    """The saved list of one service in ``directory``, which must exist."""

    def __init__(self, directory: Path, service: str) -> None:
        # Service names may contain any character; the digest keeps similar names apart.
        readable = re.sub(r"[^A-Za-z0-9_.-]", "_", service)[:80]
        self.path = directory / f"pool-{readable}-{hashlib.sha256(service.encode()).hexdigest()[:8]}.json"

    def read(self) -> CachedList | None:
        """Return the saved list, ``None`` without one. Raises OSError, or ValueError if damaged."""
        try:
            with self.path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except FileNotFoundError:
            return None
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        try:
            document = json.loads(data)
            if document["version"] != VERSION:
                return None
            members = tuple(_member(*entry) for entry in document["members"])
            time = datetime.fromisoformat(document["time"]).astimezone(UTC)
            departed = {host: float(age) for host, age in document.get("departed", {}).items()}
            return CachedList(members, time, str(document["source"]), departed)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"damaged file: {error!r}") from None

    def write(self, saved: CachedList) -> None:
        """Replace the saved list. Raises OSError."""
        document = {
            "version": VERSION,
            "source": saved.source,
            "time": saved.time.isoformat(),
            "members": [[m.host, m.weight, m.enabled] for m in saved.members],
            "departed": dict(saved.departed),
        }
        atomic_file.replace(self.path, json.dumps(document).encode())


def _member(host: object, weight: object, enabled: object) -> Member:
    # A bool is an int for isinstance.
    if not isinstance(host, str) or type(weight) is not int or weight < 0 or not isinstance(enabled, bool):
        raise TypeError(f"member {host!r}")
    return Member(host, weight, enabled)
