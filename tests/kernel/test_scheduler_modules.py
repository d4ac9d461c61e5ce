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
PRESENT = ("lblc", "lblcr")  # the guest loads these when it boots


@pytest.fixture
def no_modules_on_demand() -> Iterator[None]:
    """Unload the schedulers, and let the kernel load none by itself."""
    removed = [f"ip_vs_{name}" for name in SCHEDULERS if name not in PRESENT]
    subprocess.run(["modprobe", "-ra", *removed], check=False)
    before = MODPROBE.read_text()
    MODPROBE.write_text("/bin/false")
    yield
    MODPROBE.write_text(before)


@pytest.mark.usefixtures("no_modules_on_demand")
def test_every_scheduler_works_without_loading_after_the_start_of_the_unit() -> None:
    backend = NetlinkBackend()
    for name in SCHEDULERS:
        service = Service(name, IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, name)
        goal: Table = {key_of(service): entry(service, {})}
        failed = backend.apply(diff(goal, {}))
        if name not in PRESENT:
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
