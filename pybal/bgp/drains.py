"""The drains that outlive the daemon: a file, replaced as a whole and believed only when all of it is understood.

====================  ==================================================
``version``           1
``drains``            a list of objects with these keys and no others:
``vip``               an address, or null for all VIPs
``by``, ``reason``    who wanted it and why, on one line each
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
    """The file cannot be read, written or understood; the text names it and says why."""


def read(file: Path, now: float) -> Mapping[Address | None, Drain]:
    """Return the drains by VIP, as if they began ``now``; none where there is no file. Raises :class:`DrainError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DrainError(f"{file}: {getattr(error, 'strerror', '') or 'not UTF-8'}") from error
    try:
        return {drain.vip: drain for drain in _drains(json.loads(text), now)}
    except (ValueError, RecursionError) as error:
        raise DrainError(f"{file}: {error}; nothing is announced on the strength of half a file") from error


def write(file: Path, drains: Iterable[Drain]) -> None:
    """Replace the file by one with those of the drains that are to be kept. Raises :class:`DrainError`."""
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
        raise ValueError(f"not drains of version {VERSION}")
    if not isinstance(document["drains"], list):
        raise ValueError("drains are not a list")  # noqa: TRY004  # what is wrong is the file
    seen = set()
    for item in document["drains"]:
        if not isinstance(item, dict) or item.keys() != _KEYS:
            raise ValueError(f"a drain without exactly {', '.join(sorted(_KEYS))}")
        vip, by, reason = item["vip"], _line(item["by"]), _line(item["reason"])
        if vip is not None and not isinstance(vip, str):
            raise ValueError("a vip that is neither an address nor null")
        address = None if vip is None else ip_address(vip)
        if address in seen:
            raise ValueError(f"{vip} twice")
        seen.add(address)
        yield Drain(address, now, by, reason, kept=True)


def _line(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("who or why is not a line of text")
