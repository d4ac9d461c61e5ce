"""The kernel's IPVS table, through the program ipvsadm, where netlink is not available.

``ipvsadm -R`` returns the status of its last line only, does not report which line failed, and stops at a line that it cannot
parse. The table is therefore read before a batch, to skip operations that must fail, and after it, to find those that did fail.
Each read prints the whole table: use this backend for small tables.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

from pybal.ipvs import ipvsadm_output
from pybal.ipvs.backend import BackendError, MemoryBackend, Reading
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService
from pybal.ipvs.render import operation
from pybal.runtime import child
from pybal.runtime.child import Capability

#: Deadline of one run of ipvsadm, in seconds.
TIMEOUT = 5.0

#: Lifetime of a table in the cache, in seconds, unless we write: the audit reads each service.
FRESH = 1.0


class IpvsadmBackend:
    """The table of the process's network namespace.

    ``clock`` is monotonic, in seconds; ``timeout`` is for each run of ``program``.
    """

    def __init__(
        self, program: str = "ipvsadm", *, timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._program = program
        self._timeout = timeout
        self._clock = clock
        self._read: Table | None = None
        self._read_at = 0.0

    def read(self, key: ServiceKey) -> TableEntry | None:
        if self._read is None or self._clock() - self._read_at > FRESH:
            return self.table().get(key)
        return self._read.get(key)

    def reading(self, key: ServiceKey) -> Reading:
        return self.read(key)
        yield

    def services(self) -> tuple[VirtualService, ...]:
        return tuple(entry.service for entry in self.table().values())

    def table(self) -> Table:
        try:
            table = ipvsadm_output.table(self._run("-Sn"), self._run("-Ln", "--thresholds"))
        except ValueError as error:
            raise BackendError(str(error)) from error
        self._read, self._read_at = table, self._clock()
        return table

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        if not ops:
            return ()
        expected = MemoryBackend(self.table())
        expected_failures = [next(iter(expected.apply([op])), None) for op in ops]
        self._read = None
        error_text = self._restore([op for op, failure in zip(ops, expected_failures, strict=True) if failure is None])
        after, wanted = self.table(), expected.table()
        return tuple(
            failure or Failure(op, errno.EIO, error_text or "ipvsadm did not apply it and printed no reason")
            for op, failure in zip(ops, expected_failures, strict=True)
            if failure or _target(op, after) != _target(op, wanted)
        )

    def close(self) -> None:
        self._read = None

    def _restore(self, ops: Sequence[Op]) -> str:
        """Run the operations; return the distinct lines of standard error."""
        text = "".join(f"{operation(request)}\n" for op in ops for request in op.requests)
        errors = self._process("-R", stdin=text).stderr.splitlines() if ops else []
        return "; ".join(dict.fromkeys(errors))

    def _run(self, *arguments: str) -> str:
        done = self._process(*arguments)
        if done.returncode:
            error_text = done.stderr.partition("\n")[0] or f"status {done.returncode}"
            raise BackendError(f"ipvsadm {' '.join(arguments)}: {error_text}")
        return done.stdout

    def _process(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        if shutil.which(self._program, path=child.PATH) is None:
            raise BackendError(f"cannot run {self._program}: not found in {child.PATH} (run: apt-get install ipvsadm)")
        try:
            return subprocess.run(  # noqa: S603  # no shell, no external input
                child.limited([self._program, *arguments], only=[Capability.NET_ADMIN]),
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout,
                env=child.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(f"ipvsadm timed out after {self._timeout:g} s") from error
        except OSError as error:
            raise BackendError(f"cannot run ipvsadm: {error.strerror}") from error


def _target(op: Op, table: Table) -> object:
    """Return the service or destination of an operation in a table."""
    held = table.get(op.key)
    if held is None:
        return None
    return held.service if op.destination is None else held.destinations.get(op.destination.endpoint)
