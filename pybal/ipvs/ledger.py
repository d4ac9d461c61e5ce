"""The ledger of the services that PyBal owns: a file in the runtime directory.

The directory lives as long as the kernel's table. A service is entered before it is first written to the table and struck out
after it is deleted: after a crash the ledger may have an entry too many, but never one too few. The file is replaced atomically
and used only if all of it is valid::

    {"version": 1, "services": [{"name": "web", "protocol": 6, "address": "10.2.1.1", "port": 80},
                                {"name": "mark 7", "mark": 7, "ipv6": false}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure as TwistedFailure

from pybal.core.model import Alert
from pybal.ipvs.model import MAX_U32, Key, Mark, ServiceKey
from pybal.runtime import atomic_file, regular_file
from pybal.runtime.state_file import versioned
from pybal.runtime.workers import Workers

VERSION = 1
LARGEST = 1 << 24
"""Bytes of the file, at most: those of 100,000 services."""


PATIENCE = 1.0
"""Seconds for which new services wait for the ledger; then they are written to the table without it."""

RETRY_SECONDS = 15.0
"""Pause before a failed write is repeated, unless a change repeats it before."""


class Ledger:
    """The names of the owned services by key, stored in ``file``, or in memory only with ``None``.

    Errors of the file are never fatal. If it is invalid, only services entered from now on are owned. ``dry_run`` reads the file
    and never writes it. With ``workers`` (one thread) the loop does not wait for the disk; ``clock`` is required then.
    """

    _log = Logger()

    def __init__(
        self,
        file: Path | None = None,
        *,
        dry_run: bool = False,
        workers: Workers | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        self.problem = ""
        """Error of the last read or write; empty if the file is correct."""
        self._file = None if dry_run else file
        self._workers = workers
        self._clock = clock
        self._since = 0.0
        self._names: dict[ServiceKey, str] = {}
        self._writing: Deferred[None] | None = None
        self._changed = False  # since the present write began
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        if file is not None:
            self._read(file)
        self._stored = frozenset(self._names)

    @property
    def names(self) -> Mapping[ServiceKey, str]:
        """The names of the owned services in the configuration."""
        return MappingProxyType(self._names)

    def enter(self, names: Mapping[ServiceKey, str]) -> None:
        """Enter services before they are written to the table; wait until :meth:`admits` them."""
        if self.problem or any(self._names.get(key) != name for key, name in names.items()):
            self._names.update(names)
            self._save()

    def strike(self, keys: Iterable[ServiceKey]) -> None:
        """Strike out services that were deleted from the table."""
        gone = [key for key in keys if self._names.pop(key, None) is not None]
        if gone or self.problem:
            self._save()

    def admits(self, key: ServiceKey) -> bool:
        """Return whether a service may be written to the table: it is in the file, or the file does not work."""
        return self._file is None or key in self._stored or bool(self.problem)

    def settled(self) -> Deferred[None]:
        """Return a Deferred that fires when no write is in progress or it does not work."""
        if self._writing is None or self.problem:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert if the file cannot be read or written."""
        if self.problem:
            seconds = self._seconds() - self._since
            text = f"cannot read or write the ownership ledger: {self.problem} (for {seconds:.0f} s)"
            yield Alert("", "ipvs-ledger", text)

    def stop(self) -> None:
        """Repeat no failed write."""
        self._cancel_timer()

    def _save(self) -> None:
        if self._file is None:
            return
        if self._writing is not None:
            self._changed = True
            return
        self._cancel_timer()
        self._changed = False
        stored = dict(self._names)
        self._stored &= stored.keys()
        write = partial(self._write, self._file, _encoded(stored))
        if self._workers is None:
            writing = execute(write)
        else:
            writing = self._workers.run(write)
            assert self._clock is not None  # noqa: S101  # given with workers
            self._timer = self._clock.callLater(PATIENCE, self._fail, f"{self._file}: not written after {PATIENCE:g} s")
        self._writing = writing
        writing.addCallbacks(lambda _: self._succeed(frozenset(stored)), self._broken).addBoth(self._finish)

    def _succeed(self, stored: frozenset[ServiceKey]) -> None:
        self._stored = stored
        if self.problem:
            self._log.info("Ownership ledger works again")
        self.problem = ""

    def _broken(self, failure: TwistedFailure) -> None:
        error = failure.value
        if not isinstance(error, OSError):
            self._log.failure("Unexpected exception in the ownership ledger; retrying", failure)
        self._fail(f"{self._file}: {error.strerror if isinstance(error, OSError) else repr(error)}")

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            self._log.error("Cannot write the ownership ledger {reason}; retrying", reason=problem)
        if not self.problem:
            self._since = self._seconds()
        self.problem = problem
        self._release()

    def _finish(self, _result: object) -> None:
        self._writing = None
        self._cancel_timer()
        if self._changed:
            self._save()
        elif self.problem and self._clock is not None:
            self._timer = self._clock.callLater(RETRY_SECONDS, self._save)
        if self._writing is None:
            self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _cancel_timer(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _seconds(self) -> float:
        return self._clock.seconds() if self._clock else 0.0

    def _read(self, file: Path) -> None:
        try:
            read = json.loads(regular_file.read(file, LARGEST))
            document = versioned(file, read, VERSION, set_aside=self._file is not None)
            self._names = dict(map(_decoded, _entries(document)))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"invalid contents: {error}"
            self._since = self._seconds()
            self.problem = f"{file}: {reason}"
            text = "Cannot read the ownership ledger {reason}; leftover services will not be removed"
            self._log.error(text, reason=self.problem)

    def _write(self, file: Path, data: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.replace(file, data)


def _encoded(names: Mapping[ServiceKey, str]) -> bytes:
    services = [{"name": name, **_encoded_key(key)} for key, name in names.items()]
    return json.dumps({"version": VERSION, "services": services}).encode()


def _encoded_key(key: ServiceKey) -> dict[str, object]:
    if isinstance(key, Mark):
        return {"mark": key.mark, "ipv6": key.ipv6}
    return {"protocol": key.protocol, "address": str(key.address), "port": key.port}


def _entries(document: Mapping[str, object]) -> list[object]:
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
