"""Large JSON documents in small pieces, byte for byte as ``json.dumps`` writes them. Pure.

A view marks its large parts: :class:`Members` is an object and :class:`Elements` an array whose values are computed one after
the other, while the text is made. A view that takes long to find the next value yields :data:`PAUSE` between its steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

JSON = str | int | float | bool | None | list["JSON"] | dict[str, "JSON"]

_BATCH = 20
"""Values of a large part in one piece."""


class Pause(Enum):
    """The type of :data:`PAUSE`."""

    PAUSE = 0


PAUSE = Pause.PAUSE
"""Ends a piece; not part of the document."""


@dataclass(frozen=True, slots=True)
class Members:
    """An object with many members, computed during the iteration, which happens once."""

    items: Iterable[tuple[str, LargeJSON] | Pause]


@dataclass(frozen=True, slots=True)
class Elements:
    """An array with many elements, computed during the iteration, which happens once."""

    items: Iterable[LargeJSON | Pause]


LargeJSON = JSON | Members | Elements | Mapping[str, "LargeJSON"]


def pieces(value: LargeJSON) -> Iterator[str]:
    """Yield the text of a document. Each piece takes little time to make; some are empty."""
    match value:
        case Members(items):
            named = (each if each is PAUSE else (f"{json.dumps(each[0])}: ", each[1]) for each in items)
            yield from _enclosed("{", named, "}")
        case Elements(items):
            yield from _enclosed("[", (each if each is PAUSE else ("", each) for each in items), "]")
        case dict() if _is_large(value):
            yield from pieces(Members(value.items()))
        case _:
            yield json.dumps(value)


def _is_large(value: LargeJSON) -> bool:
    return isinstance(value, Members | Elements) or (isinstance(value, dict) and any(map(_is_large, value.values())))


def _enclosed(opening: str, items: Iterable[tuple[str, LargeJSON] | Pause], closing: str) -> Iterator[str]:
    batch = [opening]
    separator = ""
    for each in items:
        if each is PAUSE or len(batch) >= _BATCH:
            yield "".join(batch)
            batch.clear()
        if each is not PAUSE:
            head, value = each
            batch.append(separator + head)
            separator = ", "
            for piece in pieces(value):
                batch.append(piece)
                if _is_large(value):
                    yield "".join(batch)
                    batch.clear()
    yield "".join(batch) + closing
