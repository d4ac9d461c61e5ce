"""Lines come out of a stream the same in whatever pieces it comes."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.runtime.lines import Lines
from pybal.sources.base import SourceError, Trouble

PIECES = st.lists(st.text("ab\n ", max_size=5).map(str.encode), max_size=8)


@given(PIECES)
def test_lines_are_those_of_the_whole(pieces: list[bytes]) -> None:
    lines = Lines(100)
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found == [line for line in b"".join(pieces).split(b"\n")[:-1] if line.strip()]


@given(PIECES, st.integers(0, 6))
def test_what_is_longer_than_the_longest_is_refused_complete_or_not(pieces: list[bytes], longest: int) -> None:
    lines = Lines(longest)
    too_long = any(len(line) > longest for line in b"".join(pieces).split(b"\n"))
    with pytest.raises(SourceError) if too_long else nullcontext() as caught:
        for piece in pieces:
            list(lines.feed(piece))
    if caught:
        assert str(caught.value) == f"a message of more than {longest} bytes"
        assert caught.value.trouble is Trouble.MALFORMED


def test_a_line_is_given_before_the_next_is_refused() -> None:
    fed = Lines(3).feed(b"abc\nabcd\n")
    assert next(fed) == b"abc"
    with pytest.raises(SourceError):
        next(fed)
