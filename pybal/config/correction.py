"""Corrections of invalid values: the values that operators probably meant. Pure.

Frequent mistakes are undone one by one, up to three in one value: a comment after ``#``, quotes of a word processor, a list
without quotes, a unit, ``50%`` for 0.5, a prefix length or port behind an address, a path for a URL. A correction is offered
only if the converter of the option accepts it, so that the suggested line is valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice

from pybal.config.errors import InvalidValueError, masked
from pybal.config.literals import is_literal

_LONGEST = 150
_MOST_CANDIDATES = 60
_MOST_MISTAKES = 3
_MOST_ITEMS = 10
_MOST_COMMENTS = 2

_COMMENT = re.compile(r"\s*(?:;|#|(?<=\s)//|(?<=\s)--|/\*)\s*")
_TYPOGRAPHIC = {
    '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033",
    "'": "\u2018\u2019\u201a\u201b\u2032\u00b4`",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212",
}
_QUOTES = str.maketrans({mark: plain for plain, marks in _TYPOGRAPHIC.items() for mark in marks})
_BRACKETS = "[](){}<>'\"` "
_OPENING = "[({"
_SEPARATOR = re.compile(r"[\s,;|]+")
_UNITS = {
    "": 1, "ms": 0.001, "msec": 0.001, "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "days": 86400,
    "%": 0.01, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "mb": 1 << 20, "mib": 1 << 20,
}  # fmt: skip
_QUANTITY = re.compile(r"((?![0-9]+,[0-9]{3}$)[0-9]{0,15}[.,]?[0-9]{1,15})\s*([A-Za-z]*|%)")
_FRACTION = re.compile(r"([0-9]{1,3})\s*/\s*([1-9][0-9]{0,2})")
_PORTS = {
    "ssh": 22, "smtp": 25, "dns": 53, "domain": 53, "http": 80, "www": 80, "pop3": 110, "ntp": 123, "imap": 143, "ldap": 389,
    "https": 443, "syslog": 514, "ldaps": 636, "imaps": 993, "etcd": 2379, "mysql": 3306, "postgresql": 5432, "redis": 6379,
    "http-alt": 8080, "memcached": 11211, "bgp": 179,
}  # fmt: skip
_HOST = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?"
_REPLACEMENTS = (
    (r"[=:>]+\s*(.+)", r"\1"),  # port == 80
    (r"-\s+(.+)", r"\1"),  # - 80, as in YAML
    (r"(.+?)[\s,;.]+", r"\1"),
    (r"([0-9.]+)\s*per ?cent", r"\1%"),
    (r"([0-9]+)\s*(?:servers?|bytes?)", r"\1"),
    (r"([0-9]+)\.0+", r"\1"),
    (r"([0-9]{1,3})[_, ]([0-9]{3})", r"\1\2"),
    (r"([0-9]{1,3})[_, ]([0-9]{3})[_, ]([0-9]{3})", r"\1\2\3"),
    (r"\+([0-9].*)", r"\1"),
    (r"(?i)AS\s*([0-9]+)", r"\1"),
    (r"(.+)/[0-9A-Za-z]+", r"\1"),  # 192.0.2.1/32, 80/tcp
    (r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?", r"\1"),  # [2001:db8::1]:80
    (r"([0-9]+(?:\.[0-9]+){3}):[0-9]+", r"\1"),
    (r"([0-9A-Fa-f:.]+)%\S+", r"\1"),  # a zone
    (r".*:([0-9]+)", r"\1"),  # a port behind an address
    (r"file:/*([^/].*)", r"file:///\1"),
    (r"(/.*)", r"file://\1"),
    (r"(?i)(https?):?/*([a-z0-9[].*)", r"\1://\2"),
    (rf"(?:[a-z]+:)?/*({_HOST}/\S*)", r"http://\1"),
    (rf"(?:[a-z]+:)?/*({_HOST})", r"http://\1/"),
    (rf"(?i)(https?://{_HOST})", r"\1/"),
    (r"(?i)https?://([^/?#]+).*", r"\1"),
)


def correction(text: str, convert: Callable[[str], object]) -> str:
    """Return the value that was probably meant, as written in pybal.conf; empty if no candidate is valid.

    ``text`` is the invalid value after interpolation. A value with credentials has no correction: it would show them.
    """
    if not text or len(text) > _LONGEST or masked(text) != text:
        return ""
    if (found := _first_valid(text, convert)) is not None:
        return _as_written(found)
    for mark in islice(_COMMENT.finditer(text), _MOST_COMMENTS):
        if mark.start() and (found := _first_valid(text[: mark.start()], convert)) is not None:
            return f"{_as_written(found)} ; {_as_written(text[mark.end() :])}".removesuffix(" ; ")
    return ""


def as_list(texts: list[str]) -> str:
    """Return a list of texts as written in pybal.conf."""
    return "[" + ", ".join(f"'{each}'" for each in texts) + "]"


def _as_written(text: str) -> str:
    return text.replace("%", "%%")


def _first_valid(text: str, convert: Callable[[str], object]) -> str | None:
    """Return the first valid text with the fewest mistakes undone."""
    seen, level = {text}, [text]
    for _ in range(_MOST_MISTAKES + 1):
        hints = []
        for candidate in level:
            try:
                convert(candidate)
            except InvalidValueError as error:
                if error.meant:
                    hints.append(candidate.replace(error.meant_for, error.meant, 1))
            else:
                return candidate
        level = list(_next_level(level, hints, seen))
    return None


def _next_level(level: list[str], hints: list[str], seen: set[str]) -> Iterator[str]:
    """Yield new candidates with one more mistake undone, and add them to those that were ``seen``."""
    for new in chain((new for before in level for new in _undone(before)), hints):
        if len(seen) > _MOST_CANDIDATES:
            return
        if new not in seen and _is_sane(new):
            seen.add(new)
            yield new


def _is_sane(text: str) -> bool:
    return text != "" and "\n" not in text and (is_literal(text) or not set("'\"") & set(text))


def _undone(text: str) -> Iterator[str]:
    """Yield the text with one mistake undone, in each of the ways."""
    items = _loose_items(text)
    if items and text[0] in _OPENING:
        yield as_list(items)
    for undo in _MISTAKES:
        yield undo(text)
    if items:
        yield as_list(items)
        for undo in _MISTAKES:
            yield as_list([undo(item) or item for item in items])


def _loose_items(text: str) -> list[str]:
    """Return the items of what may be meant as a list."""
    bare = _plain_quotes(text).strip(_BRACKETS)
    return [item for each in _SEPARATOR.split(bare, _MOST_ITEMS) if (item := each.strip(_BRACKETS)) not in ("", "-")]


def _replaced(form: re.Pattern[str], by: str, text: str) -> str:
    return found.expand(by) if (found := form.fullmatch(text)) else ""


def _plain_quotes(text: str) -> str:
    return text.translate(_QUOTES)


def _unquoted(text: str) -> str:
    return text.strip(_BRACKETS)


def _quantity(text: str) -> str:
    """Return a number with a unit as seconds, bytes or a share."""
    if fraction := _FRACTION.fullmatch(text):
        return f"{int(fraction[1]) / int(fraction[2]):.4g}"
    quantity = _QUANTITY.fullmatch(text)
    if not quantity:
        return ""
    unit = _UNITS.get(quantity[2].lower()) if quantity[2] != "M" else 1 << 20
    number = float(quantity[1].replace(",", ".")) * (unit or 0)
    return f"{number:.10g}" if unit else ""


def _blanks_between(text: str) -> str:
    return " ".join(_loose_items(text)) if "," in text and not set("'\"") & set(text) else ""


def _decimal_point(text: str) -> str:
    return text.replace(",", ".") if _QUANTITY.fullmatch(text) else ""


def _hyphens(text: str) -> str:
    return text.replace("_", "-")


def _port(text: str) -> str:
    return str(_PORTS.get(text.lower(), ""))


def _without_zeros(text: str) -> str:
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", text) if text.count(".") == 3 else ""  # noqa: PLR2004  an IPv4 address


def _every_address(text: str) -> str:
    return "0.0.0.0" if text in ("*", "any", "all") else ""  # noqa: S104  a value, not an address to bind


_MISTAKES: tuple[Callable[[str], str], ...] = (
    _plain_quotes,
    _unquoted,
    str.lower,
    str.upper,
    _decimal_point,
    _quantity,
    _port,
    _without_zeros,
    _every_address,
    _hyphens,
    _blanks_between,
    *(partial(_replaced, re.compile(form), by) for form, by in _REPLACEMENTS),
)
