"""The view of one pool: its floor, the reasons of failures, its servers and decisions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pybal.core.model import Alert, Pool, Server
from pybal.core.policy import arithmetic
from pybal.core.text import end_of
from pybal.core.why import why
from pybal.status.page.alert_list import alert_list, kinds
from pybal.status.page.document import Heading, document
from pybal.status.page.elements import amount, foot, link, row, server_path, state, table, tools
from pybal.status.page.facts import Facts, collected, worst
from pybal.status.page.states import state_of

_COLUMNS = ("Server", "Address", "State", "Why", "Weight")


def pool_view(facts: Facts, pool: Pool) -> Iterator[str]:
    """Yield the view of one pool."""
    found = yield from collected(facts)
    own = [alert for alert in found if alert.service == pool.service.name or alert.kind == "frozen"]
    yield from document(facts, Heading(pool.service.name, worst(own), worst(found)), _sections(facts, pool, own))


def _sections(facts: Facts, pool: Pool, own: Sequence[Alert]) -> Iterator[str]:
    service = pool.service
    yield f"<h1>{escape(service.name)}</h1>"
    yield f"<p class=facts>{escape(f'{service.protocol} {end_of(service.vip, service.port)}, {arithmetic(pool)}')}</p>"
    yield from alert_list(kinds(own), facts.clocks)
    yield tools("Servers", search="Filter servers and reasons")
    rows = (_row(pool, server) for server in pool.servers.values())
    yield from table("servers cards", "Servers", _COLUMNS, rows, name="list")
    yield foot(f"In a terminal: <code>pybal explain {escape(service.name)}</code>.")


def _row(pool: Pool, server: Server) -> str:
    kind = state_of(server.condition)
    return row(
        link(server_path(pool.service.name, server.host), server.host),
        str(server.address or ""),
        state(kind.mark, kind.word),
        escape(why(server)),
        amount(server.member.weight),
        name=f"s-{server.host}",
        key=kind.word,
    )
