"""A line splitter yields the same lines regardless of how the stream is cut."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.runtime.lines import LineSplitter, LineTooLong

PIECES = st.lists(st.text("ab\n ", max_size=5).map(str.encode), max_size=8)


@given(PIECES)
def test_splitter_yields_the_lines_of_the_whole_stream(pieces: list[bytes]) -> None:
    splitter = LineSplitter(100)
    found = [line for piece in pieces for line in splitter.feed(piece)]
    assert found == [line for line in b"".join(pieces).split(b"\n")[:-1] if line.strip()]


@given(PIECES, st.integers(0, 6))
def test_splitter_refuses_a_line_over_the_limit_complete_or_not(pieces: list[bytes], longest: int) -> None:
    splitter = LineSplitter(longest)
    too_long = any(len(line) > longest for line in b"".join(pieces).split(b"\n"))
    with pytest.raises(LineTooLong) if too_long else nullcontext() as caught:
        for piece in pieces:
            list(splitter.feed(piece))
    if caught:
        assert str(caught.value) == f"a message of more than {longest} bytes"


def test_splitter_yields_a_line_before_it_refuses_the_next() -> None:
    fed = LineSplitter(3).feed(b"abc\nabcd\n")
    assert next(fed) == b"abc"
    with pytest.raises(LineTooLong):
        next(fed)


@given(PIECES, st.integers(1, 6))
def test_splitter_truncates_lines_the_same_in_any_pieces(pieces: list[bytes], longest: int) -> None:
    stream = b"".join(pieces) + b"\n"
    splitter = LineSplitter(longest, truncate=True)
    found = [line for piece in [*pieces, b"\n"] for line in splitter.feed(piece)]
    assert found == list(LineSplitter(longest, truncate=True).feed(stream))


def test_splitter_yields_a_truncated_line_once_and_the_next_whole() -> None:
    splitter = LineSplitter(4, truncate=True)
    assert list(splitter.feed(b"abcdefgh")) == [b"abcd"]
    assert list(splitter.feed(b"ij\nxy\n")) == [b"xy"]
    assert list(splitter.feed(b"abcdef\nxy\n")) == [b"abcd", b"xy"]
