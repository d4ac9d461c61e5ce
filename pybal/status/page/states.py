"""The states of servers as the page shows them: one table for words, glyphs and classes. Pure.

Full height is pooled, a stub is not; solid is up, hatched is down, dotted is unknown. The style sheet has a rule for each key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from pybal.core.model import Condition, Health, Pool
from pybal.core.policy import floor
from pybal.status.page.elements import Mark, amount, state


class State(Enum):
    """A state of a server: its key in the style sheet, its word and its mark.

    In the order of bars: pooled ones first.
    """

    SERVING = "u", "serving", Mark.OK
    WEIGHTLESS = "o", "weight 0", Mark.OK
    """Pooled and up; it takes no new connections."""
    UNKNOWN_POOLED = "q", "unknown", Mark.QUERY
    SUSPECT = "s", "held", Mark.QUERY
    """Down and pooled, because its failures are attributed to the check itself."""
    FORCED = "f", "forced", Mark.CRIT
    DOWN = "d", "down", Mark.WARN
    UNKNOWN = "n", "unknown", Mark.QUERY
    DISABLED = "x", "disabled", Mark.NONE

    def __init__(self, key: str, word: str, mark: Mark) -> None:
        self.key = key
        self.word = word
        self.mark = mark

    @property
    def pooled(self) -> bool:
        return self.key in "uoqsf"


BY_SEVERITY = (
    State.FORCED,
    State.SUSPECT,
    State.DOWN,
    State.UNKNOWN_POOLED,
    State.UNKNOWN,
    State.DISABLED,
    State.WEIGHTLESS,
    State.SERVING,
)


def state_of(server: Condition) -> State:
    """Return the state of a server."""
    if server.forced:
        return State.FORCED
    if not server.enabled:
        return State.DISABLED
    if server.health is Health.DOWN:
        return State.SUSPECT if server.pooled else State.DOWN
    if not server.pooled:
        return State.UNKNOWN  # without an address, or without a result
    if server.health is Health.UNKNOWN:
        return State.UNKNOWN_POOLED
    return State.SERVING if server.weighted else State.WEIGHTLESS


def numbers(pool: Pool) -> Mapping[State, int]:
    """Return the number of servers of a pool in each state, in the order of bars, without zeros."""
    found = dict.fromkeys(State, 0)
    for condition, number in pool.servers.census.items():
        found[state_of(condition)] += number
    return {each: number for each, number in found.items() if number}


def bar(pool: Pool, found: Mapping[State, int], *, empty: bool) -> str:
    """Return the bar of a pool; it is framed if no server takes new connections (``empty``)."""
    total = sum(found.values())
    parts = "".join(
        f"<rect class={each.key}{f' x={_percent(start, total)}' if start else ''} width={_percent(number, total)} />"
        for each, start, number in spans(found)
    )
    quoted = "'bar z'" if empty else "bar"
    least = floor(pool)
    mark = f"<rect class=t x={_percent(min(least, total), total)} />" if least and total else ""
    return f"<svg class={quoted} aria-hidden=true>{parts}{mark}</svg>"


def spans(found: Mapping[State, int]) -> Iterator[tuple[State, int, int]]:
    """Yield each state with the number of servers before it and in it."""
    start = 0
    for each, number in found.items():
        yield each, start, number
        start += number


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.3g}%"


def words(found: Mapping[State, int]) -> str:
    """Return the states of a pool other than serving as markup, the worst first."""
    return " ".join(
        state(mark, f"{amount(number)} {word}")
        for (word, mark), number in by_word(found).items()
        if word != State.SERVING.word
    )


def by_word(found: Mapping[State, int]) -> Mapping[tuple[str, Mark], int]:
    """Return the number of servers by the word and the mark of their state, the worst first."""
    sums: dict[tuple[str, Mark], int] = {}
    for each in BY_SEVERITY:
        if each in found:
            sums[each.word, each.mark] = sums.get((each.word, each.mark), 0) + found[each]
    return sums
