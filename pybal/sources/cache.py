"""The last good list on disk: with it a balancer boots while its pool source is down.

A file of JSON for each service in the state directory. It is replaced atomically, and used only if it is valid and was
written for the same source::

    {"version": 1, "source": "etcd://conf:4001/…", "time": "2026-11-20T03:00:00+00:00", "members": [["web1", 10, true], …]}
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pybal.config.errors import masked
from pybal.core.model import Member
from pybal.runtime import atomic_file

VERSION = 1
LARGEST = 4 * 2**20
"""A larger file, in bytes, is none of ours."""


@dataclass(frozen=True, slots=True)
class CachedList:
    """A list of the past, and the time at which it was delivered."""

    members: tuple[Member, ...]
    time: datetime


class ListCache:
    """The copy of one service's list in ``directory``, which must exist. What is wrong with it is never fatal."""

    def __init__(self, directory: Path, service: str, url: str) -> None:
        # Names of services may hold anything, names of files may not, and two must not meet.
        readable = re.sub(r"[^A-Za-z0-9_.-]", "_", service)[:80]
        self.path = directory / f"pool-{readable}-{hashlib.sha256(service.encode()).hexdigest()[:8]}.json"
        self._source = masked(url)

    def read(self) -> CachedList | None:
        """Return what was kept of this source, ``None`` if nothing was. Raises OSError, or ValueError for what is no such file."""
        try:
            with self.path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except FileNotFoundError:
            return None
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        try:
            document = json.loads(data)
            if document["version"] != VERSION or document["source"] != self._source:
                return None
            members = tuple(_member(*entry) for entry in document["members"])
            return CachedList(members, datetime.fromisoformat(document["time"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not what was written there: {error!r}") from None

    def write(self, memory: CachedList) -> None:
        """Keep a list in place of the one before. Raises OSError."""
        document = {
            "version": VERSION,
            "source": self._source,
            "time": memory.time.isoformat(),
            "members": [[m.host, m.weight, m.enabled] for m in memory.members],
        }
        atomic_file.replace(self.path, json.dumps(document).encode())


def _member(host: object, weight: object, enabled: object) -> Member:
    # A bool is an int for isinstance.
    if not isinstance(host, str) or type(weight) is not int or weight < 0 or not isinstance(enabled, bool):
        raise TypeError(f"member {host!r}")
    return Member(host, weight, enabled)
