"""Patterns with bounded time find the matches of Python's, in input split anywhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybal.config.expression import PatternError
from pybal.config.pattern import MOST_CHARACTERS, MOST_POSITIONS, Pattern

ATOMS = [
    "a",
    "b",
    "c",
    ".",
    r"\n",
    "\n",
    "[ab]",
    "[^a]",
    "[a-c]",
    r"\d",
    r"\W",
    r"\s",
    r"\.",
    "1",
    r"\x61",
    "{",
    "[]a]",
    "[a-]",
]
ATOM = st.sampled_from(ATOMS)
QUANTIFIER = st.sampled_from(["", "*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "{0}", "*?", "+?"])


def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(parts, min_size=1, max_size=3)
    return st.one_of(
        several.map("".join),
        st.tuples(several.map("|".join), QUANTIFIER).map(lambda both: f"({both[0]}){both[1]}"),
        st.tuples(ATOM, QUANTIFIER).map("".join),
    )


EXPRESSION = st.tuples(
    st.sampled_from(["", "", "^", "(?i)"]), st.recursive(ATOM, grown, max_leaves=8), st.sampled_from(["", "", "$"])
).map("".join)
BODY = st.lists(st.sampled_from([b"a", b"b", b"c", b"A", b"\n", b"1", b".", b"{", b"\xff", b" "]), max_size=12)


def found(text: str, pieces: list[bytes]) -> bool:
    search = Pattern(text).search()
    for piece in pieces:
        search.feed(piece)
    return search.end()


@given(EXPRESSION, BODY)
@example("^$", [])
@example("^$", [b"a"])
@example("a*$", [b"b"])
@example("a$", [b"a", b"\n"])
@example("a$", [b"a", b"\n", b"\n"])
@example("(a|b{2,3})+c", [b"b", b"b", b"c"])
@example("(?i)[^a]", [b"A"])
@example("", [])
@example("(|a)b", [b"b"])
@example("^(|||a{0}||){3}(()?)*b$", [b"b"])
@example(r"a\$$", [b"a$"])
def test_pattern_finds_the_matches_of_python(text: str, pieces: list[bytes]) -> None:
    assert found(text, pieces) == bool(re.search(text.encode(), b"".join(pieces)))


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("(a+)+$", b"a" * 50_000 + b"b"),
        ("(a|a)*b", b"a" * 50_000),
        ("(.*)(.*)(.*)(.*)x", b"a" * 50_000),
        ("(a?){100}a{100}b", b"a" * 50_000),
    ],
)
def test_pattern_takes_bounded_time_where_python_hangs(text: str, body: bytes) -> None:
    assert not found(text, [body])


@given(st.text(alphabet=st.sampled_from("ab.*+?()[]{}|^$\\-,12x:i<=!#\n\u00e9"), max_size=12))
def test_pattern_accepts_or_refuses_any_text(text: str) -> None:
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    pattern.search().feed(b"ab12")
    re.compile(text.encode())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a++", "a possessive quantifier"),
        ("a*+b", "a possessive quantifier"),
        ("(?>a)", "(?>: no groups but ( ) and (?: )"),
        ("(?=a)", "(?=: no groups but ( ) and (?: )"),
        (r"(a)\1", r"\1"),
        (r"\bok", r"\b"),
        ("(a", "an unmatched ("),
        ("a)", "an unmatched )"),
        ("[a", "an incomplete expression"),
        ("a\\", "an incomplete expression"),
        ("*a", "a * without an operand"),
        ("a**", "a quantifier after a quantifier"),
        ("a{3,2}", "{3,2} with a maximum below the minimum"),
        ("[b-a]", "an invalid range in [ ]"),
        ("a^b", "^ in the middle"),
        ("^a|b", "^ or $ next to a | without parentheses"),
        ("\u00e9", "'\u00e9': write bytes beyond ASCII as \\xff"),
        (r"\xg0", r"\x without two hexadecimal digits"),
        ("((a{100}){100}){100}", f"more than {MOST_POSITIONS} characters, repeated ones counted"),
        ("(" * 60, "too many parentheses"),
        ("a" * (MOST_CHARACTERS + 1), f"more than {MOST_CHARACTERS} characters"),
    ],
)
def test_pattern_error_names_the_reason(text: str, wrong: str) -> None:
    with pytest.raises(PatternError) as refused:
        Pattern(text)
    assert str(refused.value) == wrong


def test_patterns_are_equal_if_their_texts_are() -> None:
    assert Pattern("ok") == Pattern("ok") != Pattern("no")
    assert len({Pattern("ok"), Pattern("ok")}) == 1
    assert repr(Pattern("ok")) == "Pattern('ok')"
