"""The file of the drains that outlive the daemon: replaced atomically, refused if any part is invalid.

====================  ==================================================
``version``           1
``drains``            a list of objects with these keys and no others:
``vip``               an address, or null for all VIPs
``by``, ``reason``    the operator and the reason, one line each
====================  ==================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from pybal.bgp.verdict import Drain
from pybal.core.model import Address
from pybal.runtime import atomic_file

VERSION = 1
_KEYS = frozenset(("vip", "by", "reason"))


class DrainError(Exception):
    """The drains file is invalid, or cannot be read or written; the text names the file and the cause."""


def read(file: Path, now: float) -> Mapping[Address | None, Drain]:
    """Return the drains by VIP, all started ``now``; empty without a file. Raises :class:`DrainError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DrainError(f"{file}: {getattr(error, 'strerror', '') or 'not UTF-8'}") from error
    try:
        return {drain.vip: drain for drain in _drains(json.loads(text), now)}
    except (ValueError, RecursionError) as error:
        raise DrainError(f"{file}: {error}; not announcing (correct or remove this file)") from error


def write(file: Path, drains: Iterable[Drain]) -> None:
    """Replace the file; it will hold the drains marked ``kept``. Raises :class:`DrainError`."""
    kept = [
        {"vip": None if drain.vip is None else str(drain.vip), "by": drain.by, "reason": drain.reason}
        for drain in drains
        if drain.kept
    ]
    try:
        atomic_file.replace(file, json.dumps({"version": VERSION, "drains": kept}, indent=1).encode())
    except OSError as error:
        raise DrainError(f"{file}: {error.strerror}") from error


def _drains(document: object, now: float) -> Iterator[Drain]:
    if not isinstance(document, dict) or document.get("version") != VERSION or document.keys() != {"version", "drains"}:
        raise ValueError(f"not a drains file of version {VERSION}")
    if not isinstance(document["drains"], list):
        raise ValueError("'drains' is not a list")  # noqa: TRY004  # invalid is the file
    seen = set()
    for item in document["drains"]:
        if not isinstance(item, dict) or item.keys() != _KEYS:
            raise ValueError(f"a drain needs exactly the keys {', '.join(sorted(_KEYS))}")
        vip, by, reason = item["vip"], _line(item["by"]), _line(item["reason"])
        if vip is not None and not isinstance(vip, str):
            raise ValueError("'vip' is neither an address nor null")
        address = None if vip is None else ip_address(vip)
        if address in seen:
            raise ValueError(f"duplicate drain of {vip or 'all VIPs'}")
        seen.add(address)
        yield Drain(address, now, by, reason, kept=True)


def _line(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("'by' and 'reason' must be one line of text")
