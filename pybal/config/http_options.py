"""Converters from text to value for the options of an HTTP check."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pybal.config.convert import address, hostname, optional_text, texts, words
from pybal.config.errors import InvalidValueError, names_credentials, shown
from pybal.config.expression import PatternError
from pybal.config.pattern import Pattern
from pybal.core.model import Address

_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*)")
_OURS = frozenset(("host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"))
"""Headers that frame a request or its response, and ``Host``, which has an option."""
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def method(text: str) -> str:
    """Return the name of a method in capitals; CONNECT, which opens a tunnel, is refused."""
    if _METHOD.fullmatch(text) and text != "CONNECT":
        return text
    raise InvalidValueError(shown(text), "a method in capitals: GET, HEAD, OPTIONS, POST …, not CONNECT")


def header(text: str) -> tuple[str, str]:
    """Return name and value of a header; the text cannot inject another header or end the headers."""
    match = _HEADER.fullmatch(text)
    if not match:
        raise InvalidValueError(shown(text), "a header 'Name: value' in printable ASCII, without line ends")
    if match[1].lower() in _OURS:
        raise InvalidValueError(shown(text), f"a header other than {match[1]}, which PyBal sets")
    return match[1], match[2].rstrip(" \t")


def hold_credentials(headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether one of the headers holds credentials."""
    return any(names_credentials(name) for name, _ in headers)


def server_name(text: str) -> str:
    """Return the server name for TLS, empty for the host of the URL."""
    bare = optional_text(text)
    try:
        is_address = bool(bare and address(bare.strip("[]")))
    except InvalidValueError:
        is_address = False
    if is_address:
        raise InvalidValueError(shown(text), "a host name, not an address")
    return hostname(bare) if bare else ""


def statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Return ranges of statuses, both ends included, duplicates removed."""
    return tuple(dict.fromkeys(map(_range, words(text))))


def _range(word: str) -> tuple[int, int]:
    match = _STATUSES.fullmatch(word)
    if match and (low := int(match[1])) <= (high := int(match[2] or low)):
        return low, high
    raise InvalidValueError(shown(word), "HTTP statuses such as 200, or ranges such as 200-299")


def pattern(text: str) -> Pattern | None:
    """Return a regular expression, bare or quoted, its escapes kept; ``None`` for the empty text."""
    quoted = len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]
    bare = text[1:-1] if quoted else text
    try:
        return Pattern(bare) if bare else None
    except PatternError as error:
        raise InvalidValueError(f"{error} in {shown(text)}", "a regular expression") from None


def source(text: str) -> Address | None:
    """Return an address of this host, ``None`` if the kernel chooses."""
    found = texts(text)
    return address("".join(found)) if any(found) else None
