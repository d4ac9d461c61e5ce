"""Overrides: servers that an operator takes out of their pools on this balancer for a limited time.

They are kept in a file of the state directory, so that a restart does not put a server back into service:

====================  ==================================================
``version``           1
``overrides``         a list of objects with these keys:
``service``, ``host``  the server
``by``, ``reason``    the operator and the reason, one line each
``since``, ``until``  times in ISO 8601
====================  ==================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004  # Twisted's
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.control.durations import DEPOOL_LONGEST
from pybal.core.model import Alert
from pybal.core.text import format_age
from pybal.runtime import atomic_file, regular_file
from pybal.runtime.activity import Activity
from pybal.runtime.clocks import Clocks
from pybal.runtime.state_file import OtherVersionError, versioned
from pybal.runtime.workers import Threads

T = TypeVar("T")

FILE = "overrides.json"
VERSION = 1
PATIENCE = 5.0
"""Seconds to wait for the file system. A command is answered within this time."""
RETRY = 10.0
"""Seconds until a failed read or write is tried again."""
_LARGEST = 1 << 22
REMINDER = "this balancer only; use the pool source for all"


@dataclass(frozen=True, slots=True)
class Override:
    """A server that counts as disabled, from ``since`` to ``until``: monotonic times in seconds."""

    service: str
    host: str
    by: str
    reason: str
    since: float
    until: float

    def text(self, clocks: Clocks) -> str:
        """Return ``a depooled by alice for another 9 min, until …: new disk; this balancer only; …``."""
        left = format_age(max(0.0, self.until - clocks.monotonic))
        until = clocks.iso_time(self.until)
        return f"{self.host} depooled by {self.by} for another {left}, until {until}: {self.reason}; {REMINDER}"


class Overrides:
    """The present overrides. ``changed`` receives the name of each service whose overrides changed.

    Without a ``directory`` they end with the daemon. ``read`` returns the present time of both clocks.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path | None,
        threads: Threads,
        clock: IReactorTime,
        read: Callable[[], Clocks],
        changed: Callable[[str], None] = lambda _service: None,
    ) -> None:
        self.changed = changed
        self._path = None if directory is None else directory / FILE
        self._threads = threads
        self._clock = clock
        self._read = read
        self._overrides: dict[tuple[str, str], Override] = {}
        self._is_read = False
        """True once the file was read, or is known to be damaged: before, it is not replaced."""
        self._decided: set[tuple[str, str]] = set()
        """The servers of commands since the start, which supersede the file."""
        self._problem = ""
        self._stale: dict[str, None] = {}
        """The services to which a change of their overrides has not been applied."""
        self._end = Activity("end of the overrides", self._expire, clock)
        self._again = Activity("write the overrides", self._rewrite, clock)

    @property
    def kept(self) -> bool:
        """True if a restart keeps the overrides."""
        return self._path is not None

    async def load(self) -> None:
        """Read the file; an alert shows why it cannot be read. Until it responds it is read again."""
        if self._path is None:
            return
        try:
            documents = await self._run(partial(_load, self._path))
            clocks = self._read()
            found = [_override(document, clocks) for document in documents]
        except (OSError, TimeoutError) as error:
            may = "depooled servers may take traffic until it can be read; retrying"
            self._fail(f"cannot read {self._path}: {_reason(error)}; {may}")
            self._again.wake(RETRY)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = str(error) if isinstance(error, OtherVersionError) else repr(error)
            self._fail(f"cannot read {self._path}: {reason}; depooled servers may take traffic (depool them again)")
            self._is_read = True
        else:
            if not self._is_read:  # otherwise another command has read it, too
                self._is_read, self._problem = True, ""
                self._add(override for override in found if override.until > clocks.monotonic)

    def _add(self, found: Iterable[Override]) -> None:
        """Add the overrides of the file, except for servers of which a command was given since the start."""
        new = {key: each for each in found if (key := (each.service, each.host)) not in self._decided}
        self._overrides |= new
        self._apply(*(service for service, _ in new))

    def clocks(self) -> Clocks:
        """Return the present time of both clocks."""
        return self._read()

    def hosts(self, service: str) -> frozenset[str]:
        """Return the hosts of a service that count as disabled."""
        return frozenset(host for name, host in self._overrides if name == service)

    def get(self, service: str, host: str) -> Override | None:
        """Return the override of a server, ``None`` without one."""
        return self._overrides.get((service, host))

    async def depool(self, override: Override) -> str:
        """Set or replace an override; return the problem of keeping it across a restart, empty without one."""
        self._overrides[override.service, override.host] = override
        self._decided.add((override.service, override.host))
        self._apply(override.service)
        return await self._save()

    async def repool(self, service: str, host: str) -> str:
        """End an override; return the problem of keeping that across a restart, empty without one."""
        self._overrides.pop((service, host), None)
        self._decided.add((service, host))
        self._apply(service)
        return await self._save()

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each override, and one while the file cannot be read or written."""
        clocks = self._read()
        for override in self._overrides.values():
            text, subject = override.text(clocks), override.host
            yield Alert(override.service, "depooled", text, subject=subject, since=override.since)
        if self._problem:
            yield Alert("", "state", self._problem)

    def stop(self) -> None:
        """Cancel the timers; the overrides stay."""
        self._end.stop()
        self._again.stop()

    def _schedule(self) -> None:
        self._end.stop()
        if self._overrides:
            first = min(override.until for override in self._overrides.values())
            self._end.wake(max(0.0, first - self._clock.seconds()))

    def _expire(self) -> None:
        now = self._clock.seconds()
        ended = [override for override in self._overrides.values() if override.until <= now]
        for override in ended:
            del self._overrides[override.service, override.host]
            text = "{host} of {service}: the override of {by} has expired; the pool source decides again"
            self.log.info(text, host=override.host, service=override.service, by=override.by, system="control")
        if ended:
            self._again.wake()
        self._apply(*(override.service for override in ended))

    def _apply(self, *services: str) -> None:
        """Apply the overrides of services; one that fails is applied again by the activity."""
        self._stale |= dict.fromkeys(services)
        self._end.wake()
        for service in tuple(self._stale):
            self.changed(service)
            del self._stale[service]
        self._schedule()

    def _rewrite(self) -> Deferred[None]:
        async def write() -> None:
            if not self._is_read:
                await self.load()
                if not (self._is_read and self._decided):
                    return  # a file found to be damaged stays until a command replaces it
            await self._save()

        return Deferred.fromCoroutine(write())

    async def _save(self) -> str:
        if self._path is None:
            return ""
        if not self._is_read:
            await self.load()
        if not self._is_read:
            return self._problem
        clocks = self._read()
        document = {"version": VERSION, "overrides": [_document(each, clocks) for each in self._overrides.values()]}
        try:
            await self._run(partial(atomic_file.replace, self._path, json.dumps(document, indent=1).encode()))
        except (OSError, TimeoutError) as error:
            self._fail(f"cannot write {self._path}: {_reason(error)}; a restart may lose or repeat overrides; retrying")
            self._again.wake(RETRY)
        else:
            self._problem = ""
        return self._problem

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            self.log.error("{problem}", problem=problem, system="control")
        self._problem = problem

    def _run(self, call: Callable[[], T]) -> Deferred[T]:
        return self._threads.run(call).addTimeout(PATIENCE, self._clock)


def _reason(error: OSError | TimeoutError) -> str:
    return getattr(error, "strerror", None) or f"no response for {PATIENCE:g} s"


def _load(path: Path) -> list[Mapping[str, Any]]:
    """Return the documents of a file, none without a file. Raises OSError, or ValueError if damaged."""
    try:
        document = json.loads(regular_file.read(path, _LARGEST))
    except FileNotFoundError:
        return []
    return list(versioned(path, document, VERSION)["overrides"])


def _override(document: Mapping[str, Any], clocks: Clocks) -> Override:
    """Return the override of a document, limited: the wall clock may have been set back."""
    texts = [document[name] for name in ("service", "host", "by", "reason")]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError("a text is not one line")
    service, host, by, reason = texts
    since, until = (datetime.fromisoformat(document[name]) - clocks.wall for name in ("since", "until"))
    now, most = clocks.monotonic, timedelta(seconds=DEPOOL_LONGEST)
    return Override(
        service,
        host,
        by,
        reason,
        now + min(since, timedelta(0)).total_seconds(),
        now + min(until, most).total_seconds(),
    )


def _document(override: Override, clocks: Clocks) -> dict[str, str]:
    return {
        "service": override.service,
        "host": override.host,
        "by": override.by,
        "reason": override.reason,
        "since": clocks.iso_time(override.since),
        "until": clocks.iso_time(override.until),
    }
