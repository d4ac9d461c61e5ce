"""The JSON gateway of etcd's API of version 3: what is asked, and what the answers mean. Pure.

Every call is a POST of JSON. Numbers of 64 bits are texts, keys and values are base64, and what is 0 or false is left
out. An answer is one object; that of a watch is one object on each line, for ever.

========================  =====================================================  ==========================================
call                      fields of the request                                  fields of the answer
========================  =====================================================  ==========================================
/v3/kv/range              key, range_end, keys_only, min_mod_revision            header, kvs, count
/v3/watch                 create_request: key, range_end, start_revision         result: header, created, canceled, events
/v3/auth/authenticate     name, password                                         token
========================  =====================================================  ==========================================

``count`` is that of all keys in the range, also where ``min_mod_revision`` leaves some of them out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pybal.sources.base import SourceError, Trouble

_LONGEST_SHOWN = 120

#: What etcd says where it has no user for a request: the last two of a token.
_NO_USER = "user name is empty"
_INVALID = ("invalid auth token", "revision of auth store is old")


class TokenInvalid(SourceError):  # noqa: N818  # it is told by this name
    """There is no token, or it is not known any more: one is to be had anew."""


@dataclass(frozen=True, slots=True)
class Written:
    """The value of a key, ``None`` where it was deleted, and the revision that did so."""

    revision: int
    value: bytes | None


Keys = Mapping[bytes, Written]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a range said at a ``revision`` of its ``cluster``: ``count`` keys, of which ``keys`` were asked for."""

    cluster: str
    revision: int
    count: int
    keys: Keys

    def follows(self, before: Reading) -> bool:
        """Tell whether it may be of the same etcd as one before. One that begins anew often has the name of the old one."""
        return self.cluster == before.cluster and self.revision >= before.revision


@dataclass(frozen=True, slots=True)
class Watched:
    """One message of a watch: what has become of keys; ``ended`` says why there will be no other."""

    keys: Keys
    ended: str = ""


def range_end(prefix: bytes) -> bytes:
    """Return the end of the range of all keys with a prefix: the first key after them; one zero byte where there is none."""
    bare = prefix.rstrip(b"\xff")
    return bare[:-1] + bytes((bare[-1] + 1,)) if bare else b"\0"


def range_request(prefix: bytes, since: int = 0) -> bytes:
    """Return the request for all keys with a prefix; with ``since`` for the names of those written at it or later."""
    asked: dict[str, object] = _range(prefix)
    if since:
        asked |= {"keys_only": True, "min_mod_revision": str(since)}
    return _json(asked)


def watch_request(prefix: bytes, start: int) -> bytes:
    """Return the request to be told of all that becomes of keys with a prefix, from a revision on."""
    return _json({"create_request": {**_range(prefix), "start_revision": str(start)}})


def authenticate_request(user: str, password: str) -> bytes:
    """Return the request for a token."""
    return _json({"name": user, "password": password})


def token(body: bytes) -> str:
    """Return the token in an answer."""
    found = _object(body).get("token")
    # It goes into a header.
    if not isinstance(found, str) or not found.isascii() or not found.isprintable() or not found:
        raise SourceError("answers with no token", Trouble.MALFORMED)
    return found


def reading(body: bytes) -> Reading:
    """Return what the answer to a range says. Raises :class:`SourceError`."""
    document = _object(body)
    try:
        header = document["header"]
        keys = dict(map(_key, document.get("kvs", ())))
        return Reading(
            str(header["cluster_id"]), _number(header["revision"]), _number(document.get("count", "0")), keys
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(body) from None


def watched(line: bytes) -> Watched:
    """Return what a line of a watch says. Raises :class:`SourceError`."""
    document = _object(line)
    if "error" in document:
        return Watched({}, _said(document))
    try:
        result = document["result"]
        # One that is refused is created and canceled at once.
        if result.get("canceled"):
            compacted = result.get("compact_revision")
            why = (
                f"compacted at revision {_number(compacted)}"
                if compacted
                else str(result.get("cancel_reason", "canceled"))
            )
            return Watched({}, _shortened(why.rpartition("desc = ")[2].removeprefix("etcdserver: ")))
        return Watched(dict(map(_changed, result.get("events", ()))))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(line) from None


def refused(status: int, body: bytes) -> SourceError:
    """Return what an answer means whose status is not 200."""
    try:
        document = _object(body)
    except SourceError:
        return SourceError(f"HTTP {status}, wanted 200", Trouble.DENIED if status in (401, 403) else Trouble.FAILED)
    said = _said(document)
    if _NO_USER in said:
        # Through the gateway etcd does not take the name in a client certificate for that of a user.
        return TokenInvalid(
            f"{said}, wanted user and password-file: a certificate alone is no user for the gateway", Trouble.DENIED
        )
    text = f"HTTP {status} ({said}), wanted 200"
    if any(invalid in said for invalid in _INVALID):
        return TokenInvalid(text, Trouble.DENIED)
    denied = status in (401, 403) or "authentication failed" in said
    return SourceError(text, Trouble.DENIED if denied else Trouble.FAILED)


def values(known: Keys) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys that are there, with their values."""
    return ((key, written.value) for key, written in known.items() if written.value is not None)


def missed(known: Keys, found: Reading) -> int:
    """Return how many keys ``found`` shows to be other than ``known``, which has followed changes from before it on.

    What is known of later changes is no difference. Where there are any, keys that are not there any more do not count: with
    them the number of keys then cannot be told.
    """
    late = [key for key, written in found.keys.items() if key not in known or known[key].revision < written.revision]
    if any(written.revision > found.revision for written in known.values()):
        return len(late)
    there = {key for key, _ in values(known)}
    return len(late) + abs(len(there.union(late)) - found.count)


def _range(prefix: bytes) -> dict[str, object]:
    return {"key": _text(prefix), "range_end": _text(range_end(prefix))}


def _key(entry: Mapping[str, str]) -> tuple[bytes, Written]:
    value = b64decode(entry.get("value", ""), validate=True)
    return b64decode(entry["key"], validate=True), Written(_number(entry["mod_revision"]), value)


def _changed(event: Mapping[str, Any]) -> tuple[bytes, Written]:
    key, written = _key(event["kv"])
    return key, replace(written, value=None) if event.get("type") == "DELETE" else written


def _number(text: str) -> int:
    # 64 bits; a longer one takes long to convert.
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > len(str(2**64)):
        raise ValueError(text)
    return int(text)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed(body)
    return document


def _malformed(body: bytes) -> SourceError:
    # What it is instead helps, unless it may hold what is not to be shown.
    said = "" if b"token" in body else f": {_shortened(body.decode('utf-8', 'replace'))!r}"
    return SourceError(f"no answer of etcd's gateway{said}", Trouble.MALFORMED)


def _said(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    said = error.get("message") if isinstance(error, dict) else document.get("message", error)
    return _shortened(str(said).removeprefix("etcdserver: "))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
