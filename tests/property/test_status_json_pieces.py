"""JSON in pieces is byte for byte the JSON of ``json.dumps``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from pybal.status.json_pieces import JSON, PAUSE, Elements, LargeJSON, Members, Pause, pieces

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner, max_size=30),
    max_leaves=60,
)


def large(value: JSON) -> LargeJSON:
    """Return the same document with every array and object marked as large, and pauses."""

    def members(items: dict[str, JSON]) -> Iterator[tuple[str, LargeJSON] | Pause]:
        for name, each in items.items():
            yield PAUSE
            yield name, large(each)

    def elements(items: list[JSON]) -> Iterator[LargeJSON | Pause]:
        for each in items:
            yield large(each)
            yield PAUSE

    if isinstance(value, dict):
        return Members(members(value))
    return Elements(elements(value)) if isinstance(value, list) else value


@given(documents)
def test_pieces_of_a_large_document_are_its_json(document: JSON) -> None:
    assert "".join(pieces(large(document))) == json.dumps(document)


@given(documents)
def test_pieces_of_a_plain_document_are_its_json(document: JSON) -> None:
    assert "".join(pieces(document)) == json.dumps(document)


def test_large_array_has_several_pieces() -> None:
    assert len(list(pieces(Elements(range(100))))) >= 5


def test_large_array_within_small_objects_has_several_pieces() -> None:
    assert len(list(pieces({"plan": {"steps": Elements(range(100))}}))) >= 5
