"""The ledger of the services that PyBal owns: a file in the runtime directory.

The directory lives as long as the kernel's table. A service is entered before it is first written to the table and struck out
after it is deleted: after a crash the ledger may have an entry too many, but never one too few. The file is replaced atomically
and used only if all of it is valid::

    {"version": 1, "services": [{"name": "web", "protocol": 6, "address": "10.2.1.1", "port": 80},
                                {"name": "mark 7", "mark": 7, "ipv6": false}]}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from twisted.logger import Logger

from pybal.ipvs.model import MAX_U32, Key, Mark, ServiceKey
from pybal.runtime import atomic_file

VERSION = 1


class Ledger:
    """The names of the owned services by key, stored in ``file``, or in memory only with ``None``.

    Errors of the file are never fatal. If it is invalid, only services entered from now on are owned. ``dry_run`` reads the file
    and never writes it.
    """

    _log = Logger()

    def __init__(self, file: Path | None = None, *, dry_run: bool = False) -> None:
        self.problem = ""
        """Error of the last read or write; empty if the file is correct."""
        self._file = file
        self._dry_run = dry_run
        self._names: dict[ServiceKey, str] = {}
        if file is not None:
            self._read(file)

    @property
    def names(self) -> Mapping[ServiceKey, str]:
        """The names of the owned services in the configuration."""
        return MappingProxyType(self._names)

    def enter(self, names: Mapping[ServiceKey, str]) -> None:
        """Enter services before they are written to the table."""
        self._change(lambda: self._names.update(names))

    def strike(self, keys: Iterable[ServiceKey]) -> None:
        """Strike out services that were deleted from the table."""
        gone = set(keys)
        self._change(lambda: [self._names.pop(key, None) for key in gone])

    def _change(self, change: Callable[[], object]) -> None:
        before = dict(self._names)
        change()
        if self._file is not None and not self._dry_run and (before != self._names or self.problem):
            self._write(self._file)

    def _read(self, file: Path) -> None:
        try:
            self._names = dict(map(_decoded, _entries(json.loads(file.read_bytes()))))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"invalid contents: {error}"
            self.problem = f"{file}: {reason}"
            text = "Cannot read the ownership ledger {reason}; leftover services will not be removed"
            self._log.error(text, reason=self.problem)

    def _write(self, file: Path) -> None:
        document = {"version": VERSION, "services": [{"name": n, **_encoded(k)} for k, n in self._names.items()]}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.replace(file, json.dumps(document).encode())
        except OSError as error:
            problem = f"{file}: {error.strerror}"
            if problem != self.problem:
                self._log.error(
                    "Cannot write the ownership ledger {reason}; retrying at the next change", reason=problem
                )
            self.problem = problem
        else:
            self.problem = ""


def _encoded(key: ServiceKey) -> dict[str, object]:
    if isinstance(key, Mark):
        return {"mark": key.mark, "ipv6": key.ipv6}
    return {"protocol": key.protocol, "address": str(key.address), "port": key.port}


def _entries(document: object) -> list[object]:
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError(f"unsupported version, expected {VERSION}")
    entries = document["services"]
    if not isinstance(entries, list):
        raise TypeError("services is not a list")
    return entries


def _decoded(entry: object) -> tuple[ServiceKey, str]:
    match entry:
        case {"name": str(name), "protocol": protocol, "address": str(address), "port": port, **rest}:
            if not rest and _below(256, protocol) and _below(65536, port):
                return Key(protocol, ip_address(address), port), name
        case {"name": str(name), "mark": mark, "ipv6": bool(ipv6), **rest}:
            if not rest and _below(MAX_U32 + 1, mark):
                return Mark(mark, ipv6), name
    raise ValueError(f"service {entry!r}")


def _below(limit: int, number: object) -> TypeGuard[int]:
    # bool is a subclass of int.
    return type(number) is int and 0 <= number < limit
