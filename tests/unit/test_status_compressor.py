"""Compressed bodies, of which the next one reuses the pieces that are the same."""

from __future__ import annotations

import gzip
import random

from hypothesis import given
from hypothesis import strategies as st

from pybal.status import renderings
from pybal.status.renderings import Compressor


def compressed(compressor: Compressor, *pieces: bytes) -> bytes:
    return b"".join(compressor.compressed(iter(pieces)))


@given(
    st.lists(st.lists(st.binary(max_size=40) | st.sampled_from([b"a" * 100_000, b"b", b""]), max_size=6), max_size=4)
)
def test_each_body_decompresses_to_its_pieces(bodies: list[list[bytes]]) -> None:
    compressor = Compressor()
    for pieces in bodies:
        assert gzip.decompress(compressed(compressor, *pieces)) == b"".join(pieces)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"a" * 100_000, b""]), max_size=6))
def test_whole_body_decompresses_to_its_pieces(pieces: list[bytes]) -> None:
    assert gzip.decompress(b"".join(renderings.compressed(iter(pieces)))) == b"".join(pieces)


def test_piece_of_the_last_body_is_kept_compressed() -> None:
    compressor = Compressor()
    kept, new = (random.Random(seed).randbytes(1000) for seed in (1, 2))
    first = list(compressor.compressed(iter((kept, b"gone"))))
    second = list(compressor.compressed(iter((new, kept))))
    assert any(piece is first[1] for piece in second)
    assert not any(piece is first[2] for piece in second)
    compressed(compressor, new)
    assert not any(piece is first[1] for piece in compressor.compressed(iter((kept,))))


def test_body_that_is_not_finished_leaves_the_kept_pieces() -> None:
    compressor = Compressor()
    first = list(compressor.compressed(iter((b"a", b"b"))))
    unfinished = compressor.compressed(iter((b"c", b"d")))
    next(unfinished)
    next(unfinished)
    again = list(compressor.compressed(iter((b"a", b"b"))))
    assert again[1] is first[1]
    assert again[2] is first[2]
