"""The daemon's connections to its machine beside the reactor: the real ones, or those of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.run import ChildProcess
from pybal.checks.network import Network
from pybal.runtime.log_writer import LogWriter
from pybal.runtime.workers import MakeWorkers, Workers
from pybal.status.listener import Bind, bound


def _wall() -> datetime:
    return datetime.now(UTC)


class Machine(NamedTuple):
    """A machine.

    ``workers`` and ``writer`` make threads, ``spawn`` starts ExaBGP, ``bind`` opens an HTTP endpoint, ``wall`` is the wall clock. Checks use
    the ``network``.
    """

    workers: MakeWorkers = Workers
    writer: Callable[..., LogWriter] = LogWriter
    network: Network = Network()
    spawn: Callable[..., ChildProcess] = Child
    bind: Bind = bound
    wall: Callable[[], datetime] = _wall
