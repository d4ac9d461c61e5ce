"""The backend of a dry run: logs each operation and applies it to a copy of the table."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from pybal.ipvs.backend import Backend, BackendError, MemoryBackend, Reading
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService
from pybal.ipvs.render import operation


class DryRunBackend:
    """A copy of the table of ``source`` (empty if it cannot be read); never writes to ``source``.

    ``loopback`` as in :class:`MemoryBackend`.
    """

    _log = Logger()

    def __init__(self, source: Backend, *, loopback: bool = False) -> None:
        try:
            table = source.table()
        except BackendError as error:
            self._log.info("Cannot read the IPVS table: {reason}; the dry run starts with an empty table", reason=error)
            table = {}
        finally:
            source.close()
        self._copy = MemoryBackend(table, loopback=loopback)

    def read(self, key: ServiceKey) -> TableEntry | None:
        return self._copy.read(key)

    def reading(self, key: ServiceKey) -> Reading:
        return self._copy.reading(key)

    def services(self) -> tuple[VirtualService, ...]:
        return self._copy.services()

    def table(self) -> Table:
        return self._copy.table()

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        for op in ops:
            self._log.info("would run: ipvsadm {operation}", operation=operation(op))
        return self._copy.apply(ops)

    def close(self) -> None:
        pass
