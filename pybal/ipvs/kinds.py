"""The table of the kinds of IPVS backend."""

from __future__ import annotations

from pybal.config.settings import IPVSBackend
from pybal.ipvs.backend import Backend, MemoryBackend
from pybal.ipvs.dry_run import DryRunBackend
from pybal.ipvs.ipvsadm import IpvsadmBackend
from pybal.ipvs.netlink import NetlinkBackend


def backend(kind: IPVSBackend, *, dry_run: bool = False) -> Backend:
    """Return the backend for ``ipvs-backend``; with ``dry_run`` one that writes nothing.

    Only the table in memory accepts servers on the loopback network.
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
