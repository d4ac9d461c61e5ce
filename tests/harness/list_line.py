"""The line of a server in a list, as pool files and conftool write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Line:
    """The entry of a server in a list."""

    weight: int = 10
    enabled: bool = True

    @property
    def value(self) -> str:
        """The value of its key in etcd, as conftool writes it."""
        return json.dumps({"pooled": "yes" if self.enabled else "no", "weight": self.weight})


def pool_file(lines: Mapping[str, Line]) -> str:
    """Return the text of a pool file."""
    entries = ({"host": host, "weight": line.weight, "enabled": line.enabled} for host, line in lines.items())
    return "".join(f"{entry}\n" for entry in entries)
