"""The parts of etcd's responses that both versions of the API share. Pure."""

from __future__ import annotations

from typing import Any

from pybal.core.text import printable
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats import bounded_json

#: Longest accepted response or message of a watch, in bytes.
LARGEST = 16 * 2**20

#: Keys that are parsed in one step.
STEP = 100

#: Longest response that is parsed immediately, in bytes; it takes 1 ms.
SHORT = 64 * 2**10

OK = 200

_LONGEST_SHOWN = 120
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
    shown = "" if b"token" in body else f": {shortened(body.decode('utf-8', 'replace'))!r}"
    return SourceError(f"malformed response from etcd{shown}", Trouble.MALFORMED)


def refused(status: int, message: str = "") -> SourceError:
    """Return the error for a status other than 200, with the message of etcd."""
    text = f"HTTP {status} ({message}), wanted 200" if message else f"HTTP {status}, wanted 200"
    return SourceError(text, Trouble.DENIED if status in _DENIED else Trouble.FAILED)


def shortened(text: str) -> str:
    """Return the beginning of a text from the network, on one line and printable."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
