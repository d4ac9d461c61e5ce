"""Reads the configuration file beside the event loop: files in a thread, the parser in turns."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.defer import TimeoutError as LateError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pybal.reload.file import ConfigurationFile, Loaded
from pybal.runtime.turns import Turns
from pybal.runtime.workers import Threads

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds for one access to files."""


class Loader:
    """Loads ``file``; ``files`` makes calls in threads.

    ``digest`` is that of the file as read at the start.
    """

    def __init__(self, file: ConfigurationFile, digest: str, files: Threads, turns: Turns, clock: IReactorTime) -> None:
        self.path = file.path
        self._file = file
        self._files = files
        self._turns = turns
        self._clock = clock
        self._digest = digest
        self._loads = 0
        self._looking_since: float | None = None

    async def load(self) -> Loaded:
        """Return the settings of the file. Raises ConfigError or OSError."""
        text: bytes = await self._in_thread(self._file.text)
        loaded = await self._turns.run(self._file.parse(text, self.path))
        self._digest = loaded.digest
        self._loads += 1
        return await self._in_thread(partial(self._file.checked, loaded))

    async def parse(self, text: bytes, path: str) -> Loaded:
        """Return the settings of a text, as if it were the file. The files that it names are not opened.

        Raises ConfigError.
        """
        return await self._turns.run(self._file.parse(text, path))

    def digest(self) -> str:
        """Return the SHA-256 of the file as last seen, empty if it is unreadable; look again in a thread."""
        if self._looking_since is None:
            self._looking_since = self._clock.seconds()
            self._files.run(self._file.digest).addBoth(self._seen, self._loads)
        elif self._clock.seconds() - self._looking_since > TIMEOUT:
            return ""
        return self._digest

    def _seen(self, result: str | Failure, loads: int) -> None:
        self._looking_since = None
        if loads == self._loads:  # else the file was loaded since
            self._digest = "" if isinstance(result, Failure) else result

    async def _in_thread(self, call: Callable[[], T]) -> T:
        try:
            return await self._files.run(call).addTimeout(TIMEOUT, self._clock)
        except LateError:
            raise OSError(errno.ETIMEDOUT, f"no response from the file system within {TIMEOUT:.0f} s") from None
