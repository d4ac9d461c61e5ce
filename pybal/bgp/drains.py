"""The file of the drains that outlive the daemon: replaced atomically, refused if any part is invalid.

A file of another version with drains is refused, too, and not set aside: VIPs would be announced that an operator has drained.

====================  ==================================================
``version``           1
``drains``            a list of objects with these keys and no others:
``vip``               an address, or null for all VIPs
``by``, ``reason``    the operator and the reason, one line each
====================  ==================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pybal.bgp.verdict import Drain
from pybal.core.model import Address
from pybal.runtime import atomic_file, regular_file
from pybal.runtime.state_file import versioned
from pybal.runtime.workers import Threads

T = TypeVar("T")

VERSION = 1
LARGEST = 1 << 22
"""Bytes of the file, at most."""
_KEYS = frozenset(("vip", "by", "reason"))


#: Seconds to wait for the file system. A command that saves a drain is answered within this time.
PATIENCE = 5.0


class DrainError(Exception):
    """The drains file is invalid, or cannot be read or written; the text names the file and the cause."""


class DrainsFile:
    """The file, read and written in a thread because a file system may wait."""

    def __init__(self, path: Path, threads: Threads, clock: IReactorTime) -> None:
        self._path = path
        self._threads = threads
        self._clock = clock
        self._is_read = False

    @property
    def is_read(self) -> bool:
        """True once it was read successfully: before, its drains are unknown and it is not replaced."""
        return self._is_read

    async def read(self) -> Mapping[Address | None, Drain]:
        """Return the drains by VIP; see :func:`read`."""
        kept = await self._run(partial(read, self._path, self._clock.seconds()))
        self._is_read = True
        return kept

    async def write(self, drains: Iterable[Drain]) -> None:
        """Replace the file; see :func:`write`."""
        if not self._is_read:
            raise DrainError(f"{self._path}: not read yet; not replacing it")
        await self._run(partial(write, self._path, tuple(drains)))

    def _run(self, call: Callable[[], T]) -> Deferred[T]:
        def too_late(_result: object, seconds: float) -> T:
            raise DrainError(f"{self._path}: no response from the file system for {seconds:g} s")

        return self._threads.run(call).addTimeout(PATIENCE, self._clock, too_late)


def read(file: Path, now: float) -> Mapping[Address | None, Drain]:
    """Return the drains by VIP, all started ``now``; empty without a file. Raises :class:`DrainError`."""
    try:
        text = regular_file.read(file, LARGEST).decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DrainError(f"{file}: {getattr(error, 'strerror', '') or 'not UTF-8'}") from error
    try:
        document = json.loads(text)
        if _is_empty(document):
            return {}
        document = versioned(file, document, VERSION, set_aside=False)
        return {drain.vip: drain for drain in _drains(document, now)}
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


def _is_empty(document: object) -> bool:
    """Return whether a file of any version lists no drain."""
    return isinstance(document, dict) and type(document.get("version")) is int and document.get("drains") == []


def _drains(document: Mapping[str, object], now: float) -> Iterator[Drain]:
    if document.keys() != {"version", "drains"}:
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
