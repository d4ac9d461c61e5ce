"""A fuzz target: a function that takes any bytes and fails if a parser breaks its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

T = TypeVar("T")

SMALL = 1024
"""Default of the longest input, in bytes. Limits of size are the subject of test_limits.py."""


@dataclass(frozen=True)
class Target:
    """A target, the modules of ``pybal`` whose parsers it runs, and inputs to begin with."""

    name: str
    run: Callable[[bytes], None]
    parses: tuple[str, ...]
    seeds: tuple[bytes, ...]
    longest: int = SMALL
    words: tuple[str, ...] = field(default=(), repr=False)
    """Words of the grammar that are not literals of these modules."""


def target(
    *parses: str, seeds: Sequence[bytes], longest: int = SMALL, words: Iterable[str] = ()
) -> Callable[[Callable[[bytes], None]], Target]:
    """Make a target of a function; its name is that of the function."""

    def made(function: Callable[[bytes], None]) -> Target:
        return Target(function.__name__, function, parses, tuple(seeds), longest, tuple(words))

    return made


class Fuzzed:
    """Choices from the end of the data, and the ``rest`` as the text to parse.

    It needs no atheris, so an input means the same to pytest. Absent bytes are zeros.
    """

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def number(self, below: int = 256) -> int:
        """Return a number of one byte, or two above 256."""
        size = 1 if below <= 1 << 8 else 2
        taken, self.rest = self.rest[-size:], self.rest[:-size]
        return int.from_bytes(taken, "big") % below

    def pick(self, options: Sequence[T]) -> T:
        """Return one of some options."""
        return options[self.number(len(options))]

    def flag(self) -> bool:
        """Return true or false."""
        return bool(self.number(2))

    def part(self) -> bytes:
        """Take a part of at most 255 bytes from the end of the rest."""
        size = self.number()
        if not size:
            return b""
        taken, self.rest = self.rest[-size:], self.rest[:-size]
        return taken

    def pieces(self) -> list[bytes]:
        """Return the rest, cut into pieces by one byte: single bytes if it is 0, else random sizes."""
        seed = self.number()
        data, self.rest = self.rest, b""
        if not seed:
            return [data[at : at + 1] for at in range(len(data))]
        random, at, found = Random(seed), 0, []
        while at < len(data):
            size = random.choice((1, 2, 3, 7, 40, len(data)))  # of this Random
            found.append(data[at : at + size])
            at += size
        return found


def choices(payload: bytes, *numbers: int) -> bytes:
    """Return the input whose rest is ``payload`` after these choices of one byte each."""
    return payload + bytes(reversed(numbers))


def is_line(text: str, most: int = 600) -> None:
    """Fail unless a text is one printable line of at most ``most`` characters, and not empty."""
    assert 0 < len(text) <= most, f"{len(text)} characters"
    assert text.isprintable(), ascii(text)
