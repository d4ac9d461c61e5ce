"""A pool file on this host: checked every second, read when it has settled.

:mod:`pybal.sources.file_poll` looks at the files of all sources. A file has settled if two checks, at least
:data:`~pybal.sources.file_poll.SETTLED` seconds apart, and the checks before and after the read find it unchanged. Only the monotonic clock is used, so a step of the wall clock has no effect. After a
failure the last good list is kept and the file is read again at each check.
"""

from __future__ import annotations

from random import Random

from twisted.internet.interfaces import IReactorTime

from pybal.config.settings import SourceSettings
from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError
from pybal.sources.feed import Feed
from pybal.sources.file_poll import FilePoll, PolledFile
from pybal.sources.list_parser import ListParser


class FileReader:
    """Reads ``file://PATH``; follows renames and symbolic links, and finds a file that appears later."""

    differences = 0

    def __init__(self, settings: SourceSettings, poll: FilePoll, turns: Turns) -> None:
        self._file = PolledFile(settings.url.removeprefix("file://"), poll)
        self._parser = ListParser(turns)

    async def read(self, feed: Feed) -> float:
        found = await self._file.changed(feed.good)
        feed.list(await self._parser.parse(found.data, feed.name, feed.members))
        self._parser.forget()
        self._file.applied = found.identity
        return 0.0

    def retry(self, error: SourceError) -> float:  # noqa: ARG002  # the poll sets the pace
        self._file.applied = None
        return 0.0

    def close(self) -> None:
        self._file.close()


def file_source(
    settings: SourceSettings, *, reactor: IReactorTime, random: Random, files: FilePoll, turns: Turns | None = None
) -> Feed:
    """Return the source of a ``file://`` URL. ``files`` looks at its file, which is parsed in ``turns``."""
    return Feed(settings.url, FileReader(settings, files, turns or Turns(reactor)), reactor, random, spread=0.0)
