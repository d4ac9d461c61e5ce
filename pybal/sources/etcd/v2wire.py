"""Responses of etcd's API v2, with python-etcd as their data model. Pure.

Calls are GETs of ``/v2/keys/DIRECTORY``; with ``wait=true`` the response ends with the next change. etcd keeps the last
thousand changes for watches, and none across a restart.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import etcd

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.responses import OK, STEP, malformed, parse_object, refused, shortened

_SET = frozenset(("set", "create", "update", "compareAndSwap"))
_DELETED = frozenset(("delete", "expire", "compareAndDelete"))

Texts = Mapping[str, str | None]
"""The values of a directory, by keys relative to it; ``None`` for a value that is not a string."""


class HistoryLost(Exception):  # noqa: N818  # the reason to read everything
    """etcd no longer has all changes since the requested index."""


class KeyMissing(Exception):  # noqa: N818  # a state, not a failure
    """The key does not exist at ``index``."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of a directory at ``index``, ``None`` if it does not exist."""

    texts: Texts | None
    index: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a key or ``directory`` at ``index``."""

    action: str
    key: str
    value: str | None
    directory: bool
    index: int

    def key_in(self, path: str) -> str | None:
        """Return the key relative to the directory ``path``, ``None`` if that must be read again."""
        if self.directory or not self.key.startswith(below(path)) or self.action not in _SET | _DELETED:
            return None
        return self.key.removeprefix(below(path))

    @property
    def deletes(self) -> bool:
        """True if the key no longer exists."""
        return self.action in _DELETED


def below(path: str) -> str:
    """Return the prefix of the keys in the directory ``path``."""
    return f"{path.rstrip('/')}/"


def parsing_directory(path: str, status: int, body: bytes, index: str) -> Generator[None, None, Snapshot]:
    """Parse the response to a read in steps; ``index`` is the header X-Etcd-Index.

    Raises :class:`SourceError`.
    """
    try:
        found = _result(status, body)
    except KeyMissing as missing:
        return Snapshot(None, missing.index)
    except HistoryLost:
        raise malformed(body) from None
    if not found.dir:
        raise SourceError(f"{path} is a key, wanted a directory")
    try:
        texts: dict[str, str | None] = {}
        for number, leaf in enumerate(found.leaves):
            if not number % STEP:
                yield
            if not leaf.dir:
                texts[_text(leaf.key).removeprefix(below(path))] = _value(leaf.value)
        return Snapshot(texts, int(index))
    except Exception:  # noqa: BLE001  # python-etcd raises anything for malformed nodes
        raise malformed(body) from None


def parse_change(status: int, body: bytes) -> Change:
    """Return the response to a watch. Raises :class:`HistoryLost` and :class:`SourceError`."""
    if status == OK and not body:
        # The response begins with the watch; a member that stops ends it.
        raise SourceError("watch ended without a change", Trouble.SILENT)
    try:
        found = _result(status, body)
    except KeyMissing:
        raise malformed(body) from None
    try:
        value, index = _value(found.value), int(found.modifiedIndex)
        return Change(_text(found.action), _text(found.key), value, bool(found.dir), index)
    except (TypeError, ValueError):
        raise malformed(body) from None


def _result(status: int, body: bytes) -> Any:  # noqa: ANN401  # python-etcd has no types
    if status != OK:
        raise _refusal(status, body)
    try:
        return etcd.EtcdResult(**parse_object(body))
    except SourceError:
        raise
    except Exception:  # noqa: BLE001  # python-etcd raises anything for malformed nodes
        raise malformed(body) from None


def _refusal(status: int, body: bytes) -> Exception:
    """Return the exception for a status other than 200."""
    try:
        document = parse_object(body)
    except SourceError:
        return refused(status)
    code, index = document.get("errorCode"), document.get("index")
    kind = etcd.EtcdError.error_exceptions.get(code) if isinstance(code, int) else None
    if kind in (etcd.EtcdEventIndexCleared, etcd.EtcdWatcherCleared):
        return HistoryLost()
    # A 404 without an index is not from etcd.
    if kind is etcd.EtcdKeyNotFound and isinstance(index, int):
        return KeyMissing(index)
    return refused(
        status, shortened(": ".join(str(document[name]) for name in ("message", "cause") if name in document))
    )


def _value(value: object) -> str | None:
    """Return a value; another type than that of etcd is an error of its key only."""
    return "" if value is None else value if isinstance(value, str) else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
