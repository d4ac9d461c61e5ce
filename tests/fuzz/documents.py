"""JSON documents from fuzzed bytes: of any shape, but with the names that a reader looks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.fuzz.target import Fuzzed

_SCALARS: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 7.5, 1e308, float("inf"), float("nan"), 10**30, "", "a", "10.0.0.1", "ok", "down", "critical", "warning",
    "ESTABLISHED", "x|y\n\x1b[0m", "\u202e", "\ud800", "2026-11-20T03:00:00+00:00", "x" * 700,
)  # fmt: skip
_DEEPEST = 5


def document(fuzzed: Fuzzed, names: Sequence[str], depth: int = 0) -> object:
    """Return a value; its objects have some of these names."""
    kind = fuzzed.number(8)
    if depth >= _DEEPEST or kind < 3:
        return fuzzed.pick(_SCALARS)
    if kind == 3:
        return [document(fuzzed, names, depth + 1) for _ in range(fuzzed.number(4))]
    return {fuzzed.pick(names): document(fuzzed, names, depth + 1) for _ in range(fuzzed.number(12))}


def changed(fuzzed: Fuzzed, value: object, names: Sequence[str]) -> object:
    """Return a valid document in which a few places hold something else, or nothing."""
    for _ in range(fuzzed.number(4)):
        value = _replaced(value, fuzzed, lambda: document(fuzzed, names, 2))
    return value


def _replaced(value: object, fuzzed: Fuzzed, new: Callable[[], object]) -> object:
    if fuzzed.number(6) == 0 or not value or not isinstance(value, dict | list):
        return new()
    if isinstance(value, list):
        at = fuzzed.number(len(value))
        return [*value[:at], _replaced(value[at], fuzzed, new), *value[at + 1 :]]
    name = fuzzed.pick(list(value))
    if fuzzed.number(6) == 0:
        return {other: each for other, each in value.items() if other != name}
    return value | {name: _replaced(value[name], fuzzed, new)}
