"""Detects responses that repeat the credentials of their request, and would show them in logs. Pure."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from urllib.parse import quote, quote_plus

from pybal.http.errors import Fault, ProtocolError

SHORTEST = 6
"""Shorter secrets may be part of any response by chance."""
_BEGINNING = 8
"""Characters of a secret that identify it in an error text, which may hold a part of it only."""
REFUSAL = "response repeats the credentials of the request; refusing it"


class Secrets:
    """The secrets of a request: those of its Authorization field, and ``more``."""

    def __init__(self, fields: Mapping[str, str], more: Iterable[str] = ()) -> None:
        found = set(more)
        scheme, _, value = fields.get("Authorization", "").rpartition(" ")
        found.add(value)
        if scheme == "Basic":
            try:
                pair = b64decode(value).decode()
            except (Error, UnicodeDecodeError):
                pair = ""
            found |= {pair, pair.partition(":")[2]}
        forms = (form for secret in found if len(secret) >= SHORTEST for form in _forms(secret))
        self._found = tuple(dict.fromkeys(form.encode() for form in forms))
        self._longest = max(map(len, self._found), default=0)

    def refuse(self, *data: bytes) -> None:
        """Raise ProtocolError if one of ``data`` contains a secret."""
        if any(secret in piece for piece in data for secret in self._found):
            raise ProtocolError(REFUSAL, Fault.MALFORMED)

    def refuse_text(self, error: ProtocolError) -> None:
        """Raise ProtocolError with another text if that of ``error`` contains the beginning of a secret."""
        if any(secret[:_BEGINNING] in str(error).encode(errors="replace") for secret in self._found):
            raise ProtocolError(REFUSAL, error.fault) from None

    def guarded(self, received: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return a receiver of the pieces of a body that raises ProtocolError at a secret."""
        if not self._found:
            return received
        tail = b""

        def guard(piece: bytes) -> None:
            nonlocal tail
            whole = tail + piece
            self.refuse(whole)
            tail = whole[-self._longest + 1 :]
            received(piece)

        return guard


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as JSON, HTML and URLs write it."""
    yield from (secret, json.dumps(secret)[1:-1], escape(secret))
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield from (quoted, _HEXADECIMAL.sub(lambda found: found[0].lower(), quoted))


_HEXADECIMAL = re.compile("%[0-9A-F]{2}")
