"""Text for people: escaped and with units."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with its unprintable characters escaped, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``3 ms``, ``4.9 s``, ``5 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f}".removesuffix(".0") + " s"
