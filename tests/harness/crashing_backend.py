"""A backend and a ledger that kill the process at a chosen point between two writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pybal.ipvs.backend import Backend, Reading
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService


class Killed(BaseException):
    """Simulates the death of the process in a test that does not fork."""


class CrashPoint:
    """Counts crash points and calls ``die`` at the one after ``points``, and at each later one."""

    def __init__(self, points: int | None, die: Callable[[], None]) -> None:
        self.left = points
        self.reached = False
        self._die = die

    def point(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            self.reached = True
            self._die()
        self.left -= 1


class CrashingBackend:
    """A table written one operation at a time, with a crash point before each and after the last."""

    def __init__(self, backend: Backend, crash: CrashPoint) -> None:
        self._backend = backend
        self._crash = crash

    def read(self, key: ServiceKey) -> TableEntry | None:
        return self._backend.read(key)

    def reading(self, key: ServiceKey) -> Reading:
        return self.read(key)
        yield

    def services(self) -> tuple[VirtualService, ...]:
        return self._backend.services()

    def table(self) -> Table:
        return self._backend.table()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        failures: list[Failure] = []
        for op in ops:
            self._crash.point()
            failures += self._backend.apply([op])
        self._crash.point()
        return tuple(failures)

    def close(self) -> None:
        self._backend.close()


class CrashingLedger(Ledger):
    """A ledger with crash points before, in the middle of and after each write."""

    def __init__(self, file: Path, crash: CrashPoint) -> None:
        self._crash = crash
        super().__init__(file)

    def _write(self, file: Path, data: bytes) -> None:
        self._crash.point()
        file.with_name(f"{file.name}.{os.getpid()}.new").write_text('{"version": 1, "serv')
        self._crash.point()
        super()._write(file, data)
        self._crash.point()
