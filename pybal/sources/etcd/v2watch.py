"""Follows one directory of an etcd by version 2 of its API, at one member, in a thread of its own.

All that is there is read with a quorum, then each change is waited for. A member that is cut off from the others answers
to that with silence, as one does that has nothing to say: so whenever there was no change for a while, and from time to time
in any case, all is read again. On any doubt, such as an index that etcd no longer has, likewise.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from typing import Any

import etcd

from pybal.core.text import printable
from pybal.http.errors import ProtocolError
from pybal.http.tls_errors import tls_reason
from pybal.sources.base import SourceError, Trouble, source_error
from pybal.sources.etcd.blocking import BlockingConnection

SET = frozenset(("set", "create", "update", "compareAndSwap"))
GONE = frozenset(("delete", "expire", "compareAndDelete"))

Texts = Mapping[str, str]
"""The values of a directory by their keys without it."""

_MOST_SHOWN = 100

#: Changes with fewer seconds between them follow upon each other.
_MOMENT = 1.0

#: What says that changes may have been missed: etcd keeps a thousand of them, and none over a restart of its own.
_INDEX_LOST = (etcd.EtcdEventIndexCleared, etcd.EtcdWatcherCleared, etcd.EtcdClusterIdChanged)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: for an answer; until silence is looked into; from one full read to the next, if there is no silence.

    Changes that follow upon each other are gathered for ``gather`` seconds.
    """

    answer: float = 3.0
    poll: float = 10.0
    full_read: float = 300.0
    gather: float = 0.3


@dataclass(frozen=True, slots=True)
class Heard:
    """All that is in the directory, ``None`` if there is no such one.

    ``proven`` tells that the member has shown that it can be followed, not only read; ``missed`` is how many values were
    not as its changes had said.
    """

    texts: Texts | None
    proven: bool
    missed: int = 0


def applied(texts: Texts, path: str, event: Any) -> Texts | None:  # noqa: ANN401  # python-etcd is not typed
    """Return what ``texts`` have become by a change; ``None`` if that is not certain without reading all again."""
    below = _below(path)
    if event.dir or not event.key.startswith(below):
        return None
    key = event.key.removeprefix(below)
    if event.action in SET:
        return {**texts, key: event.value or ""}
    if event.action in GONE:
        return {other: text for other, text in texts.items() if other != key}
    return None


class Watch:
    """Follows the directory ``path`` over ``connection`` until it fails or is ended.

    :meth:`run` is the thread; there it tells each :class:`Heard`, and at last the :class:`SourceError` that ended it.
    """

    def __init__(
        self, connection: BlockingConnection, path: str, times: Times, tell: Callable[[Heard | SourceError], None]
    ) -> None:
        self._connection = connection
        self._client = etcd.Client()
        # Its own pool of connections has made none yet.
        self._client.http = connection
        self._path = path
        self._times = times
        self._tell = tell
        self._proven = False
        self._changed = float("-inf")
        self._stopped = threading.Event()

    def run(self) -> None:
        """Follow, and tell why that has ended."""
        with self._connection.turn:
            self._run()

    def _run(self) -> None:
        try:
            self._follow()
        except etcd.EtcdException as error:
            self._tell(self._trouble(error))
        except SourceError as error:
            self._tell(error)
        except ProtocolError as error:
            self._tell(source_error(error))
        except Exception as error:  # noqa: BLE001  # what python-etcd or we make of nonsense may fail in any way
            self._tell(SourceError(f"an answer that is none of etcd's ({_line(repr(error))})"))
        finally:
            self._connection.clear()

    def end(self) -> None:
        """Have the thread come to its end soon; to be called from another one."""
        self._stopped.set()
        self._connection.end()

    def _follow(self) -> None:
        known: Texts | None = None
        index = 0
        renewal = 0.0
        while not self._stopped.is_set():
            if time.monotonic() >= renewal:
                # What is between us and etcd, and never closes, is to choose anew.
                self._connection.clear()
                renewal = time.monotonic() + self._times.full_read
            texts, newest = self._read()
            self._tell(Heard(texts, self._proven))
            if known is not None and texts is not None and texts != known:
                self._compare(known, texts, index)
            known, index = self._changes(texts, newest, renewal)

    def _changes(self, texts: Texts | None, index: int, until: float) -> tuple[Texts | None, int]:
        """Tell each change, until all is to be read again; return what they have said, ``None`` if any may be lost."""
        while True:
            try:
                event = self._next(index + 1, self._times.poll)
            except _INDEX_LOST:
                self._hurried()
                return None, index
            self._proven = True
            if event is None:
                return texts, index
            if self._hurried() or texts is None:
                return None, index
            texts, index = applied(texts, self._path, event), event.modifiedIndex
            if texts is None:
                return None, index
            self._tell(Heard(texts, self._proven))
            if time.monotonic() >= until:
                return texts, index

    def _hurried(self) -> bool:
        """Tell whether the last change was a moment ago; then wait for more, to read them together.

        One by one, a hundred changes are a hundred answers and lists for each service that follows them: with dozens of
        these nothing else would get its turn.
        """
        before, self._changed = self._changed, time.monotonic()
        hurried = self._changed - before < _MOMENT
        if hurried:
            with self._connection.turn.waiting():
                self._stopped.wait(self._times.gather)
        return hurried

    def _compare(self, known: Texts, texts: Texts, index: int) -> None:
        """Count the values that changes had not told, unless they came at this very moment."""
        try:
            late = self._next(index + 1, self._times.answer)
        except _INDEX_LOST:
            return
        if late is None:
            keys = known.keys() | texts.keys()
            missed = sum(known.get(key) != texts.get(key) for key in keys)
            self._tell(Heard(texts, self._proven, missed))

    def _next(self, index: int, timeout: float) -> Any | None:  # noqa: ANN401  # python-etcd is not typed
        """Return the first change from ``index`` on, ``None`` if there is none in time."""
        try:
            return self._client.read(self._path, wait=True, waitIndex=index, recursive=True, timeout=timeout)
        except etcd.EtcdConnectionFailed as error:
            if isinstance(error.cause, TimeoutError):
                return None
            raise

    def _read(self) -> tuple[Texts | None, int]:
        """Return all that is there, and as of which index; ``None`` if there is no such directory."""
        try:
            found = self._quorum_read()
        except etcd.EtcdClusterIdChanged:
            found = self._quorum_read()
        except etcd.EtcdKeyNotFound as error:
            # Without an index it is not etcd that says so.
            if "index" not in (error.payload or {}):
                raise
            return None, error.payload["index"]
        if not found.dir:
            raise SourceError(f"{self._path} is a key, wanted a directory")
        below = _below(self._path)
        return {
            leaf.key.removeprefix(below): leaf.value or "" for leaf in found.leaves if not leaf.dir
        }, found.etcd_index

    def _quorum_read(self) -> Any:  # noqa: ANN401  # python-etcd is not typed
        return self._client.read(self._path, recursive=True, quorum=True, timeout=self._times.answer)

    def _trouble(self, error: etcd.EtcdException) -> SourceError:
        """Return in our words what python-etcd says."""
        status = self._connection.status
        if isinstance(error, etcd.EtcdConnectionFailed):
            return _lost(error.cause, self._times)
        said = _line(str(error).removesuffix(" : None").replace(" : ", ": "))
        if isinstance(error, etcd.EtcdInsufficientPermissions):
            return SourceError(f"HTTP {status}, wanted 200: {said}", Trouble.DENIED)
        if status in (200, 201):
            return SourceError(f"HTTP {status}, but an answer that is none of etcd's: {said[:1].lower()}{said[1:]}")
        return SourceError(f"HTTP {status}, wanted 200: {said}", Trouble.FAILED)


def _below(path: str) -> str:
    return f"{path.rstrip('/')}/"


def _line(text: str) -> str:
    """Return a text that anybody may have written as it may stand in a message."""
    return printable(" ".join(text.split())[:_MOST_SHOWN])


def _lost(cause: BaseException | None, times: Times) -> SourceError:
    if isinstance(cause, TimeoutError):
        return SourceError(f"no whole answer within {times.answer:g} s", Trouble.SILENT)
    if isinstance(cause, ssl.SSLError):
        return SourceError(f"TLS: {tls_reason(cause)}", Trouble.UNREACHABLE)
    if isinstance(cause, ConnectionResetError | BrokenPipeError | IncompleteRead):
        return SourceError("the connection is lost", Trouble.UNREACHABLE)
    if isinstance(cause, HTTPException):
        return SourceError(f"{_line(str(cause)) or type(cause).__name__}, wanted an answer by HTTP")
    words = getattr(cause, "strerror", None) or str(cause)
    return SourceError(words[:1].lower() + words[1:], Trouble.UNREACHABLE)
