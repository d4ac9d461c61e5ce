"""A pool file on this host: checked every second, read when it has settled.

A file has settled if two checks, at least :data:`SETTLED` seconds apart, and the checks before and after the read find it
unchanged. Only the monotonic clock is used, so a step of the wall clock has no effect. After a failure the last good list
is kept and the file is read again at each check.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random

from twisted.internet.interfaces import IReactorTime

from pybal.config.settings import SourceSettings
from pybal.runtime.watched_file import FileIdentity, identity_of
from pybal.sources.base import SourceError, Trouble
from pybal.sources.feed import Feed, shortened
from pybal.sources.formats.text import parse

#: Seconds between two checks of the file, at most.
INTERVAL = 1.0

#: Seconds for which a file must stay unchanged before it is read.
SETTLED = 0.2

#: A file that keeps changing for more seconds is a problem.
RESTLESS = 10.0

#: Largest pool file, in bytes.
LARGEST = 4 * 2**20


class FileReader:
    """Reads ``file://PATH``; follows renames and symbolic links, and finds a file that appears later."""

    differences = 0

    def __init__(self, settings: SourceSettings, clock: IReactorTime, random: Random) -> None:
        self._url = settings.url
        self._path = Path(settings.url.removeprefix("file://"))
        self._clock = clock
        self._random = random
        self._seen: FileIdentity | None = None
        self._applied: FileIdentity | None = None
        self._restless_since: float | None = None

    async def read(self, feed: Feed) -> float:
        restless_since, self._restless_since = self._restless_since, None
        try:
            identity = checked_identity(self._path.stat())
            if identity == self._applied:
                feed.good()
                return self._pause()
            data = content(self._path, identity) if identity == self._seen else None
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._url}: {getattr(error, 'strerror', error)}", Trouble.UNREACHABLE) from None
        self._seen = identity
        if data is None:
            return self._wait_until_settled(restless_since)
        feed.list(parse(data, self._url, feed.members))
        self._applied = identity
        return self._pause()

    def retry(self, error: SourceError) -> float:  # noqa: ARG002  # every failure is retried alike
        self._applied = None
        return self._pause()

    def close(self) -> None: ...

    def _wait_until_settled(self, since: float | None) -> float:
        now = self._clock.seconds()
        self._restless_since = now if since is None else since
        if now - self._restless_since > RESTLESS:
            raise SourceError(f"{self._url}: still changing after {RESTLESS:g} s")
        return SETTLED

    def _pause(self) -> float:
        return shortened(INTERVAL, self._random)


def file_source(settings: SourceSettings, *, reactor: IReactorTime, random: Random) -> Feed:
    """Return the source of a ``file://`` URL."""
    return Feed(settings.url, FileReader(settings, reactor, random), reactor, random, spread=SETTLED)


def checked_identity(found: os.stat_result) -> FileIdentity:
    """Return the identity of a regular file of acceptable size. Raises ValueError."""
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    if found.st_size > LARGEST:
        raise ValueError(f"{found.st_size} bytes, wanted at most {LARGEST}")
    return identity_of(found)


def content(path: Path, wanted: FileIdentity) -> bytes | None:
    """Return the content of a file, ``None`` unless its identity stays ``wanted`` during the read."""
    # Non-blocking: opening a FIFO that has taken its place would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        before = checked_identity(os.fstat(file.fileno()))
        data = file.read(LARGEST)
        after = checked_identity(os.fstat(file.fileno()))
    return data if before == after == wanted else None
