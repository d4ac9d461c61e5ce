"""Crash injection: a process killed between IPVS operations or while it writes its ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pybal.ipvs.backend import Backend
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService


class SimulatedCrash(BaseException):
    """The simulated death of a process; derived from BaseException, so that no handler catches it."""


class CrashPoints:
    """Counts the points at which a crash is possible; calls ``die`` after ``points`` of them."""

    def __init__(self, points: int | None, die: Callable[[], None]) -> None:
        self.left = points
        self._die = die

    def point(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            self._die()
        self.left -= 1


class CrashingBackend:
    """A backend with a crash point before each operation and after the last one."""

    def __init__(self, backend: Backend, points: CrashPoints) -> None:
        self._backend = backend
        self._points = points

    def read(self, key: ServiceKey) -> TableEntry | None:
        return self._backend.read(key)

    def services(self) -> tuple[VirtualService, ...]:
        return self._backend.services()

    def table(self) -> Table:
        return self._backend.table()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        failures: list[Failure] = []
        for op in ops:
            self._points.point()
            failures += self._backend.apply([op])
        self._points.point()
        return tuple(failures)

    def close(self) -> None:
        self._backend.close()


class CrashingLedger(Ledger):
    """A ledger with crash points before, half-way through and after each write."""

    def __init__(self, file: Path, points: CrashPoints) -> None:
        self._points = points
        super().__init__(file)

    def _write(self, file: Path) -> None:
        self._points.point()
        file.with_name(f"{file.name}.new").write_text('{"version": 1, "serv')
        self._points.point()
        super()._write(file)
        self._points.point()
