"""Corrections of invalid lines of a pool file: the lines that operators probably meant. Pure."""

from __future__ import annotations

import re

from pybal.sources.formats.entry import HIGHEST_WEIGHT, is_host

_LONGEST = 300
_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f`", "'"))
_FIELD = re.compile(
    r"""['"]?(host|weight|enabled)['"]?\s*[:=]\s*(?:'([^']*)'|"([^"]*)"|([^\s,;}'"]+))""", re.IGNORECASE
)
_BARE = re.compile(r"-?\s*['\"]?([A-Za-z0-9-]+(?:[.:][A-Za-z0-9-]*)+)['\"]?(?:[\s,;]+([0-9]+))?")
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), "True") | dict.fromkeys(("false", "no", "off", "0"), "False")


def corrected(line: str) -> str:
    """Return the valid line that a line without comment resembles; empty if its fields are unclear."""
    if len(line) > _LONGEST:
        return ""
    line = line.translate(_QUOTES)
    if bare := _BARE.fullmatch(line):
        pairs = [("host", bare[1]), *([("weight", bare[2])] if bare[2] else [])]
    else:
        pairs = [(name.lower(), one or other or bare) for name, one, other, bare in _FIELD.findall(line)]
    fields = dict(pairs)
    if len(fields) != len(pairs) or not is_host(fields.get("host")):
        return ""
    written = [f"'host': '{fields['host']}'"]
    if "weight" in fields:
        if not re.fullmatch("0|[1-9][0-9]{0,9}", fields["weight"]) or int(fields["weight"]) > HIGHEST_WEIGHT:
            return ""
        written.append(f"'weight': {int(fields['weight'])}")
    if "enabled" in fields:
        if fields["enabled"].lower() not in _BOOLEANS:
            return ""
        written.append(f"'enabled': {_BOOLEANS[fields['enabled'].lower()]}")
    return "{ " + ", ".join(written) + " }"
