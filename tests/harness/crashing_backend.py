"""A process that is killed at a chosen point between two operations on the IPVS table, or while it writes its ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pybal.ipvs.backend import Backend
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService


class Killed(BaseException):
    """What ends a process that is none."""


class Fate:
    """Counts the points at which a process might be killed, and at the one after ``points`` calls ``die``."""

    def __init__(self, points: int | None, die: Callable[[], None]) -> None:
        self.left = points
        self._die = die

    def point(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            self._die()
        self.left -= 1


class DyingBackend:
    """A table that is written one operation at a time, with a point before each and one after the last."""

    def __init__(self, backend: Backend, fate: Fate) -> None:
        self._backend = backend
        self._fate = fate

    def read(self, key: ServiceKey) -> TableEntry | None:
        return self._backend.read(key)

    def services(self) -> tuple[VirtualService, ...]:
        return self._backend.services()

    def table(self) -> Table:
        return self._backend.table()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        failures: list[Failure] = []
        for op in ops:
            self._fate.point()
            failures += self._backend.apply([op])
        self._fate.point()
        return tuple(failures)

    def close(self) -> None:
        self._backend.close()


class DyingLedger(Ledger):
    """A ledger with a point before it is written, one where half of it is, and one after it."""

    def __init__(self, file: Path, fate: Fate) -> None:
        self._fate = fate
        super().__init__(file)

    def _write(self, file: Path) -> None:
        self._fate.point()
        file.with_name(f"{file.name}.{os.getpid()}.new").write_text('{"version": 1, "serv')
        self._fate.point()
        super()._write(file)
        self._fate.point()
