"""The parts of etcd's responses that both versions of the API share. Pure."""

from __future__ import annotations

from typing import Any

from pybal.core.text import printable
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats import bounded_json

#: Longest accepted response or message of a watch, in bytes: 600 for each of 10,000 keys. It takes at most 40 ms.
LARGEST = 6 * 2**20

#: Bytes that count for a key besides its name and value: a watch may report 12,000 keys, as many as one response may have.
OVERHEAD = LARGEST // 12_000

#: Keys that are parsed in one step.
STEP = 100

#: Longest response that is parsed immediately, in bytes; it takes 1 ms.
SHORT = 64 * 2**10

OK = 200

_LONGEST_SHOWN = 120
_LONGEST_READ = 1000
"""Characters at the beginning of a text of which those shown are taken: a response may have megabytes."""
_DENIED = frozenset((401, 403))


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises :class:`SourceError`."""
    try:
        document = bounded_json.load(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise malformed(body)
    return document


def malformed(body: bytes) -> SourceError:
    """Return the error for a response that is not one of etcd's; it shows the beginning, but no token."""
    shown = "" if b"token" in body else f": {shortened(body[:_LONGEST_READ].decode('utf-8', 'replace'))!r}"
    return SourceError(f"malformed response from etcd{shown}", Trouble.MALFORMED)


def size(key: str | bytes, value: str | bytes | None) -> int:
    """Return the bytes that count for a key."""
    return len(key) + len(value or "") + OVERHEAD


def check_size(total: int) -> None:
    """Raise :class:`SourceError` if the keys that a watch reports are larger than a response may be.

    The next read of all keys would be refused.
    """
    if total > LARGEST:
        raise SourceError(f"more than {LARGEST >> 20} MiB of keys, or 12,000 (remove keys)", Trouble.GROWN)


def refused(status: int, message: str = "") -> SourceError:
    """Return the error for a status other than 200, with the message of etcd."""
    text = f"HTTP {status} ({message}), wanted 200" if message else f"HTTP {status}, wanted 200"
    return SourceError(text, Trouble.DENIED if status in _DENIED else Trouble.FAILED)


def shortened(text: str) -> str:
    """Return the beginning of a text from the network, on one line and printable."""
    line = printable(" ".join(text[:_LONGEST_READ].split()))
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
