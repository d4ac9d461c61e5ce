"""The moves of the servers of one pool: watches their next addresses, and ends the wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pybal.core.model import Address, Alert, Condition, Move, Pool, Report, Server
from pybal.core.text import format_age
from pybal.daemon.watch import Watch
from pybal.monitors.base import MonitorFactory
from pybal.runtime.turns import Turns

_ROUNDING = 1e-3
_AGAIN = 1.0
"""Seconds after which an overdue move that the pool does not show yet is reported again."""


class Moving:
    """Runs monitors at the next addresses of moving servers (:mod:`pybal.core.moves`).

    ``tried`` receives host, address, monitor and report; ``overdue`` the hosts whose next address has not passed in time.
    """

    def __init__(
        self,
        clock: IReactorTime,
        turns: Turns,
        tried: Callable[[str, Address, str, Report], None],
        overdue: Callable[[frozenset[str]], None],
    ) -> None:
        self._clock = clock
        self._overdue = overdue
        self._watch = Watch(clock, turns, tried, address=_next_address)
        self._end: IDelayedCall | None = None
        self._pool: Pool

    def use(self, factories: Sequence[MonitorFactory]) -> None:
        """Replace the monitors by those of other factories; monitors of factories in both stay."""
        self._watch.use(factories)

    def follow(self, before: Pool, pool: Pool) -> None:
        """Follow the moves of a pool; ``before`` is the argument of the last call."""
        self._pool = pool
        moving = pool.servers.count(_is_moving)
        moved = bool(moving or before.servers.count(_is_moving)) and any(
            old is None or new is None or _next_address(old) is not _next_address(new)
            for _, old, new in pool.servers.changes_since(before.servers)
        )
        self._watch.follow(pool.servers, moved=moved)
        if not moving or pool.service is not before.service:
            self._cancel()
        if moving and self._end is None:
            self._wait()

    def _wait(self) -> None:
        """Wait for the first move that will be overdue; it may end before that."""
        waits = [self._left(move) for _, move in _moves(self._pool) if not move.overdue]
        if waits:
            self._end = self._clock.callLater(max(0.0, min(waits)), self._expire)

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

    def _left(self, move: Move) -> float:
        return move.since + self._pool.service.dns_move_wait - self._clock.seconds()

    def _expire(self) -> None:
        self._end = None
        moves = _moves(self._pool)
        late = frozenset(host for host, move in moves if not move.overdue and self._left(move) <= _ROUNDING)
        if late:
            self._end = self._clock.callLater(_AGAIN, self._expire)
            self._overdue(late)
        else:
            self._wait()

    def _cancel(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None


def _is_moving(server: Condition) -> bool:
    return server.moving


def _next_address(server: Server) -> Address | None:
    return None if server.move is None else server.move.address


def _moves(pool: Pool) -> Iterator[tuple[str, Move]]:
    if pool.servers.count(_is_moving):
        for host, server in pool.servers.items():
            if server.move is not None:
                yield host, server.move
