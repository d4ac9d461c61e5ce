"""Collects facts of the host from ``/proc``, ``/sys``, ``/lib/modules`` and the routing tables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pybal.doctor.host import Host, Local, Module, Process
from pybal.doctor.routes import read_local
from pybal.runtime.version import installed

_PACKAGES = ("twisted", "exabgp")
_LOOPBACK, _NO_ARP = 0x8, 0x80
_EVERY_USER = 2**32 - 1
_HARD_LIMIT = re.compile(r"^Max open files +\S+ +([0-9]{1,20}) ", re.MULTILINE)
_MASK = re.compile(r"\s*([0-9a-f]{1,16})\s*")


def gather(
    modules: Iterable[str],
    sysctls: Iterable[str],
    *,
    process: int | None = None,
    root: Path = Path("/"),
    read_local: Callable[[], tuple[Local, ...]] = read_local,
) -> Host:
    """Return the state of these modules and sysctls, and of a process, by default our own."""
    proc = root / "proc"
    release = _text(proc / "sys/kernel/osrelease").strip() or "unknown"
    local = None
    with suppress(OSError, ValueError):
        local = read_local()
    return Host(
        release=release,
        modules=dict(_modules(modules, proc, root / "lib/modules" / release)),
        sysctls=dict(_sysctls(sysctls, proc / "sys")),
        permanent=frozenset(_permanent(root / "sys/class/net")),
        local=local,
        process=_process(proc, os.getpid() if process is None else process),
        versions=dict(_versions()),
    )


def _modules(names: Iterable[str], proc: Path, installed: Path) -> Iterator[tuple[str, Module]]:
    loaded = {line.partition(" ")[0] for line in _text(proc / "modules").splitlines()}
    loaded |= {"ip_vs"} if (proc / "net/ip_vs").exists() else set()
    built_in, loadable = _text(installed / "modules.builtin"), _text(installed / "modules.dep")
    for name in names:
        if name in loaded or f"/{name}.ko" in built_in:
            yield name, Module.LOADED
        elif f"/{name}.ko" in loadable:
            yield name, Module.LOADABLE
        else:
            yield name, Module.ABSENT if loadable else Module.UNKNOWN


def _sysctls(names: Iterable[str], sys: Path) -> Iterator[tuple[str, int]]:
    for name in names:
        with suppress(ValueError):
            yield name, int(_text(sys / name.replace(".", "/")))


def _permanent(devices: Path) -> Iterator[str]:
    """Yield the loopback devices and those without ARP, such as dummy devices."""
    with suppress(OSError):
        for device in devices.iterdir():
            with suppress(ValueError):
                if int(_text(device / "flags"), 16) & (_LOOPBACK | _NO_ARP):
                    yield device.name


def _process(proc: Path, number: int) -> Process:
    folder = proc / str(number)
    status = dict(line.split(":", 1) for line in _text(folder / "status").splitlines() if ":" in line)
    ids = _text(folder / "uid_map").split()
    hard = _HARD_LIMIT.search(_text(folder / "limits"))
    capabilities = _MASK.fullmatch(status.get("CapEff", ""))
    return Process(
        number,
        int(capabilities[1], 16) if capabilities else None,
        int(hard[1]) if hard else None,
        ids != ["0", "0", str(_EVERY_USER)] if ids else None,
    )


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        if found := installed(package):
            yield package, found


def _text(file: Path) -> str:
    """Return the content of a file; an empty text if it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except (OSError, ValueError):  # a release with a NUL is no name of a folder
        return ""
