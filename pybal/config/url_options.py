"""Converters from text to value for URLs and for hosts with a port."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from pybal.config.convert import HIGHEST_PORT, optional_text
from pybal.config.errors import InvalidValueError, shown

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


def check_url(text: str) -> str:
    """Return the URL of a check, unchanged: http or https, with a host, without credentials."""
    wanted = "a URL http://host/path or https://host/path"
    match = _URL.fullmatch(text)
    if not match or match["scheme"].lower() not in ("http", "https"):
        raise InvalidValueError(shown(text), wanted)
    if "@" in match["authority"]:
        raise InvalidValueError(shown(text), f"{wanted}, without user and password")
    if not _is_authority(match["authority"]):
        raise InvalidValueError(shown(text), f"{wanted}, with a host and optionally a port from 1 to {HIGHEST_PORT}")
    return text


def source_url(text: str) -> str:
    """Return the URL of a pool source, unchanged; its source parses the part after host and port."""
    if text.startswith("file://") and text.strip("/") != "file:" and text.isprintable():
        return text
    match = _URL.fullmatch(text)
    scheme = text.partition("://")[0].lower()
    wanted = _SOURCES.get(scheme, f"a URL: one of {', '.join(_SOURCES.values())}")
    if match and _is_source(scheme, match["authority"], match["rest"]):
        return text
    raise InvalidValueError(shown(text), wanted)


def has_credentials(url: str) -> bool:
    """Return whether the URL of a pool source holds a password or a token."""
    match = _URL.fullmatch(url)
    return match is not None and "@" in match["authority"]


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


def authority(text: str) -> str:
    """Return a host, by name or address, with an optional port; or the empty text, bare or quoted."""
    bare = optional_text(text)
    return endpoint(bare) if bare else ""


def endpoint(text: str) -> str:
    """Return a host, by name or address, with an optional port."""
    if not _is_authority(text):
        raise InvalidValueError(shown(text), "HOST or HOST:PORT")
    return text


def _is_authority(text: str) -> bool:
    """Return whether a text is a host, by name or address, with an optional port."""
    match = _AUTHORITY.fullmatch(text)
    if not match or (match[3] and not 0 < int(match[3]) <= HIGHEST_PORT):
        return False
    try:
        return not match[1] or bool(IPv6Address(match[1]))
    except AddressValueError:
        return False
