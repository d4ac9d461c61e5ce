"""The six tiles of the overview: a number, its exceptions, and a link to its section. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pybal.core.policy import serving
from pybal.core.text import first_of, format_age
from pybal.status.page.elements import Mark, amount, counted, state, unbroken
from pybal.status.page.facts import Facts, unlisted
from pybal.status.page.states import State, by_word, numbers

_NAMED = 2


def tiles(facts: Facts, groups: Mapping[Mark, int]) -> Iterator[str]:
    """Yield the tiles; ``groups`` are the numbers of services by mark."""
    yield "<nav class=tiles aria-label=Summary>"
    yield _services(groups)
    yield _servers(facts)
    yield _vips(facts)
    yield _peers(facts)
    yield _sources(facts)
    yield _ipvs(facts)
    yield "</nav>\n"


def _tile(target: str, label: str, number: str, of: str, *states: str) -> str:
    return f"<a href=#{target}><span>{label}</span><strong>{number} <small>{of}</small></strong><em>{' '.join(states)}</em></a>"


def _services(groups: Mapping[Mark, int]) -> str:
    total = sum(groups.values())
    words = {Mark.CRIT: "critical", Mark.WARN: "degraded"}
    states = [state(mark, f"{amount(groups[mark])} {word}") for mark, word in words.items() if groups[mark]]
    healthy = amount(groups[Mark.OK])
    return _tile(
        "list", "Services healthy", healthy, f"of {amount(total)}", *(states or [state(Mark.OK, "none degraded")])
    )


def _servers(facts: Facts) -> str:
    sums = dict.fromkeys(State, 0)
    for pool in facts.snapshot.pools.values():
        for each, number in numbers(pool).items():
            sums[each] += number
    found = {each: number for each, number in sums.items() if number}
    states = [
        state(mark, f"{amount(number)} {word}")
        for (word, mark), number in by_word(found).items()
        if word != State.SERVING.word
    ]
    up = sum(map(serving, facts.snapshot.pools.values()))
    return _tile(
        "list",
        "Servers serving",
        amount(up),
        f"of {amount(sum(found.values()))}",
        *(states or [state(Mark.OK, "all serving")]),
    )


def _vips(facts: Facts) -> str:
    delivered = list(facts.bgp.deliveries())
    if not delivered:
        return _tile("list", "VIPs announced", "0", "of 0", state(Mark.NONE, "BGP is off"))
    announced = [each for each in delivered if each.met]
    partly = sum(len(each.peers) < each.sessions for each in announced)
    words = state(Mark.WARN, f"{amount(partly)} not to all peers") if partly else state(Mark.OK, "to all peers")
    withheld = len(delivered) - len(announced)
    states = [state(Mark.WARN, f"{amount(withheld)} not announced")] if withheld else []
    return _tile(
        "vips",
        "VIPs announced",
        amount(len(announced)),
        f"of {amount(len(delivered))}",
        *states,
        *([words] if announced else []),
    )


def _peers(facts: Facts) -> str:
    sessions = facts.bgp.sessions
    if not sessions:
        return _tile("list", "BGP peers established", "0", "of 0", state(Mark.NONE, "no peer"))
    down = [str(session.peer.address) for session in sessions if not session.established]
    mark = Mark.CRIT if len(down) == len(sessions) else Mark.WARN
    if down:
        words = state(mark, f"{first_of(down, _NAMED)} down")
    else:
        latest = max(session.since for session in sessions)
        words = state(Mark.OK, f"for {unbroken(format_age(facts.clocks.monotonic - latest))}")
    return _tile("bgp", "BGP peers established", f"{len(sessions) - len(down)}", f"of {len(sessions)}", words)


def _sources(facts: Facts) -> str:
    sources = [source for _, source in facts.sources]
    odd = [source for source in sources if source.problem is not None]
    waiting = sum(map(unlisted, odd))
    states = [state(Mark.CRIT, f"{waiting} without a list")] if waiting else []
    if len(odd) > waiting:
        states.append(state(Mark.WARN, f"{amount(len(odd) - waiting)} with a problem"))
    current = amount(len(sources) - len(odd))
    return _tile(
        "sources", "Sources current", current, f"of {amount(len(sources))}", *(states or [state(Mark.OK, "none stale")])
    )


def _ipvs(facts: Facts) -> str:
    found = facts.findings
    drift = found.drifted
    active = sum(traffic.active for reading in found.readings.values() for _, traffic in reading.traffic)
    if found.problem:
        words = state(Mark.WARN, "audit failed")
    elif drift:
        words = state(Mark.WARN, f"{counted(drift, 'entry')} changed")
    else:
        words = state(Mark.OK, "IPVS as wanted")
    counted_any = any(reading.traffic for reading in found.readings.values())
    return _tile("host", "Active connections", amount(active) if counted_any else "\N{EN DASH}", "", words)
