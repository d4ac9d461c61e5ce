"""Every kept input passes, and so do random changes of them, without atheris."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from tests.fuzz.all_targets import all_targets
from tests.fuzz.corpus import kept
from tests.fuzz.target import Target

TARGETS = all_targets()
CHANGED = 60
"""Changed inputs of each target: a second or less."""
_MOST_CHANGES = 4


def changed(random: Random, data: bytes, others: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return an input with a few bytes replaced, removed, repeated, or taken from other inputs."""
    for _ in range(random.randint(1, _MOST_CHANGES)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.randint(0, 8))
        other = others[random.randrange(len(others))]
        at = random.randint(0, len(other))
        piece = (
            random.randbytes(1),
            b"",
            data[start:end] * 3,
            other[at : at + random.randint(1, 40)],
            words[random.randrange(len(words))],
        )[random.randrange(5)]
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_kept_inputs_pass(target: Target) -> None:
    for data in kept(target):
        target.run(data)
    target.run(b"")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_changed_inputs_pass(target: Target) -> None:
    random, inputs = Random(target.name), kept(target)
    words = [word.encode("latin-1") for word in target.words] or [b"\n"]
    for _ in range(CHANGED):
        data = changed(random, inputs[random.randrange(len(inputs))], inputs, words)[: target.longest]
        try:
            target.run(data)
        except BaseException as error:
            error.add_note(f"input of {target.name}: {data!r}")
            raise
