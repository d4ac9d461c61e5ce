"""Text for people: escaped and with units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escaped(text: str) -> str:
    """Return a text of several lines, with control characters and marks of direction escaped."""
    return text if _CONTROL.search(text) is None else _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def ascii_of(text: str, most: int) -> str:
    """Return a text in ASCII, other characters escaped, of at most that many characters."""
    if not text.isascii():
        text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[: most - 3]}..."


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``3 ms``, ``4.9 s``, ``5 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def format_age(seconds: float) -> str:
    """Return a long duration for people, in one unit: ``36 s``, ``5 min``, ``3 h``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def end_of(address: IPv4Address | IPv6Address, port: int) -> str:
    """Return an address and a port: ``10.0.0.11:80``, ``[fd00::11]:80``."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def numbered(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 server``, ``3 servers``, ``2 entries``."""
    return f"{number} {inflected(noun, number)}"


def inflected(noun: str, number: int) -> str:
    """Return a noun as it follows a number: ``server``, ``servers``, ``entries``."""
    if number == 1:
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def first_of(names: Sequence[str], most: int) -> str:
    """Return at most that many names, and the number of the others: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
