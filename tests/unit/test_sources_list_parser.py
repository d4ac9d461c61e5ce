"""Long and hostile pool lists, parsed in turns of the loop whose CPU time is measured."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError
from pybal.sources.formats.text import Listing
from pybal.sources.list_parser import ListParser
from tests.harness.turning_clock import TurningClock

HOLD = 0.05
"""Longest CPU time of a turn, in seconds."""

JSON_KEYS = ",".join(f'"k{number}": 1' for number in range(290_000))
LONG_LISTS = {
    "pool": "".join(f"{{ 'host': 'web{n}.example.org', 'weight': 10, 'enabled': True }}\n" for n in range(10_000)),
    "pool.json": "{"
    + ",".join(f'"web{n}.example.org": {{"weight": 10, "enabled": true}}' for n in range(10_000))
    + "}",
    "pool.yaml": "".join(f"web{n}.example.org:\n  weight: 10\n  enabled: true\n" for n in range(10_000)),
}
HOSTILE_LISTS = [
    (
        "pool",
        "{%s}\n" % ("'a':1," * 690_000),
        "line 1: found 4140002 characters; expected { 'host': 'HOST', .* in at most 8192 characters",
    ),
    ("pool", "{'host': 'a' 'weight': 1}\n" * 39_000, "Did you mean: { 'host': 'a', 'weight': 1 }; and 38995 more"),
    ("pool", "{'host': 'a'}\n" * 100_000, "line 40001: more than 40000 entries"),
    ("pool.json", '{"h": {' + JSON_KEYS + "}}", "a value has more than 16384"),
    ("pool.json", '{"h": [%s0]}' % ("0," * 290_000), "a value has more than 16384"),
    ("pool.json", "[" * 4_000_000, "not JSON: maximum recursion depth exceeded"),
    ("pool.yaml", "".join(f"%TAG !{n:x}! a\n" for n in range(20_000)) + "---\na: {}\n", "more than 8 directives"),
    ("pool.yaml", "a: {}\n...\n" + "%TAG !x! a\n" * 20_000 + "---\na: {}\n", "more than 8 directives"),
    ("pool.yaml", "a: [%s]\n" % ("x, " * 210_000), "line 1: more than 1000 values of one host"),
    ("pool.yaml", "a: %s\n" % ("x " * 320_000), "line 1: host 'a': wanted"),
    ("pool.yaml", "a: >\n x\n" + "\n" * 640_000 + " x\n", "line 1: host 'a': wanted"),
    ("pool.yaml", "#" * (640 * 2**10 + 1), "655361 bytes, wanted at most 655360 in YAML"),
]


def outcome(done: Deferred[Listing]) -> list[object]:
    found: list[object] = []
    done.addBoth(found.append)
    return found


def start(parser: ListParser, name: str, data: bytes) -> Deferred[Listing]:
    return Deferred.fromCoroutine(parser.parse(data, name, None))


def parsed(name: str, data: bytes) -> tuple[object, int]:
    """Parse a list; return the result and the number of turns.

    Other load makes a turn cost more, but not three times in a row.
    """
    for attempt in range(3):
        clock = TurningClock()
        found = outcome(start(ListParser(Turns(clock)), name, data))
        turns = clock.settle()
        if clock.longest < HOLD:
            return found[0], turns
        assert attempt < 2, f"the loop was held for {clock.longest:.3f} s"
    raise AssertionError


@pytest.mark.parametrize("name", LONG_LISTS)
def test_list_of_10000_hosts_does_not_hold_the_loop(name: str) -> None:
    found, turns = parsed(name, LONG_LISTS[name].encode())
    assert isinstance(found, Listing)
    assert len(found.members) == 10_000
    assert turns > 5


@pytest.mark.parametrize(("name", "text", "reason"), HOSTILE_LISTS, ids=range(len(HOSTILE_LISTS)))
def test_hostile_list_is_refused_without_holding_the_loop(name: str, text: str, reason: str) -> None:
    found, _ = parsed(name, text.encode())
    with pytest.raises(SourceError, match=reason):
        raise found.value  # type: ignore[attr-defined]


def refuse(parser: ListParser, clock: TurningClock) -> int:
    """Have an invalid list parsed; return the number of turns."""
    found = outcome(start(parser, "pool.json", b"[]"))
    turns = clock.settle()
    assert "wanted an object" in str(found[0].value)  # type: ignore[attr-defined]
    return turns


def test_refused_list_is_parsed_once() -> None:
    clock = TurningClock()
    parser = ListParser(Turns(clock))
    assert refuse(parser, clock) > 0
    assert refuse(parser, clock) == 0


def test_refused_list_is_parsed_again_after_another_one() -> None:
    clock = TurningClock()
    parser = ListParser(Turns(clock))
    refuse(parser, clock)
    start(parser, "pool.json", b'{"a": {}}')
    clock.settle()
    assert refuse(parser, clock) > 0


def test_many_unknown_keys_are_refused_before_they_are_compared() -> None:
    clock = TurningClock()
    keys = "".join(f'"h{n}": {{"{n:x}": 1}},' for n in range(5000))
    found = outcome(start(ListParser(Turns(clock)), "pool.json", f'{{{keys}"z": {{}}}}'.encode()))
    clock.settle()
    assert isinstance(found[0], Listing)
    assert found[0].problems[0] == "key '64': more than 100 different unknown keys in the list"
