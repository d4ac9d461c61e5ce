"""The floor of a pool: as a sentence, and as a bar. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from pybal.core.model import Pool
from pybal.core.policy import floor, serving, total
from pybal.status.page.elements import amount, counted
from pybal.status.page.states import State, spans

_ROOM = 8
"""The least percentage of the bar below which a text has room."""


def floor_section(pool: Pool, found: Mapping[State, int]) -> Iterator[str]:
    """Yield the section; ``found`` are the numbers of servers by state."""
    yield f"<section id=floor><p class=lead>{_sentence(pool, found)}</p>"
    if found:
        yield _picture(pool, found)
    yield f"<p class=soft>{_outlook(pool, found)}</p></section>"


def _strong(number: int) -> str:
    return f"<strong>{amount(number)}</strong>"


def _sentence(pool: Pool, found: Mapping[State, int]) -> str:
    if not pool.servers:
        return "The server list is empty." if pool.listed else "Waiting for the first server list."
    least, up = floor(pool), serving(pool)
    serve = f"{_strong(up)} of {counted(len(pool.servers), 'server')} serve"
    share, members = pool.service.depool_threshold, total(pool)
    if not share:
        return f"{serve}. depool-threshold is 0: every server that is down is depooled."
    of = f"{share:g} x {amount(members)}" + ("" if members == len(pool.servers) else " of weight above 0")
    told = f"{serve}, and the floor is {_strong(least)} (depool-threshold {of})."
    kept = [(found[each], word) for each, word in _KEPT.items() if each in found]
    if up >= least or not kept:
        return told
    numbers = [up, *(number for number, _ in kept)]
    words = " and ".join(f"{_strong(number)} {word}" for number, word in kept)
    stay = "server stays" if sum(numbers) == up + 1 else "servers stay"
    return (
        f"{told} Below the floor, {words} {stay} pooled: {' + '.join(map(amount, numbers))} = {amount(sum(numbers))}."
    )


_KEPT = {State.UNKNOWN_POOLED: "unknown", State.SUSPECT: "suspect", State.FORCED: "down"}
"""The states of pooled servers that do not serve, apart from weight 0."""


def _outlook(pool: Pool, found: Mapping[State, int]) -> str:
    """Return what would change the placement of servers."""
    least, up = floor(pool), serving(pool)
    if State.FORCED in found:
        more = least - up
        leaving = (
            "The forced server leaves"
            if found[State.FORCED] == 1
            else f"The {amount(found[State.FORCED])} forced leave together"
        )
        return f"{leaving} when <b>{amount(more)}</b> more serve ({amount(up)} + {amount(more)} = {amount(least)})."
    if not found or not least:
        return ""
    if up > least:
        return f"{counted(up - least, 'more server')} may be depooled; further ones that go down stay pooled, forced."
    return "A server that goes down now stays pooled, forced."


def _picture(pool: Pool, found: Mapping[State, int]) -> str:
    """Return the bar; its texts are at percent positions, so that no width distorts them."""
    members = sum(found.values())
    parts = "".join(
        _part(each, 100 * start / members, 100 * number / members, number) for each, start, number in spans(found)
    )
    pooled = sum(number for each, number in found.items() if each.pooled)
    least = floor(pool)
    place = f"{min(100.0, 100 * least / members):.4g}%"
    anchor = " class='strong mid'" if 100 * least / members < 100 - _ROOM else " class='strong end'"
    line = f"<rect class=t x={place} /><text x={place} y=11{anchor}>floor {amount(least)}</text>" if least else ""
    # Beside the text of the floor there may be no room for the others.
    left = (
        f"<text x=0 y=11 class=soft>{amount(pooled)} pooled</text>"
        if not least or 100 * least / members > 2 * _ROOM
        else ""
    )
    right = (
        f"<text x=100% y=11 class='soft end'>{amount(members - pooled)} not</text>"
        if not least or 100 * least / members < 100 - 2 * _ROOM
        else ""
    )
    return f'<svg class="big bar" role=img aria-label="{escape(_described(found, least))}">{parts}{line}{left}{right}</svg>'


def _part(each: State, start: float, width: float, number: int) -> str:
    text = (
        f"<text x={start + width / 2:.4g}% y=78 class='soft mid'>{amount(number)} {each.word}</text>"
        if width > _ROOM
        else ""
    )
    return f"<rect class={each.key} x={start:.4g}% width={width:.4g}% />{text}"


def _described(found: Mapping[State, int], least: int) -> str:
    """Return the sentence of the bar for screen readers."""
    inside = ", ".join(f"{amount(number)} {each.word}" for each, number in found.items() if each.pooled) or "no servers"
    outside = (
        ", ".join(f"{amount(number)} {each.word}" for each, number in found.items() if not each.pooled) or "no servers"
    )
    return f"Pooled: {inside}; not pooled: {outside}; the floor is {amount(least)}."
