"""The inheritance of child processes: a clean environment, a usual limit, few capabilities.

A child is started through ``prlimit`` and ``setpriv`` (util-linux), which cost 2 ms of CPU time outside the daemon. A
function that runs between fork and exec would cost more: Python then copies the page tables of the daemon and holds its loop.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
LANG = "C.UTF-8"

SOFT_DESCRIPTORS = 1024
"""The usual soft limit: programs that use select(2) or close all descriptors rely on it."""

_STATUS = Path("/proc/self/status")


class Capability(IntEnum):
    """Capabilities that a child may keep, with their numbers (linux/capability.h)."""

    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    NET_RAW = 13


def environment(**more: str) -> dict[str, str]:
    """Return the whole environment of a child: ``PATH``, ``LANG`` and ``more``.

    The variables of the daemon, such as ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC``, are not among them.
    """
    return {"PATH": PATH, "LANG": LANG, **more}


def limited(
    argv: Sequence[str], *, only: Sequence[Capability] | None = None, without: Sequence[Capability] = ()
) -> list[str]:
    """Return the command that runs ``argv`` with a soft limit of 1024 descriptors and fewer capabilities.

    With ``only``, the program gets no other capability, and of these the ones that the daemon holds. Otherwise it gets those of
    the daemon except ``without``. As root this takes CAP_SETPCAP: without it, the program keeps the capabilities of the daemon.
    """
    if only is None:
        changes = [f"-{each.name.lower()}" for each in without]
    else:
        changes = ["-all", *(f"+{each.name.lower()}" for each in only if each in _held())]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = SOFT_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(SOFT_DESCRIPTORS, hard)
    limit = ["prlimit", f"--nofile={soft}:", "--"]
    if not changes:
        return [*limit, *argv]
    sets = [f"--{each}={','.join(changes)}" for each in ("bounding-set", "inh-caps", "ambient-caps")]
    return [*limit, "setpriv", *sets, "--", *argv]


def _held() -> frozenset[Capability]:
    """Return the permitted capabilities of the process (proc(5), ``CapPrm``)."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("CapPrm:"):
            mask = int(line.split()[1], 16)
            return frozenset(each for each in Capability if mask >> each & 1)
    return frozenset()
