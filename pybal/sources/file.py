"""A pool file on this host: looked at every second, read when it has settled.

A file counts as settled when two looks, at least :data:`SETTLED` seconds apart, and those before and after the read find
it the same: no clock but our own takes part, so a step of the wall clock changes nothing. Whatever is wrong with it, the
last good list stays in force and the file is read again with every look until it is good.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.text import Listing, parse, summary

#: Seconds between two looks at the file, at most.
INTERVAL = 1.0

#: Seconds for which a file must stay the same before it is read.
SETTLED = 0.2

#: A file that is still changing after so many seconds is a problem of its own.
RESTLESS = 10.0

#: A larger file, in bytes, is not a list of servers.
LARGEST = 4 * 2**20

_Identity = tuple[int, ...]


class FileSource:
    """The source of ``file://PATH``. Renamed files and symbolic links are followed, and files that appear later are found.

    ``reactor`` is asked for the time only; ``random`` spreads the looks of many sources over time.
    """

    differences = 0

    def __init__(self, settings: SourceSettings, *, reactor: IReactorTime, random: Random) -> None:
        self.problem: str | None = None
        self.last_success: float | None = None
        self._url = settings.url
        self._path = Path(settings.url.removeprefix("file://"))
        self._clock = reactor
        self._random = random
        self._members: tuple[Member, ...] | None = None
        self._seen: _Identity | None = None
        self._applied: _Identity | None = None
        self._restless_since: float | None = None
        self._call: IDelayedCall | None = None

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to look. See :class:`pybal.sources.base.Source`."""
        self._listed = listed
        self._failed = failed
        self._call = self._clock.callLater(self._random.uniform(0, SETTLED), self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        # A little earlier each time: sources that a busy loop has brought into step would stay so.
        self._call = self._clock.callLater(INTERVAL * self._random.uniform(0.9, 1.0), self._look)
        try:
            listing = self._new_listing()
            if listing is not None:
                self._deliver(listing)
        except SourceError as error:
            self._applied = None
            self._tell(error)

    def _new_listing(self) -> Listing | None:
        """Return what the file says if it is new, ``None`` while it is as it was, or has not settled."""
        restless_since, self._restless_since = self._restless_since, None
        try:
            identity = _identity(self._path.stat())
            if identity == self._applied:
                self.last_success = self._clock.seconds()
                return None
            data = _content(self._path, identity) if identity == self._seen else None
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._url}: {getattr(error, 'strerror', error)}", Trouble.UNREACHABLE) from None
        self._seen = identity
        if data is None:
            self._wait_until_settled(restless_since)
            return None
        listing = parse(data, self._url, self._members)
        self._applied = identity
        return listing

    def _wait_until_settled(self, since: float | None) -> None:
        now = self._clock.seconds()
        self._restless_since = now if since is None else since
        if now - self._restless_since > RESTLESS:
            raise SourceError(f"{self._url}: has kept changing for {RESTLESS:g} s")
        if self._call is not None:
            self._call.reset(SETTLED)

    def _deliver(self, listing: Listing) -> None:
        if listing.members != self._members:
            self._listed(listing.members)
            self._members = listing.members
        self.last_success = self._clock.seconds()
        if not listing.problems:
            self.problem = None
        if listing.problems:
            self._tell(SourceError(f"{self._url}: {summary(listing.problems)}"))

    def _tell(self, error: SourceError) -> None:
        if str(error) != self.problem and self._call is not None:
            self.problem = str(error)
            self._failed(error)


def _identity(found: os.stat_result) -> _Identity:
    """Return what tells one state of a file from another."""
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    if found.st_size > LARGEST:
        raise ValueError(f"{found.st_size} bytes, wanted at most {LARGEST}")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _content(path: Path, wanted: _Identity) -> bytes | None:
    """Return what the file holds, ``None`` if it is not, or no longer, as it was seen."""
    # Not blocking: should it be a FIFO by now, we would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        before = _identity(os.fstat(file.fileno()))
        data = file.read(LARGEST)
        after = _identity(os.fstat(file.fileno()))
    return data if before == after == wanted else None
