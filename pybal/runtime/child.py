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

_SETPCAP = 8
_STATUS = Path("/proc/self/status")
_OOM_SCORE = Path("/proc/self/oom_score_adj")


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
    the daemon except ``without``. As root this takes CAP_SETPCAP, or ``SecureBits=noroot``: without both, the program keeps the
    capabilities of the daemon.
    """
    held = _held()
    if only is None:
        changes = [f"-{each.name.lower()}" for each in without]
    else:
        changes = ["-all", *(f"+{each.name.lower()}" for each in only if held >> each & 1)]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = SOFT_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(SOFT_DESCRIPTORS, hard)
    limit = ["prlimit", f"--nofile={soft}:", "--"]
    if not changes:
        return [*limit, *argv]
    names = ["inh-caps", "ambient-caps"]
    if held >> _SETPCAP & 1:
        names.append("bounding-set")  # without the capability setpriv of Debian 13 fails
    sets = [f"--{each}={','.join(changes)}" for each in names]
    return [*limit, "setpriv", *sets, "--", *argv]


def expendable(argv: Sequence[str]) -> list[str]:
    """Return the command that runs ``argv`` without the daemon's protection from the OOM killer.

    ``OOMScoreAdjust=`` of the unit sets the protection. A higher score than usual is inherited, because lowering it takes a capability.
    """
    protected = int(_OOM_SCORE.read_text(encoding="ascii")) < 0
    return ["choom", "--adjust", "0", "--", *argv] if protected else [*argv]


def _held() -> int:
    """Return the mask of the permitted capabilities of the process (proc(5), ``CapPrm``)."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
