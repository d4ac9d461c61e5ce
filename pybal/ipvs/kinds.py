"""The table of the kinds of IPVS backend."""

from __future__ import annotations

from pybal.config.settings import IPVSBackend
from pybal.ipvs.backend import Backend, MemoryBackend
from pybal.ipvs.dry_run import DryRunBackend
from pybal.ipvs.ipvsadm import IpvsadmBackend
from pybal.ipvs.netlink import NetlinkBackend


def backend(kind: IPVSBackend, *, dry_run: bool = False) -> Backend:
    """Return the backend that pybal.conf asks for; a dry run gets one that writes nothing.

    The table in memory takes servers on the loopback network, the kernel's does not.
    """
    chosen: Backend
    match kind:
        case IPVSBackend.MEMORY:
            chosen = MemoryBackend(loopback=True)
        case IPVSBackend.IPVSADM:
            chosen = IpvsadmBackend()
        case IPVSBackend.NETLINK:
            chosen = NetlinkBackend()
    return DryRunBackend(chosen, loopback=kind is IPVSBackend.MEMORY) if dry_run else chosen
