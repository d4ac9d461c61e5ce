"""Converters from the text of an option to its value.

A converter raises :class:`InvalidValueError` for an invalid text. Each one refuses the empty text unless its docstring
says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import TypeVar

from pybal.config.errors import InvalidValueError, shown
from pybal.config.literals import LiteralKind, is_literal, items, unescaped
from pybal.core.model import Address

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
A = TypeVar("A", IPv4Address, IPv6Address)
Converter = Callable[[str], T]

NO_SYNONYMS: Mapping[str, str] = MappingProxyType({})

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf")
SCHEDULER_FLAGS = {
    "sh": ("sh-port", "sh-fallback", "flag-1", "flag-2"),
    "mh": ("mh-port", "mh-fallback", "flag-1", "flag-2"),
}
"""The flags of each scheduler that has flags, with their names in ipvsadm."""

SCHEDULER_NAMES = {
    "round robin": "rr",
    "weighted round robin": "wrr",
    "least connection": "lc",
    "leastconn": "lc",
    "weighted least connection": "wlc",
    "locality based least connection": "lblc",
    "locality based least connection with replication": "lblcr",
    "destination hashing": "dh",
    "source hashing": "sh",
    "shortest expected delay": "sed",
    "never queue": "nq",
    "maglev": "mh",
    "maglev hashing": "mh",
    "weighted failover": "fo",
    "weighted overflow": "ovf",
}
"""The schedulers by the names in the manual of ipvsadm."""

_TRUE = frozenset(("t", "true", "y", "yes", "on", "1"))
_FALSE = frozenset(("f", "false", "n", "no", "off", "0"))
_SWITCHES = {"enable": "yes", "enabled": "yes", "active": "yes"} | dict.fromkeys(
    ("disable", "disabled", "inactive", "none", "never", "null"), "no"
)
WHOLE = re.compile(r"[-+]?[0-9]{1,20}")
DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
HIGHEST_PORT = 65535
_SIMILAR, _MORE_SIMILAR = 0.6, 0.7
"""The least similarity of short and of longer words; a transposition in three letters leaves 0.67."""
_LONGEST_SHORT = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*")
_LABEL = re.compile(r"(?=[!-~]+\Z)[^/:@?#%,;\"'()\[\]{}<>\\]{1,63}")
"""A label of a name: other characters than those of URLs and lists."""
_LONGEST_NAME = 253
_LONGEST_SOCKET_PATH = 107  # unix(7): sun_path without its NUL
_DAY = 86400.0


def any_text(text: str) -> str:
    """Return a text as it is."""
    return text


def boolean(text: str) -> bool:
    """Return the meaning of one of the words of PyBal 1.15 for yes and no, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    meant = nearest(word, ("yes", "no", "true", "false", "on", "off"), _SWITCHES)
    wanted = "yes or no (t true y yes on 1, f false n no off 0)"
    raise InvalidValueError(shown(text), wanted, meant=meant, meant_for=text)


def integer(low: int, high: int, noun: str = "a whole number") -> Converter[int]:
    """Return a converter to integers from ``low`` to ``high``."""

    def convert(text: str) -> int:
        if WHOLE.fullmatch(text) and low <= (number := int(text)) <= high:
            return number
        raise InvalidValueError(shown(text), f"{noun} from {low} to {high}")

    return convert


port = integer(1, HIGHEST_PORT, "a port number")
port_or_services = integer(0, HIGHEST_PORT, "a port number, or 0 for the port of the service,")
unsigned = integer(0, 2**32 - 1)
journal_size = integer(10, 1_000_000)


def part(most: float) -> Converter[float]:
    """Return a converter to shares: numbers from 0 to ``most``."""
    wanted = f"a share from 0 to {most:g} ({most / 2:g} is {most * 50:g} %)"

    def convert(text: str) -> float:
        if DECIMAL.fullmatch(text):
            if 0 <= (number := float(text)) <= most:
                return number
            percent = f"{number / 100:g}" if WHOLE.fullmatch(text) and 1 < number <= most * 100 else ""
            raise InvalidValueError(shown(text), wanted, meant=percent, meant_for=text)
        raise InvalidValueError(shown(text), wanted)

    return convert


share = part(1)


def seconds(text: str) -> float:
    """Return a positive duration of at most a day, in seconds."""
    if (number := pause(text)) > 0:
        return number
    raise InvalidValueError(shown(text), f"seconds, more than 0 and at most {_DAY:.0f}")


def pause(text: str) -> float:
    """Return a duration from 0 to a day, in seconds."""
    if DECIMAL.fullmatch(text) and 0 <= (number := float(text)) <= _DAY:
        return number
    raise InvalidValueError(shown(text), f"seconds, at most {_DAY:.0f}")


def listen_address(text: str) -> Address:
    """Return an address to listen on, the unspecified one included, without a zone."""
    if text.lower() == "localhost":
        raise InvalidValueError(shown(text), "an IPv4 or IPv6 address", meant="127.0.0.1", meant_for=text)
    return _address(text)


def not_a_name(text: str) -> str:
    """Return an addition to the phrase "an address" if ``text`` is the name of a host or device."""
    return ", not a name" if _NAME.fullmatch(text) else ""


def _address(text: str) -> Address:
    try:
        found = ip_address(text)
    except ValueError:
        raise InvalidValueError(shown(text), "an IPv4 or IPv6 address" + not_a_name(text)) from None
    if found.is_multicast or (isinstance(found, IPv6Address) and found.scope_id):
        raise InvalidValueError(shown(text), "an address of this host, without a zone")
    return found


def address(text: str) -> Address:
    """Return the address of one host, without a zone."""
    found = _address(text)
    if found.is_unspecified:
        raise InvalidValueError(shown(text), "the address of a host")
    return found


def choice(*words: str, synonyms: Mapping[str, str] = NO_SYNONYMS) -> Converter[str]:
    """Return a converter to one of ``words``; case counts.

    ``synonyms`` are refused with the word as a suggestion.
    """

    def convert(text: str) -> str:
        if text in words:
            return text
        least = _SIMILAR if len(text) <= _LONGEST_SHORT else _MORE_SIMILAR
        meant = nearest(text, words, synonyms, least)
        raise InvalidValueError(shown(text), f"one of {', '.join(words)}", meant=meant, meant_for=text)

    return convert


def member(enum: type[E]) -> Converter[E]:
    """Return a converter to a member of an enumeration, by its value."""
    convert = choice(*enum)
    return lambda text: enum(convert(text))


def nearest(text: str, words: Iterable[str], synonyms: Mapping[str, str] = NO_SYNONYMS, least: float = _SIMILAR) -> str:
    """Return the word that resembles ``text`` most, or has a synonym that does; empty if no word does.

    ``least`` is the least similarity, from 0 to 1.
    """
    asked, folded = _folded(text), {_folded(word): word for word in sorted(words, reverse=True)}
    if text.lower() in synonyms:
        return synonyms[text.lower()]
    if near := get_close_matches(asked, folded, 3, least):
        # The first of equally similar words: ipv4 before ipv6.
        return folded[min(near, key=lambda word: (-SequenceMatcher(None, word, asked).ratio(), word))]
    near = get_close_matches(asked, map(_folded, synonyms), 1, _MORE_SIMILAR)
    return next((meaning for word, meaning in synonyms.items() if _folded(word) == near[0]), "") if near else ""


def _folded(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-")


scheduler = choice(*SCHEDULERS, synonyms=SCHEDULER_NAMES)


def scheduler_flags(scheduler: str) -> Converter[tuple[str, ...]]:
    """Return a converter of lists of the flags of a scheduler."""
    allowed = SCHEDULER_FLAGS.get(scheduler, ())
    flag = choice(*allowed)

    def convert(text: str) -> tuple[str, ...]:
        found = words(text)
        if found and not allowed:
            raise InvalidValueError(shown(found[0]), f"no flag: the scheduler {scheduler} has none")
        return tuple(map(flag, found))

    return convert


def texts(text: str) -> tuple[str, ...]:
    """Return the texts of a list; a bare text is a list of one, the empty text an empty list."""
    if not is_literal(text):
        return (text,) if text else ()
    found = items(text)
    for item in found:
        if item.kind is not LiteralKind.TEXT:
            raise InvalidValueError(f"{shown(item.value)} without quotes", "texts in quotes")
    return tuple(item.value for item in found)


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list, or of a bare text with commas; empty for the empty text."""
    return tuple(word for part in texts(text) for word in part.replace(",", " ").split())


def each(convert: Converter[T]) -> Converter[tuple[T, ...]]:
    """Return a converter of lists of values, duplicates removed; the list may be empty."""
    return lambda text: tuple(dict.fromkeys(map(convert, texts(text))))


def some(convert: Converter[T], noun: str) -> Converter[tuple[T, ...]]:
    """Return a converter of lists with at least one value; ``noun`` names a value in refusals."""

    def some_of(text: str) -> tuple[T, ...]:
        if found := each(convert)(text):
            return found
        raise InvalidValueError(shown(text), f"{noun}, or a list of them")

    return some_of


def hostname(text: str) -> str:
    """Return a name for a DNS query, with or without a final dot."""
    labels = text.removesuffix(".").split(".")
    if len(text) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidValueError(shown(text), "a host name")
    return text


def optional_hostname(text: str) -> str:
    """Return a name for a DNS query, or the empty text, bare or quoted."""
    bare = optional_text(text)
    return hostname(bare) if bare else ""


def optional_text(text: str) -> str:
    """Return one text on one line, bare or quoted; it may be empty."""
    found = texts(text)
    if len(found) > 1 or not "".join(found).isprintable():
        raise InvalidValueError(shown(text), "one text")
    return "".join(found)


def octets(text: str) -> bytes:
    """Return the bytes of a text, bare or quoted, with its escapes resolved."""
    raw = text.encode().decode("latin-1")  # one character per byte, like an escape
    if not is_literal(raw):
        return unescaped(raw).encode("latin-1")
    found = items(raw)
    if len(found) == 1 and found[0].kind is LiteralKind.TEXT:
        return found[0].value.encode("latin-1")
    raise InvalidValueError(shown(text), "one text, preferably in quotes")


def initial_state(text: str) -> bool:
    """Return whether a new server counts as up."""
    return choice("up", "unknown")(text) == "up"


def socket_path(text: str) -> str:
    """Return the absolute path of a unix socket, or the empty text, bare or quoted."""
    bare = optional_text(text)
    if bare and not (bare.startswith("/") and len(bare.encode()) <= _LONGEST_SOCKET_PATH):
        raise InvalidValueError(shown(text), f"an absolute path of at most {_LONGEST_SOCKET_PATH} bytes")
    return bare
