"""The unit loads the module of every scheduler: no write of the daemon waits for one."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pybal.config.convert import SCHEDULERS
from pybal.core.model import IPProtocol, Service
from pybal.ipvs.diff import diff
from pybal.ipvs.model import Table, entry, key_of
from pybal.ipvs.netlink import NetlinkBackend

UNIT = Path(__file__).parents[2] / "debian/pybal.service"
MODPROBE = Path("/proc/sys/kernel/modprobe")
KEPT = ("lblc", "lblcr")  # the guest loads these when it boots


@pytest.fixture
def present() -> Iterator[frozenset[str]]:
    """Unload the schedulers, and let the kernel load none by itself; yield those that remain.

    A namespace of a test before may still use some.
    """
    removed = [f"ip_vs_{name}" for name in SCHEDULERS if name not in KEPT]
    subprocess.run(["modprobe", "-ra", *removed], check=False)
    loaded = {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}
    before = MODPROBE.read_text()
    MODPROBE.write_text("/bin/false")
    yield frozenset(name for name in SCHEDULERS if f"ip_vs_{name}" in loaded)
    MODPROBE.write_text(before)


def test_every_scheduler_works_without_loading_after_the_start_of_the_unit(present: frozenset[str]) -> None:
    assert len(present) < len(SCHEDULERS) / 2
    backend = NetlinkBackend()
    for name in SCHEDULERS:
        service = Service(name, IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, name)
        goal: Table = {key_of(service): entry(service, {})}
        failed = backend.apply(diff(goal, {}))
        if name not in present:
            assert failed, f"{name} was not unloaded"
        else:
            assert backend.apply(diff({}, goal)) == ()
    (line,) = (line for line in UNIT.read_text().splitlines() if line.startswith("ExecStartPre="))
    subprocess.run(shlex.split(line.partition("=")[2].lstrip("-+")), check=True)
    for name in SCHEDULERS:
        service = Service(name, IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, name)
        goal = {key_of(service): entry(service, {})}
        assert backend.apply(diff(goal, {})) == ()
        assert backend.apply(diff({}, goal)) == ()
    backend.close()
