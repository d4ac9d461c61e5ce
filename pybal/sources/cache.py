"""The last good list of each service on disk: after a restart, the first list is compared with it.

A balancer boots with it while its pool source is down. One JSON file per service in the state directory, replaced atomically.
A damaged file is ignored, and one of another version is set aside::

    {"version": 1, "source": "etcd://conf:4001/…", "time": "2026-11-20T03:00:00+00:00", "members": [["web1", 10, true], …],
     "departed": {"web7": 4.2, …}}
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pybal.core.model import Member
from pybal.runtime import atomic_file, regular_file
from pybal.runtime.state_file import versioned

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
        """Return the saved list, ``None`` without one.

        Raises OSError, or ValueError if the file is damaged or has another version.
        """
        try:
            data = regular_file.read(self.path, LARGEST)
        except FileNotFoundError:
            return None
        try:
            document = versioned(self.path, json.loads(data), VERSION)
            members = tuple(_member(*entry) for entry in document["members"])
            time = datetime.fromisoformat(document["time"]).astimezone(UTC)
            departed = {host: _age(age) for host, age in document.get("departed", {}).items()}
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


def _age(seconds: object) -> float:
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise TypeError(f"age {seconds!r}")
    return float(seconds)


def _member(host: object, weight: object, enabled: object) -> Member:
    # A bool is an int for isinstance.
    if not isinstance(host, str) or type(weight) is not int or weight < 0 or not isinstance(enabled, bool):
        raise TypeError(f"member {host!r}")
    return Member(host, weight, enabled)
