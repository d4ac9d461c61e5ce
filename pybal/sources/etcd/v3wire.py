"""Messages of the JSON gateway of etcd's API v3: requests and parsed responses. Pure.

Every call is a POST of JSON. 64-bit numbers are strings, keys and values are base64, and fields that are 0 or false are
omitted. A response is one object; a watch returns one object per line and does not end.

========================  =====================================================  ==========================================
call                      fields of the request                                  fields of the response
========================  =====================================================  ==========================================
/v3/kv/range              key, range_end, keys_only, min_mod_revision            header, kvs, count
/v3/watch                 create_request: key, range_end, start_revision         result: header, created, canceled, events
/v3/auth/authenticate     name, password                                         token
========================  =====================================================  ==========================================

``count`` is the number of all keys in the range, including those that ``min_mod_revision`` excludes from ``kvs``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.responses import STEP, malformed, parse_object, refused, shortened, size

_DIGITS = len(str(2**64))

#: Messages of etcd for a request without a user, and for an invalid or outdated token.
_NO_USER = "user name is empty"
_INVALID = ("invalid auth token", "revision of auth store is old")


class TokenInvalid(SourceError):  # noqa: N818  # a state that a login ends
    """The token is missing or no longer valid: log in again."""


class KeyState(NamedTuple):
    """The value of a key, ``None`` if it was deleted, and the revision of its last change."""

    revision: int
    value: bytes | None


Keys = Mapping[bytes, KeyState]


@dataclass(frozen=True, slots=True)
class RangeResponse:
    """A range read at ``revision`` of ``cluster``: it has ``count`` keys; ``keys`` has the requested ones."""

    cluster: str
    revision: int
    count: int
    keys: Keys

    def follows(self, before: RangeResponse) -> bool:
        """Return whether both come from one cluster, in this order.

        A cluster that is created again often has the ID of the old one, but a lower revision.
        """
        return self.cluster == before.cluster and self.revision >= before.revision


@dataclass(frozen=True, slots=True)
class WatchResponse:
    """One message of a watch: the new states of keys; ``ended`` is the reason if it is the last one."""

    keys: Keys
    ended: str = ""


class WatchedKeys:
    """The keys of a range and their changes, as a watch reports them.

    ``size`` has the bytes that count for them. Deleted keys are kept until :meth:`forget_deleted`. No method but the constructor visits all keys.
    """

    def __init__(self, keys: Keys) -> None:
        self.size = _size(keys)
        self._states = dict(keys)
        self._deleted: set[bytes] = set()
        self._latest = 0
        """The highest revision of the changes since the last :meth:`forget_deleted`."""

    def apply(self, changed: Keys) -> None:
        """Note the new states of keys."""
        for key, state in changed.items():
            if before := self._states.get(key):
                self.size -= size(key, before.value)
            self._states[key] = state
            self.size += size(key, state.value)
            (self._deleted.discard if state.value is not None else self._deleted.add)(key)
            self._latest = max(self._latest, state.revision)

    def missed(self, found: RangeResponse) -> int:
        """Return the number of changes that are in ``found`` but were not reported by the watch.

        The watch may be ahead of the read: later changes are not counted, and then deleted keys are not counted either,
        because the number of keys no longer shows them.
        """
        known = self._states
        late = [key for key, state in found.keys.items() if key not in known or known[key].revision < state.revision]
        if self._latest > found.revision:
            return len(late)
        absent = sum(key not in known or key in self._deleted for key in late)
        return len(late) + abs(len(known) - len(self._deleted) + absent - found.count)

    def forget_deleted(self) -> None:
        """Forget the deleted keys: every later read includes these deletions."""
        for key in self._deleted:
            self.size -= size(key, self._states.pop(key).value)
        self._deleted.clear()
        self._latest = 0


def range_end(prefix: bytes) -> bytes:
    """Return the first key after all keys with a prefix, or one zero byte if no such key exists."""
    bare = prefix.rstrip(b"\xff")
    return bare[:-1] + bytes((bare[-1] + 1,)) if bare else b"\0"


def range_request(prefix: bytes, since: int = 0) -> bytes:
    """Return the request for all keys with a prefix.

    With ``since``: names only, of the keys written at this revision or later.
    """
    asked: dict[str, object] = _range(prefix)
    if since:
        asked |= {"keys_only": True, "min_mod_revision": str(since)}
    return _json(asked)


def watch_request(prefix: bytes, start: int) -> bytes:
    """Return the request to watch all keys with a prefix from a revision on."""
    return _json({"create_request": {**_range(prefix), "start_revision": str(start)}})


def authenticate_request(user: str, password: str) -> bytes:
    """Return the request for a token."""
    return _json({"name": user, "password": password})


def parse_token(body: bytes) -> str:
    """Return the token in the response to an authentication. Raises :class:`SourceError`."""
    found = parse_object(body).get("token")
    # The token is sent in a header line.
    if not isinstance(found, str) or not found.isascii() or not found.isprintable() or not found:
        raise SourceError("login response has no valid token", Trouble.MALFORMED)
    return found


def parsing_range(body: bytes) -> Generator[None, None, RangeResponse]:
    """Parse the response to a range request in steps. Raises :class:`SourceError`."""
    document = parse_object(body)
    try:
        header = document["header"]
        keys: dict[bytes, KeyState] = {}
        for number, entry in enumerate(document.get("kvs", ())):
            if not number % STEP:
                yield
            key, keys[key] = _key(entry)
        return RangeResponse(
            str(header["cluster_id"]), _number(header["revision"]), _number(document.get("count", "0")), keys
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed(body) from None


def parse_watch(line: bytes) -> WatchResponse:
    """Return one parsed line of a watch. Raises :class:`SourceError`."""
    document = parse_object(line)
    if "error" in document:
        return WatchResponse({}, _message(document))
    try:
        result = document["result"]
        # A refused watch is created and canceled in the same message.
        if result.get("canceled"):
            compacted = result.get("compact_revision")
            why = (
                f"compacted at revision {_number(compacted)}"
                if compacted
                else str(result.get("cancel_reason", "canceled"))
            )
            return WatchResponse({}, shortened(why.rpartition("desc = ")[2].removeprefix("etcdserver: ")))
        return WatchResponse(dict(map(_event, result.get("events", ()))))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed(line) from None


def merged(messages: Sequence[WatchResponse]) -> WatchResponse:
    """Return messages in order as one: the last state of each key, and the first reason to end."""
    keys = {key: state for message in messages for key, state in message.keys.items()}
    return WatchResponse(keys, next((message.ended for message in messages if message.ended), ""))


def parse_error(status: int, body: bytes) -> SourceError:
    """Return the error for a response whose status is not 200."""
    try:
        document = parse_object(body)
    except SourceError:
        return refused(status)
    message = _message(document)
    if _NO_USER in message:
        # The gateway does not map the name in a client certificate to a user.
        return TokenInvalid(
            f"{message}; set user and password-file (the gateway ignores the user of a certificate)", Trouble.DENIED
        )
    error = refused(status, message)
    if any(invalid in message for invalid in _INVALID):
        return TokenInvalid(str(error), Trouble.DENIED)
    if "authentication failed" in message:
        error.trouble = Trouble.DENIED
    return error


def values(known: Keys) -> Iterator[tuple[bytes, bytes]]:
    """Yield the existing keys with their values."""
    return ((key, state.value) for key, state in known.items() if state.value is not None)


def _range(prefix: bytes) -> dict[str, object]:
    return {"key": _base64(prefix), "range_end": _base64(range_end(prefix))}


def _key(entry: Mapping[str, str]) -> tuple[bytes, KeyState]:
    value = a2b_base64(entry.get("value", ""), strict_mode=True)
    return a2b_base64(entry["key"], strict_mode=True), KeyState(_number(entry["mod_revision"]), value)


def _event(event: Mapping[str, Any]) -> tuple[bytes, KeyState]:
    key, state = _key(event["kv"])
    return key, KeyState(state.revision, None) if event.get("type") == "DELETE" else state


def _size(keys: Keys) -> int:
    return sum(size(key, state.value) for key, state in keys.items())


def _number(text: str) -> int:
    # At most 64 bits: the time of a conversion grows with the square of the length.
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise ValueError(text)
    return int(text)


def _message(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    message = error.get("message") if isinstance(error, dict) else document.get("message", error)
    return shortened(str(message).removeprefix("etcdserver: "))


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
