"""Text → value: what each kind of option may hold, and how a refusal is worded.

A converter takes the text of a value and returns what it means, or raises :class:`Unwanted`. All of them refuse the
empty text unless they say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import TypeVar

from pybal.config.errors import Unwanted, shown
from pybal.config.literals import LiteralKind, is_literal, items, unescaped
from pybal.config.settings import Limit, ServerField
from pybal.core.model import Address

T = TypeVar("T")
A = TypeVar("A", IPv4Address, IPv6Address)
Converter = Callable[[str], T]

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf")
SCHEDULER_FLAGS = {
    "sh": ("sh-port", "sh-fallback", "flag-1", "flag-2"),
    "mh": ("mh-port", "mh-fallback", "flag-1", "flag-2"),
}
"""The flags of each scheduler that has any, as ipvsadm names them."""

_TRUE = frozenset(("t", "true", "y", "yes", "on", "1"))
_FALSE = frozenset(("f", "false", "n", "no", "off", "0"))
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_URL = re.compile(r"(?=[!-~]+\Z)(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")
_SOURCES = {
    "file": "file:///path",
    "http": "http://host/path",
    "https": "https://host/path",
    "etcd": "etcd://host:port/path",
    "k8s": "k8s://token@host/?labelSelector=name=value",
    "dns+srv": "dns+srv://_service._protocol.domain",
}
_SRV = re.compile(r"_[A-Za-z0-9-]{1,62}\._[A-Za-z0-9-]{1,62}(?:\.[A-Za-z0-9_-]{1,63})+\.?")
_NODES = re.compile(r"/?(?:\?labelSelector=[^&#]+)?")
_HIGHEST_PORT = 65535
_LONGEST_NAME = 253
_LONGEST_LABEL = 63
_DAY = 86400.0
_WHOLE_PERCENT = 100
_MOST_SERVERS = 1_000_000


def boolean(text: str) -> bool:
    """Return what one of PyBal 1.15's words for yes and no means, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Unwanted(shown(text), "yes or no (t true y yes on 1, f false n no off 0)")


def integer(low: int, high: int, what: str = "a whole number") -> Converter[int]:
    """Return a converter to integers between ``low`` and ``high``, both included."""

    def convert(text: str) -> int:
        if _WHOLE.fullmatch(text) and low <= (number := int(text)) <= high:
            return number
        raise Unwanted(shown(text), f"{what} from {low} to {high}")

    return convert


port = integer(1, _HIGHEST_PORT, "a port number")
port_or_services = integer(0, _HIGHEST_PORT, "a port number, or 0 for that of the service,")
asn = integer(1, 2**32 - 1, "an AS number")
unsigned = integer(0, 2**32 - 1)


def part(most: float) -> Converter[float]:
    """Return a converter to shares: numbers from 0 to ``most``."""

    def convert(text: str) -> float:
        if _DECIMAL.fullmatch(text) and 0 <= (number := float(text)) <= most:
            return number
        raise Unwanted(shown(text), f"a number from 0 to {most:g}")

    return convert


share = part(1)


def least(text: str) -> Limit | None:
    """Return a number of servers or a share of them in per cent, ``None`` for ``off``."""
    number = text.removesuffix("%").rstrip()
    if text == "off":
        return None
    if text.endswith("%") and _DECIMAL.fullmatch(number) and 0 < float(number) <= _WHOLE_PERCENT:
        return Limit(percent=float(number))
    if _WHOLE.fullmatch(text) and 0 < int(text) <= _MOST_SERVERS:
        return Limit(int(text))
    raise Unwanted(shown(text), "a number of servers from 1, a share of them up to 100%, or off")


def seconds(text: str) -> float:
    """Return a duration of more than nothing and at most a day, in seconds."""
    if (number := pause(text)) > 0:
        return number
    raise Unwanted(shown(text), f"seconds, more than 0 and at most {_DAY:.0f}")


def pause(text: str) -> float:
    """Return a duration of at most a day, in seconds."""
    if _DECIMAL.fullmatch(text) and 0 <= (number := float(text)) <= _DAY:
        return number
    raise Unwanted(shown(text), f"seconds, at most {_DAY:.0f}")


def listen_address(text: str) -> Address:
    """Return an address to listen on, perhaps the unspecified one, without a zone."""
    try:
        found = ip_address(text)
    except ValueError:
        raise Unwanted(shown(text), "an IPv4 or IPv6 address") from None
    if found.is_multicast or (isinstance(found, IPv6Address) and found.scope_id):
        raise Unwanted(shown(text), "an address of this host, without a zone")
    return found


def address(text: str) -> Address:
    """Return an address that one host can have, without a zone."""
    found = listen_address(text)
    if found.is_unspecified:
        raise Unwanted(shown(text), "the address of a host")
    return found


def nexthop_ipv4(text: str) -> IPv4Address | None:
    """Return an IPv4 address, or ``None`` for the empty text."""
    return _of_family(text, IPv4Address) if text else None


def nexthop_ipv6(text: str) -> IPv6Address | None:
    """Return an IPv6 address, or ``None`` for the empty text."""
    return _of_family(text, IPv6Address) if text else None


def choice(*words: str) -> Converter[str]:
    """Return a converter to one of ``words``, exactly as they are written."""

    def convert(text: str) -> str:
        if text in words:
            return text
        raise Unwanted(shown(text), one_of(text, words))

    return convert


def one_of(text: str, words: Iterable[str]) -> str:
    """Say what was wanted in place of ``text``: all of ``words``, and which one was probably meant."""
    words = tuple(words)
    near = nearest(text, words)
    return f"one of {', '.join(words)}" + (f"; perhaps {near}" if near else "")


def nearest(text: str, words: Iterable[str]) -> str:
    """Return the word that was probably meant, empty if none is near."""
    folded = {word.lower().replace("_", "-"): word for word in sorted(words, reverse=True)}
    near = get_close_matches(text.lower().replace("_", "-"), folded, 1)
    return folded[near[0]] if near else ""


def texts(text: str) -> tuple[str, ...]:
    """Return the texts of a list; a bare text is a list of one, the empty one a list of none."""
    if not is_literal(text):
        return (text,) if text else ()
    found = items(text)
    for item in found:
        if item.kind is not LiteralKind.TEXT:
            raise Unwanted(f"{shown(item.value)} without quotes", "texts in quotes")
    return tuple(item.value for item in found)


def words(text: str) -> tuple[str, ...]:
    """Return the texts of a list, or of a bare text with commas between; none for the empty text."""
    return tuple(word for part in texts(text) for word in part.replace(",", " ").split())


def each(convert: Converter[T]) -> Converter[tuple[T, ...]]:
    """Return a converter of lists, perhaps empty ones, of what ``convert`` returns, each value once."""
    return lambda text: tuple(dict.fromkeys(map(convert, texts(text))))


def some(convert: Converter[T], what: str) -> Converter[tuple[T, ...]]:
    """Like :func:`each`, for lists of one or more; ``what`` is how the value is called when there is none."""

    def some_of(text: str) -> tuple[T, ...]:
        if found := each(convert)(text):
            return found
        raise Unwanted(shown(text), f"{what}, or a list of them")

    return some_of


def local_addresses(text: str) -> tuple[Address, ...]:
    """Return a list of addresses; empty texts in it, which stood for every address in PyBal 1.15, are left out."""
    return tuple(dict.fromkeys(address(item) for item in texts(text) if item))


def as_path(text: str) -> tuple[int, ...]:
    """Return AS numbers with blanks between, none for the empty text."""
    try:
        return tuple(map(asn, text.split()))
    except Unwanted as error:
        raise Unwanted(error.found, "AS numbers from 1 to 4294967295, with blanks between") from None


def hostname(text: str) -> str:
    """Return a name that can be asked of DNS, with or without a last dot."""
    labels = text.removesuffix(".").split(".")
    if len(text) > _LONGEST_NAME or not all(re.fullmatch(r"[!-~]+", x) and len(x) <= _LONGEST_LABEL for x in labels):
        raise Unwanted(shown(text), "a host name")
    return text


def check_url(text: str) -> str:
    """Return a URL that a server can be checked with, unchanged: http or https, with a host, without credentials."""
    wanted = "a URL http://host/path or https://host/path"
    match = _URL.fullmatch(text)
    if not match or match["scheme"].lower() not in ("http", "https"):
        raise Unwanted(shown(text), wanted)
    if "@" in match["authority"]:
        raise Unwanted(shown(text), f"{wanted}, without user and password")
    if not _is_authority(match["authority"]):
        raise Unwanted(shown(text), f"{wanted}, with a host and perhaps a port from 1 to {_HIGHEST_PORT}")
    return text


def source_url(text: str) -> str:
    """Return the URL of a pool source, unchanged. What is after host and port is its source's to understand."""
    if text.startswith("file://") and text.strip("/") != "file:" and text.isprintable():
        return text
    match = _URL.fullmatch(text)
    scheme = text.partition("://")[0].lower()
    wanted = _SOURCES.get(scheme, f"a URL: one of {', '.join(_SOURCES.values())}")
    if match and _is_source(scheme, match["authority"], match["rest"]):
        return text
    raise Unwanted(shown(text), wanted)


def _is_source(scheme: str, authority: str, rest: str) -> bool:
    credentials, _, hosts = authority.rpartition("@")
    match scheme:
        case "http" | "https":
            return _is_authority(hosts)
        case "etcd":
            return all(map(_is_authority, hosts.split(","))) and len(rest) > 1
        case "k8s":
            return bool(credentials) and _is_authority(hosts) and _NODES.fullmatch(rest) is not None
        case "dns+srv":
            return _SRV.fullmatch(authority) is not None and rest in ("", "/")
        case _:
            return False


def optional_hostname(text: str) -> str:
    """Return a name that can be asked of DNS, or the empty text, bare or in quotes."""
    bare = optional_text(text)
    return hostname(bare) if bare else ""


def optional_text(text: str) -> str:
    """Return one text on one line, bare or in quotes, perhaps an empty one."""
    found = texts(text)
    if len(found) > 1 or not "".join(found).isprintable():
        raise Unwanted(shown(text), "one text")
    return "".join(found)


def authority(text: str) -> str:
    """Return a host, by name or by address, and perhaps a port; or the empty text, bare or in quotes."""
    bare = optional_text(text)
    return endpoint(bare) if bare else ""


def endpoint(text: str) -> str:
    """Return a host, by name or by address, and perhaps a port."""
    if not _is_authority(text):
        raise Unwanted(shown(text), "a host, and perhaps a colon and a port")
    return text


def command(text: str) -> str:
    """Return the name of a program, bare or in quotes."""
    found = texts(text)
    if len(found) == 1 and found[0] and "\0" not in found[0]:
        return found[0]
    raise Unwanted(shown(text), "the path of one program; arguments have an option of their own")


def arguments(text: str) -> tuple[str | ServerField, ...]:
    """Return the arguments of a command; a fact about the server stands for itself. None for the empty text."""
    wanted = "a list of texts in quotes, numbers, server.host, server.ip and server.port"
    fields = {f"server.{field}": field for field in ServerField}
    found: list[str | ServerField] = []
    for item in items(text):
        if item.kind is LiteralKind.NAME:
            if item.value not in fields:
                raise Unwanted(shown(item.value), wanted)
            found.append(fields[item.value])
        elif "\0" in item.value:
            raise Unwanted(shown(item.value), "arguments without a NUL character")
        else:
            found.append(item.value)
    return tuple(found)


def octets(text: str) -> bytes:
    """Return the bytes of a text, in quotes or bare, with what its escapes stand for."""
    raw = text.encode().decode("latin-1")  # a character for each byte, as an escape is
    if not is_literal(raw):
        return unescaped(raw).encode("latin-1")
    found = items(raw)
    if len(found) == 1 and found[0].kind is LiteralKind.TEXT:
        return found[0].value.encode("latin-1")
    raise Unwanted(shown(text), "one text, best in quotes")


def _of_family(text: str, family: type[A]) -> A:
    try:
        found = address(text)
    except Unwanted:
        found = None
    if isinstance(found, family):
        return found
    raise Unwanted(shown(text), f"an IPv{'4' if family is IPv4Address else '6'} address") from None


def _is_authority(text: str) -> bool:
    """Tell whether a text is a host, by name or by address, and perhaps a port."""
    match = _AUTHORITY.fullmatch(text)
    if not match or (match[3] and not 0 < int(match[3]) <= _HIGHEST_PORT):
        return False
    try:
        return not match[1] or bool(IPv6Address(match[1]))
    except AddressValueError:
        return False
