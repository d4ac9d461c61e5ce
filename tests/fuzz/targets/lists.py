"""Lists of servers: lines, JSON, YAML, and lines that operators probably meant."""

from __future__ import annotations

import json
from typing import Any

import yaml

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats.bounded_json import load
from pybal.sources.formats.correction import corrected
from pybal.sources.formats.entry import HIGHEST_WEIGHT, is_host
from pybal.sources.formats.text import Format, Listing, parse
from tests.fuzz.target import Fuzzed, choices, is_line, target

LAST = (Member("a", 7), Member("b", 8, enabled=False))
WORDS = (
    "'host'",
    "'weight'",
    "'enabled'",
    "True",
    "False",
    "None",
    ": ",
    ", ",
    "{ ",
    " }",
    "\n",
    "u'",
    '"host"',
    "true",
)


def is_sound(listing: Listing) -> None:
    """Fail unless the members are valid and different, and each problem is a line."""
    hosts = [member.host for member in listing.members]
    assert len(set(hosts)) == len(hosts)
    for member in listing.members:
        assert is_host(member.host)
        assert type(member.weight) is int
        assert 0 <= member.weight <= HIGHEST_WEIGHT
        assert type(member.enabled) is bool
    for problem in listing.problems:
        is_line(problem, 700)


def parsed(data: bytes, form: Format, last: tuple[Member, ...] | None) -> Listing | None:
    """Return the list, ``None`` if it is refused in one line."""
    try:
        found = parse(data, "pool", last, form)
    except SourceError as error:
        is_line(str(error), 6000)
        return None
    is_sound(found)
    return found


def rendered(members: tuple[Member, ...], form: Format) -> bytes:
    if form is Format.LINES:
        return "".join(
            f"{{'host': '{m.host}', 'weight': {m.weight}, 'enabled': {m.enabled}}}\n" for m in members
        ).encode()
    document = {m.host: {"weight": m.weight, "enabled": m.enabled} for m in members}
    return json.dumps(document).encode() if form is Format.JSON else yaml.safe_dump(document, sort_keys=False).encode()


def survives(data: bytes, form: Format) -> Listing | None:
    """Parse a list; its members written in any format are the same list."""
    fuzzed = Fuzzed(data)
    last = LAST if fuzzed.flag() else None
    found = parsed(fuzzed.rest, form, last)
    if found is not None:
        for each in Format:
            assert parse(rendered(found.members, each), "again", last, each) == Listing(found.members)
    return found


@target(
    "pybal.sources.formats.text",
    "pybal.sources.formats.entry",
    seeds=[
        choices(b"# a\n{ 'host': 'a', 'weight': 10, 'enabled': True } # b\n{\"host\": u'b', }\n", 0),
        choices(b"{'host': 'c', 'weight': 1.5, 'x': None, 'y': -3}\n{'host': 'a', 'host': 'b'}\n{'wieght': 1, 'host': 'd'}", 1),
        choices(b"\xef\xbb\xbf{}\nhost: a\n", 1),
    ],
    words=WORDS,
)  # fmt: skip
def list_of_lines(data: bytes) -> None:
    """Lines are a valid list or refused; a line means the same among others."""
    found = survives(data, Format.LINES)
    text = Fuzzed(data)
    text.flag()
    lines = text.rest.split(b"\n")
    if found is not None and not found.problems and len(lines) > 1 and not text.rest.startswith(b"\xef\xbb\xbf"):
        alone = [parse(line + b"\n", "line", None, Format.LINES).members for line in lines]
        assert sum(alone, ()) == found.members


@target(
    "pybal.sources.formats.text",
    "pybal.sources.formats.entry",
    seeds=[
        choices(b'{"a": {"weight": 10, "enabled": true}, "b": {}}', 0),
        choices(b'{"a": {"weight": 1, "weight": 2}, "c": [], "d": {"enabled": 0, "x": {"y": [1e3, null]}}, "a": {}}', 1),
        choices(b'[{"host": "a"}]', 1),
    ],
    words=WORDS,
)  # fmt: skip
def list_in_json(data: bytes) -> None:
    """A list is an object for Python's parser too, with the same hosts."""
    found = survives(data, Format.JSON)
    if found is None:
        return
    fuzzed = Fuzzed(data)
    last = {member.host for member in LAST} if fuzzed.flag() else set()
    document: Any = json.loads(fuzzed.rest.decode("utf-8-sig"), object_pairs_hook=lambda pairs: pairs)
    assert isinstance(document, list)
    hosts = [host for host, _ in document]
    assert {member.host for member in found.members} <= set(hosts) | last
    if not found.problems:
        assert [member.host for member in found.members] == hosts


@target(
    "pybal.sources.formats.yaml",
    "pybal.sources.formats.entry",
    seeds=[
        choices(b"a: {weight: 10, enabled: true}\nb:\n  weight: 3\n", 0),
        choices(b"- host: a\n  weight: 010\n- host: b\n  enabled: no\n- &x {host: c}\n- *x\n", 1),
        choices(b"%YAML 1.1\n---\n!!map\na: {<<: 1}\n...\n--- b\n", 1),
        choices(b"a: !!int 3\n'b': \"x\\n\"\n? [c]\n: |\n  x\n\ty", 0),
    ],
    words=("- host: ", "weight: ", "enabled: ", "---\n", "...", "&a ", "*a", "<<", "!!", "|\n", ">\n", "? ", ": ", "%YAML", "\n  "),
)  # fmt: skip
def list_in_yaml(data: bytes) -> None:
    """A list without problems has the hosts that PyYAML constructs."""
    found = survives(data, Format.YAML)
    if found is None or found.problems:
        return
    fuzzed = Fuzzed(data)
    fuzzed.flag()
    document: Any = yaml.load(fuzzed.rest.decode("utf-8-sig"), yaml.CBaseLoader)  # texts only
    names = list(document) if isinstance(document, dict) else [each["host"] for each in document]
    assert [member.host for member in found.members] == names


@target(
    "pybal.sources.formats.correction",
    seeds=[
        b"host: a, weight: 10, enabled=yes",
        b"- a.example 10",
        b"{'host': \xe2\x80\x98a\xe2\x80\x99; 'weight': '3'}",
        b"a:b;1",
    ],
    words=WORDS,
)
def list_correction(data: bytes) -> None:
    """A suggested line is a valid line with one member."""
    line = corrected(data.decode("utf-8", "replace"))
    if line:
        found = parse(f"{line}\n".encode(), "pool", None, Format.LINES)
        assert len(found.members) == 1
        assert not found.problems
        assert corrected(line) == line


@target(
    "pybal.sources.formats.bounded_json",
    seeds=[
        b'{"a": [1, 2.5, -3e4, "x", null, true], "b": 99999999999999999999}',
        b"NaN",
        '{"\u00e9": 1}'.encode("utf-16"),
    ],
)
def bounded_json(data: bytes) -> None:
    """A value is Python's, but for integers of many digits; anything else raises ValueError."""
    try:
        found = load(data)
    except (ValueError, RecursionError):
        return
    assert repr(found) == repr(json.loads(data, parse_int=lambda text: int(text) if len(text) < 19 else float(text)))
