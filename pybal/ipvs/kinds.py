"""The table of the kinds of IPVS backend."""

from __future__ import annotations

from pybal.config.settings import IPVSBackend
from pybal.ipvs.backend import Backend, MemoryBackend
from pybal.ipvs.inert import InertBackend
from pybal.ipvs.netlink import NetlinkBackend


def backend(kind: IPVSBackend, *, dry_run: bool = False) -> Backend:
    """Return the backend that pybal.conf asks for; a dry run gets one that writes nothing.

    The table in memory takes servers on the loopback network, the kernel's does not.
    """
    loopback = kind is IPVSBackend.MEMORY
    chosen: Backend = MemoryBackend(loopback=True) if loopback else NetlinkBackend()
    return InertBackend(chosen, loopback=loopback) if dry_run else chosen
