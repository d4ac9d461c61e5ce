"""Sections that are neither a service nor of another kind: probably a misspelt name."""

from __future__ import annotations

import re

from pybal.config.convert import nearest
from pybal.config.general import GLOBAL_OPTIONS
from pybal.config.options import Options
from pybal.config.peers import PEER_OPTIONS
from pybal.config.services import REQUIRED

_KINDS = {
    "bgp": "bgp", "peer": "bgp", "router": "bgp", "neighbor": "bgp", "neighbour": "bgp",
    "etcd": "etcd", "http": "http", "https": "http", "k8s": "k8s", "kubernetes": "k8s",
}  # fmt: skip
_PARTS = re.compile(r"\s*([A-Za-z0-9]+)[^A-Za-z0-9]*(.*)")


def refuse_section(options: Options) -> None:
    """Add the problem of a section without any of the required options of a service."""
    found = f"no option of a service ({', '.join(REQUIRED)})"
    kinds = "[global], [DEFAULT], [bgp NAME], [etcd NAME], [http NAME] or [k8s NAME]"
    options.refuse("", found, f"a service, {kinds}", _meant(options))


def _meant(options: Options) -> str:
    first, rest = parts.groups() if (parts := _PARTS.fullmatch(options.name)) else ("", "")
    if kind := _KINDS.get(first.lower(), ""):
        return f"[{kind} {rest or 'NAME'}]"
    if name := nearest(options.name.strip(), ("global", "DEFAULT")):
        return f"[{name}]"
    if options.sets_only(PEER_OPTIONS):
        return f"[bgp {options.name.strip()}]"
    return "[global]" if options.sets_only(GLOBAL_OPTIONS) else ""
