"""The moves of the servers of one pool: watches their next addresses, and ends the wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pybal.core.model import Address, Alert, Move, Pool, Report, Server, Servers
from pybal.core.text import format_age
from pybal.daemon.watch import Watch
from pybal.monitors.base import MonitorFactory
from pybal.runtime.turns import Turns

_ROUNDING = 1e-3
_NO_SERVERS = Servers()


class Moving:
    """Runs monitors at the next addresses of moving servers (:mod:`pybal.core.moves`).

    ``tried`` receives host, monitor and report; ``overdue`` the hosts whose next address has not passed in time.
    """

    def __init__(
        self,
        clock: IReactorTime,
        turns: Turns,
        tried: Callable[[str, str, Report], None],
        overdue: Callable[[frozenset[str]], None],
    ) -> None:
        self._clock = clock
        self._overdue = overdue
        self._watch = Watch(clock, turns, tried, address=_next_address)
        self._end: IDelayedCall | None = None

    def use(self, factories: Sequence[MonitorFactory]) -> None:
        """Replace the monitors by those of other factories; monitors of factories in both stay."""
        self._watch.use(factories)

    def follow(self, pool: Pool) -> None:
        """Follow the moves of a pool."""
        moving = {host: pool.servers[host] for host, _ in _moves(pool)}
        self._watch.follow(Servers(moving) if moving else _NO_SERVERS)
        self._cancel()
        waits = [self._left(pool, move) for _, move in _moves(pool) if not move.overdue]
        if waits:
            self._end = self._clock.callLater(max(0.0, min(waits)), self._expire, pool)

    def alerts(self, pool: Pool) -> Iterator[Alert]:
        """Yield an alert for each move."""
        for host, move in _moves(pool):
            age = self._clock.seconds() - move.since
            lasted = format_age(age)
            state = f"not passed for {lasted}; counting as down" if move.overdue else f"checking it for {lasted}"
            present = pool.servers[host].address
            change = (
                f"changes from {present} to {move.address}"
                if present
                else f"{move.address} was not in IPVS at the start"
            )
            text = f"{host}: address {change}, {state}"
            yield Alert(pool.service.name, "dns-move", text, subject=host)

    def stop(self) -> None:
        """Stop all monitors."""
        self._cancel()
        self._watch.stop()

    def _left(self, pool: Pool, move: Move) -> float:
        return move.since + pool.service.dns_move_wait - self._clock.seconds()

    def _expire(self, pool: Pool) -> None:
        self._end = None
        self._overdue(
            frozenset(host for host, move in _moves(pool) if not move.overdue and self._left(pool, move) <= _ROUNDING)
        )

    def _cancel(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


def _next_address(server: Server) -> Address | None:
    return None if server.move is None else server.move.address


def _moves(pool: Pool) -> Iterator[tuple[str, Move]]:
    if pool.servers.count(lambda server: server.moving):
        for host, server in pool.servers.items():
            if server.move is not None:
                yield host, server.move
