"""The servers of a pool: a grid in the order of the list, and a table by severity. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from urllib.parse import quote

from pybal.core.model import Pool, Server
from pybal.core.steps import parts
from pybal.ipvs.model import Endpoint
from pybal.runtime.clocks import Clocks
from pybal.status.page.elements import amount, lasted, link, row, server_path, state, table, tools
from pybal.status.page.failures import cause_of, first_failure, reason_of, since_of
from pybal.status.page.states import BY_SEVERITY, State, by_word, state_of
from pybal.status.page.traffic import Load

_COLUMNS = ("Server", "Address", "State", "Why", "Since", "Weight", "Active", "Inactive", "New/s")
_BATCH = 50
"""Cells of the grid in one piece."""


def grid(pool: Pool, found: Mapping[State, int]) -> Iterator[str]:
    """Yield the grid: a lost rack shows as a block."""
    chips = [(word, f"<i class={_key(word)}></i>{word}", number) for (word, _), number in by_word(found).items()]
    yield "<section id=grid>"
    yield tools("Servers in the order of the list", [("", "All", len(pool.servers)), *chips])
    yield "<div class=grid role=group aria-label='Servers by state; arrow keys move'>"
    cells: list[str] = []
    for server in pool.servers.values():
        cells.append(_cell(server))
        if len(cells) == _BATCH:
            yield "".join(cells)
            cells.clear()
    yield f"{''.join(cells)}</div><p id=read role=status>Point at a server, or move with the arrow keys.</p></section>\n"


def _key(word: str) -> str:
    return next(each.key for each in State if each.word == word)


def _cell(server: Server) -> str:
    target = quote(server.host, safe="", errors="replace")
    return f'<a class={state_of(server.condition).key} href=#s-{target} title="{escape(server.host)}"></a>'


def servers(pool: Pool, loads: Mapping[Endpoint, Load], clocks: Clocks) -> Iterator[str]:
    """Yield the table, the worst first; ``loads`` are those of the destinations of its service."""
    yield "<section>"
    yield tools("Servers by severity", search="Filter servers and reasons")
    yield from table("servers cards", "Servers, the worst first", _COLUMNS, _rows(pool, loads, clocks), name="list")
    yield "</section>\n"


def _rows(pool: Pool, loads: Mapping[Endpoint, Load], clocks: Clocks) -> Iterator[str]:
    by_state: dict[State, list[Server]] = {each: [] for each in BY_SEVERITY}
    for part in parts(pool.servers.values()):
        for server in part:
            by_state[state_of(server.condition)].append(server)
        yield ""
    yield "<tbody>"
    for each, own in by_state.items():
        yield from _rows_of(pool, each, own, loads, clocks)


def _rows_of(
    pool: Pool, each: State, own: Iterable[Server], loads: Mapping[Endpoint, Load], clocks: Clocks
) -> Iterator[str]:
    word = state(each.mark, each.word)
    for server in own:
        since, failed = since_of(server), first_failure(server)
        yield row(
            link(server_path(pool.service.name, server.host), server.host),
            str(server.address or "none"),
            word,
            escape(reason_of(server)),
            "" if since is None else lasted(since, clocks),
            amount(server.member.weight),
            *_load(server, pool, loads),
            name=f"s-{server.host}",
            key=each.word,
            cause="" if failed is None else cause_of(failed),
        )


def _load(server: Server, pool: Pool, loads: Mapping[Endpoint, Load]) -> Sequence[str]:
    load = loads.get((server.address, pool.service.port)) if server.address else None
    if load is None:
        return "", "", ""
    return amount(load.active), amount(load.inactive), "" if load.rate is None else rate(load.rate)


def rate(value: float) -> str:
    """Return a rate with one digit after the point if it is small."""
    return f"{value:.1f}" if 0 < value < 10 else amount(value)  # noqa: PLR2004  two digits
